//! Names of attributes (RFC 7643 §2.1, RFC 7644 §3.10). Case does not count.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Names an attribute of a user: `userName`, `emails`, `name.givenName`, or one of an extension after its schema, as
/// in `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attribute {
    folded: String,
    text: String,
}

/// Attributes that nobody may keep here, or that are kept in any case.
const OTHERS: [&str; 6] = ["active", "groups", "id", "meta", "password", "schemas"];

/// Attributes with several values (RFC 7643 §4.1.2).
const PLURAL: [&str; 7] = [
    "addresses",
    "emails",
    "entitlements",
    "ims",
    "phonenumbers",
    "photos",
    "roles",
];

impl Attribute {
    pub(super) const USER_NAME: &str = "userName";
    pub(super) const EXTERNAL_ID: &str = "externalId";

    /// Reads a name.
    ///
    /// # Errors
    /// Why no such attribute can be kept.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let folded = text.to_lowercase();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:$-".contains(c);
        let ends = |c: char| c.is_ascii_alphanumeric();
        if !folded.starts_with(ends) || !folded.ends_with(ends) || !folded.chars().all(is_plain) {
            return Err("is not the name of an attribute, such as userName or name.givenName");
        }
        if OTHERS.contains(&&*folded) {
            return Err("cannot be chosen");
        }
        let text = text.to_owned();
        Ok(Self { folded, text })
    }

    /// Returns the name as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name in lower case.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    pub(super) fn is_plural(&self) -> bool {
        PLURAL.contains(&&*self.folded)
    }
}

/// Returns what stands behind `path` and a separator in `whole`, both in lower case.
pub(super) fn below<'w>(whole: &'w str, path: &str) -> Option<&'w str> {
    let rest = whole.strip_prefix(path)?;
    rest.strip_prefix(['.', ':'])
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|why| de::Error::custom(format!("the attribute {text:?} {why}")))
    }
}

impl JsonSchema for Attribute {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ScimAttribute".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "examples": ["userName", "externalId", "emails", "name.givenName"],
        })
    }
}
