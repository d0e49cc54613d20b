//! The configuration file as a tree whose nodes know their path and their position in the file.
//!
//! Nothing here implements `Debug`: a tree holds secrets.

use crate::core::config_error::{is_within, shown_key};

/// A position in the file. Both count from 1; the column counts characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub line: usize,
    pub column: usize,
}

#[derive(Clone)]
pub(super) struct Node {
    /// Its key, if it is an entry of a mapping.
    pub key: Option<String>,
    /// Where its key is, or else the node itself.
    pub key_mark: Mark,
    /// The position to report: its own, or that of its key if the value begins on a later line.
    pub mark: Mark,
    /// Its path from the root, such as `issuers[0].jwks.uri`.
    pub path: String,
    pub value: Value,
    /// Whether it stands in for a value that could not be read.
    pub sample: bool,
}

#[derive(Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Node>),
}

/// A scalar as written, after quotes, escapes and environment variables were resolved.
#[derive(Clone)]
pub(super) struct Scalar {
    pub text: String,
    /// Written without quotes, so that `5`, `true` and `null` are more than text.
    pub plain: bool,
    /// Some of it came from the environment. It may be secret, and it is never null.
    pub from_env: bool,
}

impl Scalar {
    /// Returns whether it stands for no value at all (YAML 1.2 §10.3.2).
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.is_typed() => Some(true),
            "false" | "False" | "FALSE" if self.is_typed() => Some(false),
            _ => None,
        }
    }

    pub(super) fn as_integer(&self) -> Option<i128> {
        let text = self.text.as_str();
        if !self.is_typed() || text.starts_with('+') {
            return None;
        }
        match text.split_at_checked(2) {
            Some(("0x", digits)) => i128::from_str_radix(digits, 16).ok(),
            Some(("0o", digits)) => i128::from_str_radix(digits, 8).ok(),
            _ => text.parse().ok(),
        }
    }

    fn is_typed(&self) -> bool {
        self.plain || self.from_env
    }

    fn to_json(&self) -> serde_json::Value {
        if self.is_null() {
            return serde_json::Value::Null;
        }
        let integer = self
            .as_integer()
            .and_then(|number| i64::try_from(number).ok());
        let float = || self.text.parse::<f64>().ok().filter(|_| self.is_typed());
        if let Some(truth) = self.as_bool() {
            truth.into()
        } else if let Some(number) = integer {
            number.into()
        } else if let Some(number) = float().and_then(serde_json::Number::from_f64) {
            number.into()
        } else {
            self.text.as_str().into()
        }
    }
}

impl Node {
    /// Returns the same as JSON, with the types of YAML's core schema.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Scalar(scalar) => scalar.to_json(),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                let entries = entries.iter();
                let named = entries.map(|one| (one.key.clone().unwrap_or_default(), one.to_json()));
                Json::Object(named.collect())
            }
        }
    }

    pub(super) fn new(path: String, mark: Mark, value: Value) -> Self {
        Self {
            key: None,
            key_mark: mark,
            mark,
            path,
            value,
            sample: false,
        }
    }

    /// Returns the items of a list or the entries of a mapping.
    pub(super) fn children(&self) -> &[Self] {
        match &self.value {
            Value::List(children) | Value::Map(children) => children,
            Value::Scalar(_) => &[],
        }
    }

    pub(super) fn children_mut(&mut self) -> &mut [Self] {
        match &mut self.value {
            Value::List(children) | Value::Map(children) => children,
            Value::Scalar(_) => &mut [],
        }
    }

    /// Returns the paths of the mappings that say `insecure: true`.
    pub(super) fn insecure(&self) -> Vec<String> {
        let says_so = |child: &Self| {
            let is_key = child.key.as_deref() == Some("insecure");
            is_key && matches!(&child.value, Value::Scalar(is) if is.as_bool() == Some(true))
        };
        let own = self
            .children()
            .iter()
            .any(says_so)
            .then(|| self.path.clone());
        let inner = self.children().iter().flat_map(Self::insecure);
        own.into_iter().chain(inner).collect()
    }

    /// Returns roughly how much memory a copy takes: one per node and one per byte of text.
    pub(super) fn weight(&self) -> usize {
        let own = match &self.value {
            Value::Scalar(scalar) => scalar.text.len(),
            Value::List(_) | Value::Map(_) => self.key.as_ref().map_or(0, String::len),
        };
        1 + own + self.children().iter().map(Self::weight).sum::<usize>()
    }

    /// Gives it and everything inside it another path.
    pub(super) fn move_to(&mut self, path: String) {
        let child_path = |i: usize, key: &Option<String>| match key {
            Some(key) => join_key(&path, key),
            None => join_index(&path, i),
        };
        for (i, child) in self.children_mut().iter_mut().enumerate() {
            let path = child_path(i, &child.key);
            child.move_to(path);
        }
        self.path = path;
    }

    /// Returns the node at `path`, or the innermost one around it.
    pub(super) fn nearest(&self, path: &str) -> &Self {
        self.child_towards(path)
            .map_or(self, |index| self.children()[index].nearest(path))
    }

    pub(super) fn nearest_mut(&mut self, path: &str) -> &mut Self {
        match self.child_towards(path) {
            Some(index) => self.children_mut()[index].nearest_mut(path),
            None => self,
        }
    }

    /// Returns the index of the child that `path` enters. Keys may contain dots, so the longest that
    /// fits is meant.
    pub(super) fn child_towards(&self, path: &str) -> Option<usize> {
        let children = self.children().iter().enumerate();
        let fitting = children.filter(|(_, child)| is_within(path, &child.path));
        let longest = fitting.max_by_key(|(_, child)| child.path.len());
        longest.map(|(index, _)| index)
    }
}

/// Returns the path of `key` inside `path`.
pub(super) fn join_key(path: &str, key: &str) -> String {
    match path {
        "" => shown_key(key),
        _ => format!("{path}.{}", shown_key(key)),
    }
}

/// Returns the path of item `index` of the list at `path`.
pub(super) fn join_index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
