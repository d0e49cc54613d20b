//! The formats: a folder each, and a line each in the table below.

pub mod auth0;
pub mod fusionauth;
pub mod global_token_revocation;
pub mod keycloak;
pub mod keycloak_events;
mod kinds;
pub mod mapped;
pub mod oidc_backchannel_logout;
pub mod okta;
pub mod scim;
pub mod shared_signals;

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::dialect::Dialect;
use crate::core::config_error::ConfigErrors;

/// Declares the formats: the enum, their names in the configuration, and the way to each dialect.
macro_rules! formats {
    ($($(#[$doc:meta])* $name:literal => $variant:ident($options:ty);)+) => {
        /// What an identity provider speaks, with the options of that format.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        pub enum Format {
            $($(#[$doc])* #[serde(rename = $name)] $variant($options),)+
        }

        const NAMES: &[&str] = &[$($name),+];

        impl Format {
            fn named(&self) -> (&'static str, &dyn Dialect) {
                match self {
                    $(Self::$variant(options) => ($name, options),)+
                }
            }
        }
    };
}

formats! {
    /// Auth0's Event Streams.
    "auth0" => Auth0(auth0::Config);
    /// FusionAuth's webhooks.
    "fusionauth" => FusionAuth(fusionauth::Config);
    /// Global Token Revocation (draft-parecki-oauth-global-token-revocation), Okta's Universal Logout.
    "global-token-revocation" => GlobalTokenRevocation(global_token_revocation::Config);
    /// Keycloak's adapter actions: a pushed not-before, the logout of everybody.
    "keycloak" => Keycloak(keycloak::Config);
    /// The events that Keycloak saves. Its admin API is asked for them.
    "keycloak-events" => KeycloakEvents(keycloak_events::Config);
    /// Any JSON webhook, by rules.
    "mapped" => Mapped(mapped::Config);
    /// OpenID Connect Back-Channel Logout 1.0.
    "oidc-backchannel-logout" => OidcBackchannelLogout(oidc_backchannel_logout::Config);
    /// Okta's event hooks.
    "okta" => Okta(okta::Config);
    /// SCIM 2.0, by which a directory says who is no longer there.
    "scim" => Scim(scim::Config);
    /// Security event tokens of the Shared Signals Framework 1.0, pushed (RFC 8935) or polled (RFC 8936).
    "shared-signals" => SharedSignals(shared_signals::Config);
}

impl Format {
    pub(super) fn dialect(&self) -> &dyn Dialect {
        self.named().1
    }

    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        let (name, dialect) = self.named();
        errors.within(name, |errors| dialect.check(errors));
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

    fn visit_str<E: Error>(self, name: &str) -> Result<Format, E> {
        let no_options = BTreeMap::<&str, &str>::new();
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
            { "type": "string", "enum": NAMES, "description": "The name alone." },
            with_options,
        ],
    })
}
