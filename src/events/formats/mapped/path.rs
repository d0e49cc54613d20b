//! Paths into the body of an event.

use std::borrow::Cow;
use std::cmp::Ordering;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::verify::claims::{BadPath, ClaimPath};

/// Names a member of the body, with the syntax of claim paths: `data.user_id` steps into objects and
/// into every object of a list, `a|b` is the first that has a value, `\.` is a dot in a name. It also
/// steps into text that is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(ClaimPath);

impl Path {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the members to step into, for each alternative.
    pub(super) fn alternatives(&self) -> impl Iterator<Item = &[Box<str>]> {
        self.0.paths()
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ClaimPath::of_json(&text)
            .map(Self)
            .map_err(|error| match error {
                BadPath::Empty => de::Error::custom("a path must not be empty"),
                error => de::Error::custom(format!("the path {text:?} {error}")),
            })
    }
}

impl JsonSchema for Path {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EventPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "examples": ["data.user_id", "representation.enabled"],
        })
    }
}
