//! Holds the tree against the schema and reports everything that does not fit.
//!
//! So that the rest can be judged too, whatever does not fit is mended on the way: an optional
//! value is taken out, a required one is replaced by a sample. The mended tree is only ever used
//! to find more mistakes; places with a mended value keep quiet from then on.

use serde_json::Value as Json;

use super::nearest::{nearest, suggest};
use super::object::{self, Shape};
use super::report::{Finding, Redactions};
use super::sample::sample;
use super::scalar;
use super::schema::{Reader, admits};
use super::tree::{Entry, Mark, Node, Scalar, Value, join_index, join_key};

/// What the walk found.
pub(super) struct Walk<'s> {
    schema: &'s Json,
    reader: Reader<'s>,
    pub findings: Vec<Finding>,
    pub redactions: Redactions,
    pub mended: Mended,
}

/// The paths of everything that was mended.
#[derive(Default)]
pub(super) struct Mended(Vec<String>);

impl Mended {
    pub(super) fn add(&mut self, path: &str) {
        self.0.push(path.to_owned());
    }

    /// Whether what a check says about `path` can be believed.
    pub(super) fn spares(&self, path: &str) -> bool {
        let part = owner(path);
        !self.0.iter().any(|mended| {
            let mended = owner(mended);
            let around = section(mended) == part || section(part) == mended;
            mended.is_empty() || mended == part || around
        })
    }

    /// Whether the value at `path`, or one around it, is not what the operator wrote.
    pub(super) fn replaced(&self, path: &str) -> bool {
        self.0.iter().any(|mended| {
            path.strip_prefix(mended.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The part of the configuration that a path belongs to: a section, or one item of a section that
/// is a list.
fn owner(path: &str) -> &str {
    let section = section(path);
    match path[section.len()..].split_once(']') {
        Some((index, _)) if index.starts_with('[') => &path[..=section.len() + index.len()],
        _ => section,
    }
}

fn section(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

impl<'s> Walk<'s> {
    pub(super) fn new(schema: &'s Json) -> Self {
        Self {
            schema,
            reader: Reader::new(schema),
            findings: Vec::new(),
            redactions: Redactions::default(),
            mended: Mended::default(),
        }
    }

    /// Holds the whole file against the schema and mends it.
    pub(super) fn root(&mut self, root: &mut Node) {
        if !self.value(root, self.schema, "") {
            self.mended.add("");
        }
    }

    fn report(&mut self, mark: Mark, path: &str, message: impl Into<String>) {
        self.findings.push(Finding::at(mark, path, message));
        self.mended.add(path);
    }

    /// Whether the value fits, or was made to fit. If not, the caller has to take it out.
    fn value(&mut self, node: &mut Node, schema: &'s Json, path: &str) -> bool {
        let leaves = self.reader.alternatives(schema);
        let fitting = |kind: &str| -> Vec<&'s Json> {
            let fits = leaves.iter().filter(|leaf| admits(leaf, kind));
            fits.copied().collect()
        };
        match &mut node.value {
            Value::Broken => {
                self.mended.add(path);
                false
            }
            Value::List(items) => {
                let Some(leaf) = fitting("array").first().copied() else {
                    return self.wrong_type(node, &leaves, path);
                };
                if items.is_empty() && leaf.get("minItems").is_some_and(|least| *least != 0) {
                    self.report(node.mark, path, "the list must not be empty");
                    return false;
                }
                self.items(items, leaf, path);
                true
            }
            Value::Map(_) => {
                let objects = fitting("object");
                if objects.is_empty() {
                    return self.wrong_type(node, &leaves, path);
                }
                self.map(node, &objects, path)
            }
            Value::Scalar(scalar) => {
                if let Err(message) = scalar::fit(scalar, &leaves, &mut self.redactions) {
                    self.report(node.mark, path, message);
                    return false;
                }
                true
            }
        }
    }

    fn wrong_type(&mut self, node: &Node, leaves: &[&Json], path: &str) -> bool {
        let found = match node.value {
            Value::List(_) => "a list",
            _ => "a mapping",
        };
        let expected = scalar::expected(leaves);
        self.report(
            node.mark,
            path,
            format!("expected {expected}, found {found}"),
        );
        false
    }

    fn items(&mut self, items: &mut [Node], leaf: &'s Json, path: &str) {
        let first = leaf.get("prefixItems").and_then(Json::as_array);
        for (i, item) in items.iter_mut().enumerate() {
            let own = first.and_then(|first| first.get(i));
            let Some(schema) = own.or_else(|| leaf.get("items")) else {
                continue;
            };
            let path = join_index(path, i);
            if !self.value(item, schema, &path) {
                item.value = sample(self.reader, schema, item.mark).value;
            }
        }
    }

    fn map(&mut self, node: &mut Node, objects: &[&'s Json], path: &str) -> bool {
        let mark = node.mark;
        let Value::Map(entries) = &mut node.value else {
            return false;
        };
        let shape = match object::shape(self.reader, objects, entries) {
            Ok(shape) => shape,
            Err(wrong) => {
                let (at, path) = match wrong.key {
                    Some(index) => {
                        let entry = &entries[index];
                        let at = if wrong.value {
                            entry.value.mark
                        } else {
                            entry.key_mark
                        };
                        (at, join_key(path, &entry.key))
                    }
                    None => (mark, path.to_owned()),
                };
                self.report(at, &path, wrong.message);
                return false;
            }
        };
        let mut meant = Vec::new();
        entries.retain_mut(|entry| self.entry(entry, &shape, path, &mut meant));
        for key in &shape.required {
            if entries.iter().any(|entry| entry.key == *key) {
                continue;
            }
            // A misspelt key is one mistake, not two.
            if !meant.contains(key) {
                let message = format!("{key:?} is missing");
                self.findings.push(Finding::at(mark, path, message));
            }
            self.mended.add(&join_key(path, key));
            if let Some(schema) = shape.property(key) {
                entries.push(Entry {
                    key: (*key).to_owned(),
                    key_mark: mark,
                    value: sample(self.reader, schema, mark),
                });
            }
        }
        true
    }

    /// Whether the entry stays. If its key is unknown, the one that was `meant` is noted.
    fn entry(
        &mut self,
        entry: &mut Entry,
        shape: &Shape<'s>,
        path: &str,
        meant: &mut Vec<&'s str>,
    ) -> bool {
        let inside = join_key(path, &entry.key);
        let Some(schema) = shape.property(&entry.key).or(shape.others) else {
            if !shape.closed {
                return true;
            }
            let known = shape.names();
            let message = format!("unknown key{}", suggest(&entry.key, &known));
            self.report(entry.key_mark, &inside, message);
            // The section that was meant is not there, and must not be judged for that.
            if let Some(key) = nearest(&entry.key, &known) {
                self.mended.add(&join_key(path, key));
                meant.push(key);
            }
            return false;
        };
        if self.value(&mut entry.value, schema, &inside) {
            return true;
        }
        let required = shape.required.contains(&entry.key.as_str());
        if required {
            entry.value = sample(self.reader, schema, entry.value.mark);
        }
        required
    }
}

/// The text that a scalar may be replaced by where its own is no good.
pub(super) fn replacement(node: &mut Node) -> Option<Scalar> {
    match &mut node.value {
        Value::Scalar(scalar) => scalar.example.take().map(Scalar::text),
        _ => None,
    }
}
