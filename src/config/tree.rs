//! The configuration file as a tree that remembers where everything stands.
//!
//! Nothing here implements `Debug`: a tree holds secrets.

/// A place in the file. Both count from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub line: usize,
    pub column: usize,
}

/// A value and the place to name when something is wrong with it: its own, or that of its key
/// when the value begins on a later line.
#[derive(Clone)]
pub(super) struct Node {
    pub mark: Mark,
    pub value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something is wrong with it that was reported already.
    Broken,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_mark: Mark,
    pub value: Node,
}

/// A scalar as written, after quotes, escapes and environment variables were resolved.
#[derive(Clone)]
pub(super) struct Scalar {
    pub text: String,
    /// Written without quotes, so that `5`, `true` and `null` are more than text.
    pub plain: bool,
    /// Some of it came from the environment: it may be secret, and is text or what the field
    /// wants, but never structure.
    pub from_env: bool,
    /// A text that would do in its place, from the schema; see `walk`.
    pub example: Option<String>,
}

impl Scalar {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            plain: false,
            from_env: false,
            example: None,
        }
    }

    /// Whether it stands for no value at all (YAML 1.2 §10.3.2).
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain || self.from_env => Some(true),
            "false" | "False" | "FALSE" if self.plain || self.from_env => Some(false),
            _ => None,
        }
    }

    pub(super) fn as_integer(&self) -> Option<i128> {
        let text = self.text.as_str();
        if !(self.plain || self.from_env) || text.starts_with('+') {
            return None;
        }
        match text.split_at_checked(2) {
            Some(("0x", digits)) => i128::from_str_radix(digits, 16).ok(),
            Some(("0o", digits)) => i128::from_str_radix(digits, 8).ok(),
            _ => text.parse().ok(),
        }
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        let numeric = |c: char| matches!(c, '0'..='9' | '.' | '-' | '+' | 'e' | 'E');
        let looks_so = self.text.contains(|c: char| c.is_ascii_digit())
            && self.text.chars().all(numeric)
            && (self.plain || self.from_env);
        looks_so.then(|| self.text.parse().ok()).flatten()
    }
}

impl Node {
    /// How much memory a copy takes, roughly: one per node and one per byte of text.
    pub(super) fn weight(&self) -> usize {
        1 + match &self.value {
            Value::Broken => 0,
            Value::Scalar(scalar) => scalar.text.len(),
            Value::List(items) => items.iter().map(Self::weight).sum(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| entry.key.len() + entry.value.weight())
                .sum(),
        }
    }

    /// Where `path` stands, or the nearest ancestor of it that is in the file.
    pub(super) fn locate(&self, path: &str) -> Mark {
        let mut node = self;
        let mut rest = path;
        while let Some((child, remaining)) = node.step(rest) {
            (node, rest) = (child, remaining);
        }
        node.mark
    }

    /// The node at exactly this path.
    pub(super) fn at_mut(&mut self, path: &str) -> Option<&mut Self> {
        if path.is_empty() {
            return Some(self);
        }
        let index = self.position(path)?;
        let (child, rest) = self.child_mut(index, path)?;
        child.at_mut(rest)
    }

    fn step<'p>(&self, path: &'p str) -> Option<(&Self, &'p str)> {
        let index = self.position(path)?;
        match &self.value {
            Value::List(items) => Some((&items[index], after_index(path)?.1)),
            Value::Map(entries) => {
                let entry = &entries[index];
                Some((&entry.value, after_key(path, &entry.key)?))
            }
            Value::Scalar(_) | Value::Broken => None,
        }
    }

    fn child_mut<'p>(&mut self, index: usize, path: &'p str) -> Option<(&mut Self, &'p str)> {
        match &mut self.value {
            Value::List(items) => Some((items.get_mut(index)?, after_index(path)?.1)),
            Value::Map(entries) => {
                let entry = entries.get_mut(index)?;
                let rest = after_key(path, &entry.key)?;
                Some((&mut entry.value, rest))
            }
            Value::Scalar(_) | Value::Broken => None,
        }
    }

    /// Which child the path enters. Keys may contain dots, so the longest that fits is meant.
    fn position(&self, path: &str) -> Option<usize> {
        match &self.value {
            Value::List(items) => {
                let (index, _) = after_index(path)?;
                (index < items.len()).then_some(index)
            }
            Value::Map(entries) => {
                let fits = entries
                    .iter()
                    .enumerate()
                    .filter(|(_, entry)| after_key(path, &entry.key).is_some());
                fits.max_by_key(|(_, entry)| entry.key.len())
                    .map(|(index, _)| index)
            }
            Value::Scalar(_) | Value::Broken => None,
        }
    }
}

/// `[3].uri` → 3 and `uri`.
fn after_index(path: &str) -> Option<(usize, &str)> {
    let (digits, rest) = path.strip_prefix('[')?.split_once(']')?;
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    Some((digits.parse().ok()?, rest))
}

/// `jwks.uri` behind the key `jwks` → `uri`; `list[0]` behind `list` → `[0]`.
fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = match path.strip_prefix(key) {
        Some(rest) if !key.is_empty() => rest,
        _ => path.strip_prefix(&quoted(key))?,
    };
    match rest.chars().next() {
        None | Some('[') => Some(rest),
        Some('.') => Some(&rest[1..]),
        Some(_) => None,
    }
}

/// A key as it is shown in a path: odd ones in quotes, long ones shortened, so that neither can
/// make the output unreadable.
pub(super) fn shown(key: &str) -> String {
    const LONGEST: usize = 64;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:|@#".contains(c);
    if key.chars().count() > LONGEST {
        let start: String = key.chars().take(LONGEST).collect();
        format!("{start:?}…")
    } else if key.is_empty() || !key.chars().all(plain) {
        quoted(key)
    } else {
        key.to_owned()
    }
}

fn quoted(key: &str) -> String {
    format!("{key:?}")
}

/// The path of `key` inside `path`.
pub(super) fn join_key(path: &str, key: &str) -> String {
    match path {
        "" => shown(key),
        _ => format!("{path}.{}", shown(key)),
    }
}

/// The path of item `index` of the list at `path`.
pub(super) fn join_index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
