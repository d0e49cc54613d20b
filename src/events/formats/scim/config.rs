//! The options of the format `scim`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::attribute::Attribute;
use crate::core::config_error::ConfigErrors;
use crate::core::shorthand::OneOrMany;
use crate::verify::claims::ClaimPath;

/// The options of the format `scim`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which claims of access tokens hold which attributes of a user. A user who is set inactive or removed loses
    /// the tokens in which any of these claims has the value of its attribute, as it is or in lower case.
    #[schemars(extend("minProperties" = 1))]
    pub claims: BTreeMap<Attribute, OneOrMany<ClaimPath>>,
    /// Attributes that are kept only to be read back by the client. Always kept are `userName`, `externalId` and what
    /// `claims` names; everything else is dropped.
    #[serde(default)]
    pub keep: Vec<Attribute>,
    /// The most users that are kept. Creating another one gets 503.
    #[serde(default = "max_users")]
    pub max_users: u32,
}

fn max_users() -> u32 {
    100_000
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.claims.is_empty() {
            errors.push(
                "claims",
                "names no attribute: nobody would lose a token; write for example { userName: email }",
            );
        }
        errors.range("max_users", self.max_users, 1..=1_000_000);
    }

    /// Returns the attributes that are kept, each once.
    pub(super) fn kept(&self) -> Vec<Attribute> {
        let always = [Attribute::USER_NAME, Attribute::EXTERNAL_ID];
        let always = always
            .into_iter()
            .filter_map(|name| Attribute::parse(name).ok());
        let configured = self.claims.keys().chain(&self.keep).cloned();
        let mut kept: Vec<Attribute> = Vec::new();
        for attribute in always.chain(configured) {
            if !kept
                .iter()
                .any(|known| known.folded() == attribute.folded())
            {
                kept.push(attribute);
            }
        }
        kept
    }

    /// Returns the claims that hold an attribute, which is given in lower case.
    pub(super) fn claims_of(&self, folded: &str) -> impl Iterator<Item = &str> {
        let claims = self.claims.iter();
        let claims = claims.filter(move |(attribute, _)| attribute.folded() == folded);
        let claims = claims.flat_map(|(_, claims)| &claims.0);
        claims.map(ClaimPath::as_str)
    }
}
