//! The formats. Each is one line in [`Format`].

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::delivery::{Delivery, Unproven, Unverified, Verified};
use super::fusionauth;
use super::keys::Keys;
use super::outcome::{Outcome, Rejection};
use super::signature::Signature;
use crate::core::config_error::ConfigErrors;

/// What an identity provider speaks, with the options of that format.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// FusionAuth's webhooks.
    FusionAuth(fusionauth::Config),
}

/// Where an event comes from, for the records that it leaves.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The configured name of the source.
    pub source: &'a str,
    /// The `iss` of the tokens that it may revoke.
    pub issuer: &'a str,
}

impl Format {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        match self {
            Self::FusionAuth(config) => {
                errors.within("fusionauth", |errors| config.check(errors));
            }
        }
    }

    /// Returns how long an answer may take by default: less than a sender of this format waits. Most
    /// senders never try again, so a late answer is a lost event.
    pub(super) const fn patience(&self) -> Duration {
        match self {
            Self::FusionAuth(_) => fusionauth::PATIENCE,
        }
    }

    /// Whether the body is signed as `signature` asks.
    pub(super) async fn check_signature(
        &self,
        delivery: &Delivery<Unverified>,
        signature: &Signature,
        issuer: &str,
        keys: &dyn Keys,
    ) -> Result<(), Unproven> {
        match self {
            Self::FusionAuth(_) => {
                fusionauth::check_signature(delivery, signature, issuer, keys).await
            }
        }
    }

    /// What the event comes to.
    ///
    /// # Errors
    /// When nobody can ever understand this body.
    pub fn revocations(
        &self,
        delivery: &Delivery<Verified>,
        origin: Origin<'_>,
    ) -> Result<Outcome, Rejection> {
        match self {
            Self::FusionAuth(config) => fusionauth::revocations(config, delivery, origin),
        }
    }
}

/// Reads `fusionauth`, or `{ fusionauth: { … } }` with the format's options.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
    deserializer.deserialize_any(NameOrOptions)
}

struct NameOrOptions;

impl<'de> Visitor<'de> for NameOrOptions {
    type Value = Format;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a format, or the name and its options")
    }

    /// The name alone stands for no options at all.
    fn visit_str<E: Error>(self, name: &str) -> Result<Format, E> {
        let no_options = std::collections::BTreeMap::<&str, &str>::new();
        let one = MapDeserializer::new(std::iter::once((name, no_options)));
        Format::deserialize(MapAccessDeserializer::new(one))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Format, A::Error> {
        let format = Format::deserialize(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(format),
            Some(_) => Err(A::Error::custom("a source has one format")),
        }
    }
}

pub(super) fn schema(generator: &mut SchemaGenerator) -> Schema {
    let with_options = Format::json_schema(generator);
    json_schema!({
        "anyOf": [
            { "type": "string", "enum": ["fusionauth"], "description": "The name alone." },
            with_options,
        ],
    })
}
