//! A rule for a claim: that a token has it, or has it with one of the given values.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BadPath, ClaimPath};
use crate::core::shorthand::{OneOrMany, TextOr};

/// A claim, or a claim with one of the given values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "TextOr<ClaimPath, Valued>")]
#[schemars(with = "TextOr<ClaimPath, Valued>")]
pub struct Requirement {
    pub claim: ClaimPath,
    /// The values as text: `5` is also the number, `true` also the boolean. Each item of an array is a
    /// value. Empty: any value but null.
    pub is: Vec<String>,
}

/// A claim with one of the given values.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Valued {
    /// The name of a claim, such as `realm_access.roles`.
    claim: ClaimPath,
    /// The value or the values. Numbers and booleans are compared as text. Each item of an array is a
    /// value.
    is: OneOrMany<String>,
}

impl From<TextOr<ClaimPath, Valued>> for Requirement {
    fn from(written: TextOr<ClaimPath, Valued>) -> Self {
        match written {
            TextOr::Text(claim) => Self {
                claim,
                is: Vec::new(),
            },
            TextOr::More(valued) => Self {
                claim: valued.claim,
                is: valued.is.0,
            },
        }
    }
}

impl Requirement {
    pub(crate) fn new(claim: &str, is: &[impl ToString]) -> Result<Self, BadPath> {
        Ok(Self {
            claim: ClaimPath::parse(claim)?,
            is: is.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Writes `token_use = access`, `tenant = a or b`, or `sub`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.claim)?;
        if self.is.is_empty() {
            return Ok(());
        }
        write!(f, " = {}", self.is.join(" or "))
    }
}
