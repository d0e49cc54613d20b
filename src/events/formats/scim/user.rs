//! A user as it is kept in the log.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::attribute::Attribute;
use crate::core::clock::UnixMillis;
use crate::revocation::record::Note;

/// More values of one user are a mistake.
pub(super) const MOST_VALUES: usize = 32;

/// More former values than these are a mistake, and each becomes records.
pub(super) const MOST_FORMER: usize = 64;

/// What is kept of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) active: bool,
    /// The values of attributes, by their names in lower case.
    pub(super) values: BTreeMap<String, Vec<Item>>,
    /// Values that the user had while tokens that are still valid were issued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<Former>,
    pub(super) created: UnixMillis,
    /// The time of the last change. The next one is later, whichever clock it comes from.
    pub(super) changed: UnixMillis,
}

/// A value of an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) value: String,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) primary: bool,
}

/// A value that an attribute had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Former {
    /// In lower case.
    pub(super) attribute: String,
    pub(super) value: String,
    /// When it was replaced. Later tokens with it are somebody else's.
    pub(super) until: UnixMillis,
}

pub(super) const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

impl User {
    /// Reads a note; `None` for one that no version so far has written.
    pub(super) fn of(note: &Note) -> Option<Self> {
        serde_json::from_str(note.text.as_deref()?).ok()
    }

    /// Returns the note of this user.
    pub(super) fn note(&self, key: &str, version: u64) -> Note {
        let values = self.all();
        let names = values.map(|(attribute, value)| named(attribute, value));
        let former = self.former.iter();
        let former = former.map(|former| formerly_named(&former.attribute, &former.value));
        let names: BTreeSet<String> = names.chain(former).collect();
        Note {
            key: key.to_owned(),
            version,
            names: names.into_iter().collect(),
            text: serde_json::to_string(self).ok(),
        }
    }

    /// Returns every value with its attribute.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter();
        values.flat_map(|(attribute, items)| {
            let items = items.iter();
            items.map(|item| (attribute.as_str(), item.value.as_str()))
        })
    }

    /// Drops what is more than is kept of a user: the oldest former values, and the last values of each attribute.
    pub(super) fn shorten(&mut self) {
        let excess = self.former.len().saturating_sub(MOST_FORMER);
        self.former.drain(..excess);
        if self.all().count() > MOST_VALUES {
            let each = (MOST_VALUES / self.values.len()).max(1);
            for items in self.values.values_mut() {
                items.truncate(each);
            }
        }
    }

    /// Returns the values of an attribute, which is given in lower case.
    pub(super) fn items(&self, attribute: &str) -> &[Item] {
        self.values.get(attribute).map_or(&[], Vec::as_slice)
    }

    /// Returns the user as a resource (RFC 7643 §4.1) that lies at `location`.
    pub(super) fn resource(&self, key: &str, kept: &[Attribute], location: &str) -> Value {
        let mut resource = json!({ "id": key, "active": self.active });
        let mut schemas = vec![SCHEMA.to_owned()];
        for attribute in kept {
            let items = self.items(attribute.folded());
            let value = match items {
                [] => continue,
                _ if attribute.is_plural() => json!(items),
                [one] => json!(one.value),
                _ => json!(items.iter().map(|item| &*item.value).collect::<Vec<_>>()),
            };
            place(&mut resource, &mut schemas, attribute.as_str(), value);
        }
        resource["schemas"] = json!(schemas);
        resource["meta"] = json!({
            "resourceType": "User",
            "created": self.created.rfc3339(),
            "lastModified": self.changed.rfc3339(),
            "location": location,
        });
        resource
    }
}

/// Returns the name under which the notes of users with this value are found.
pub(super) fn named(attribute: &str, value: &str) -> String {
    format!("{attribute}={}", value.to_lowercase())
}

/// Returns the name under which the notes of users are found who had this value.
pub(super) fn formerly_named(attribute: &str, value: &str) -> String {
    format!("was:{}", named(attribute, value))
}

/// Puts a value where the name of its attribute says. The schema of an extension is a member of its own.
fn place(resource: &mut Value, schemas: &mut Vec<String>, name: &str, value: Value) {
    let (schema, path) = match name.rsplit_once(':') {
        None => (None, name),
        Some((schema, path)) => (Some(schema), path),
    };
    let mut at = resource;
    if let Some(schema) = schema {
        if !schemas.iter().any(|known| known == schema) {
            schemas.push(schema.to_owned());
        }
        at = member(at, schema);
    }
    for step in path.split('.') {
        at = member(at, step);
    }
    *at = value;
}

/// Returns a member of an object, which is made if it is not there. What stands in its way is no object.
fn member<'v>(at: &'v mut Value, name: &str) -> &'v mut Value {
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    &mut at[name]
}
