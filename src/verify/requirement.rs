//! What an operator demands of a claim: that it is there, or that it has one of some values.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::claims::{BadPath, ClaimPath};

/// A claim, or a claim with one of some values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "Written")]
pub struct Requirement {
    pub claim: ClaimPath,
    /// As texts: `5` is also the number, `true` also the boolean. An array has each of its items
    /// for a value. Empty: any value but null.
    pub is: Vec<String>,
}

/// As it is written: `sub`, or `{ claim: token_use, is: access }`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    /// The name of a claim, such as `realm_access.roles`.
    Name(#[schemars(with = "ClaimPath")] String),
    Valued(Valued),
}

/// A claim with one of some values.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Valued {
    /// The name of a claim, such as `realm_access.roles`.
    #[schemars(with = "ClaimPath")]
    claim: String,
    /// The value or the values. Numbers and booleans are compared as text; an array has each of its
    /// items for a value.
    is: OneOrMany,
}

/// A value or a list of values.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(#[schemars(length(min = 1))] Vec<String>),
}

impl TryFrom<Written> for Requirement {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let (claim, is) = match written {
            Written::Name(claim) => (claim, Vec::new()),
            Written::Valued(Valued { claim, is }) => match is {
                OneOrMany::One(value) => (claim, vec![value]),
                OneOrMany::Many(values) if values.is_empty() => {
                    return Err(format!("the claim {claim:?} can have none of no values"));
                }
                OneOrMany::Many(values) => (claim, values),
            },
        };
        Self::new(&claim, &is).map_err(|error| format!("the claim {claim:?} {error}"))
    }
}

impl Requirement {
    pub(super) fn new(claim: &str, is: &[impl ToString]) -> Result<Self, BadPath> {
        Ok(Self {
            claim: ClaimPath::parse(claim)?,
            is: is.iter().map(ToString::to_string).collect(),
        })
    }
}

/// `token_use = access`, `tenant = a or b`, or `sub`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.claim)?;
        if self.is.is_empty() {
            return Ok(());
        }
        write!(f, " = {}", self.is.join(" or "))
    }
}
