//! Makes the types from the tree, in spite of mistakes.
//!
//! serde stops at the first value that its type refuses. That one is reported, then replaced by a
//! sample or removed, and the tree is read again.

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::decode::{Error, Reason};
use super::nearest::{nearest, suggest};
use super::report::Finding;
use super::sample::Samples;
use super::tree::{Node, Value, join_key};
use crate::core::config_error::is_within;

/// The most mistakes that are listed: each costs a pass over the tree.
const MOST: usize = 100;

/// A file that is being read.
pub(super) struct Document<'s> {
    pub root: Node,
    samples: Samples<'s>,
    pub findings: Vec<Finding>,
    /// The paths of the values that are not what the operator wrote, or that are missing.
    pub replaced: Vec<String>,
}

impl<'s> Document<'s> {
    pub(super) fn new(root: Node, schema: &'s Json, findings: Vec<Finding>) -> Self {
        Self {
            root,
            samples: Samples(schema),
            findings,
            replaced: Vec::new(),
        }
    }

    /// Makes the type and reports everything that is wrong on the way. The value is there even then,
    /// unless what is wrong cannot be replaced.
    pub(super) fn decode<T: DeserializeOwned>(&mut self) -> Option<T> {
        for _ in 0..MOST {
            match T::deserialize(&self.root) {
                Ok(value) => return Some(value),
                Err(error) => self.mend(error)?,
            }
        }
        let message = format!("only the first {MOST} mistakes are listed");
        self.findings.push(Finding::of_file(message));
        None
    }

    /// Reports a mistake and makes the tree fit.
    fn mend(&mut self, error: Error) -> Option<()> {
        let path = error.path.unwrap_or_default();
        match (error.key, error.reason) {
            (Some(key), reason) => self.refuse_key(&path, &key, reason),
            (None, Reason::Missing(key)) => self.add(&path, key)?,
            (None, reason) => {
                let node = self.root.nearest(&path);
                let message = message(node, reason);
                let finding = Finding::at(node.mark, path.as_str(), message);
                self.replace(finding)?;
            }
        }
        Some(())
    }

    /// Reports a wrong value and puts a sample in its place. A value around one that was replaced
    /// before is wrong because of that, and is not reported.
    pub(super) fn replace(&mut self, finding: Finding) -> Option<()> {
        let path = finding.path.clone();
        if !self.replaced.iter().any(|inner| is_within(inner, &path)) {
            self.findings.push(finding);
        }
        let sample = self.samples.at(&self.root, &path, None)?;
        let node = self.root.nearest_mut(&path);
        let is_sample = std::mem::replace(&mut node.sample, true);
        node.value = sample.value;
        self.replaced.push(path);
        // A type that refuses its sample is given up.
        (!is_sample).then_some(())
    }

    /// Reports a key that the mapping at `path` lacks, unless a misspelling explains it.
    fn add(&mut self, path: &str, key: &'static str) -> Option<()> {
        let inner = join_key(path, key);
        let node = self.root.nearest(path);
        if !self.replaced.contains(&inner) && !node.sample {
            let message = format!("{key:?} is missing");
            self.findings.push(Finding::at(node.mark, path, message));
        }
        self.replaced.push(inner);
        let mut sample = self.samples.at(&self.root, path, Some(key))?;
        sample.key = Some(key.to_owned());
        match &mut self.root.nearest_mut(path).value {
            Value::Map(entries) => entries.push(sample),
            Value::List(_) | Value::Scalar(_) => return None,
        }
        Some(())
    }

    /// Reports a key of the mapping at `path` and removes it. The key that was meant counts as
    /// replaced.
    fn refuse_key(&mut self, path: &str, key: &str, reason: Reason) {
        let mapping = self.root.nearest_mut(path);
        let Value::Map(entries) = &mut mapping.value else {
            return;
        };
        let index_of = |key: &str| {
            let mut keys = entries.iter().map(|entry| entry.key.as_deref());
            keys.position(|own| own == Some(key))
        };
        let Some(index) = index_of(key) else {
            return;
        };
        let message = match reason {
            Reason::Unknown { known, .. } => {
                let meant = nearest(key, known).filter(|meant| index_of(meant).is_none());
                self.replaced
                    .extend(meant.map(|meant| join_key(path, meant)));
                format!("unknown key{}", suggest(key, known))
            }
            Reason::Missing(_) => "this key does not fit".to_owned(),
            Reason::Mismatch(message) | Reason::Custom(message) => message,
        };
        let entry = entries.remove(index);
        self.replaced.push(entry.path.clone());
        self.findings
            .push(Finding::at(entry.key_mark, entry.path, message));
    }
}

/// Returns what is wrong with a value. A part of a variable's value could be in the type's own words,
/// so those are left out then.
fn message(node: &Node, reason: Reason) -> String {
    let from_env = matches!(&node.value, Value::Scalar(scalar) if scalar.from_env);
    match reason {
        Reason::Unknown { known, .. } if from_env => {
            format!(
                "the value from the environment is none of {}",
                known.join(", ")
            )
        }
        Reason::Unknown { name, known } => {
            let start: String = name.chars().take(64).collect();
            let more = if start.len() < name.len() { "…" } else { "" };
            format!("{start:?}{more} is unknown{}", suggest(&name, known))
        }
        Reason::Custom(_) if from_env => "the value from the environment does not fit".to_owned(),
        Reason::Mismatch(message) | Reason::Custom(message) => message,
        Reason::Missing(key) => format!("{key:?} is missing"),
    }
}
