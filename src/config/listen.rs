//! The listeners.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor, value::SeqAccessDeserializer, value::StrDeserializer};
use serde::{Deserialize, Deserializer};

use crate::core::config_error::ConfigErrors;
use crate::net::Address;

/// Where Portcullis listens. What is left out is not served. Each takes one address or a list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Envoy's `ext_authz` over gRPC, with gRPC health checks. A unix socket costs Envoy the least.
    pub ext_authz: Option<Addresses>,

    /// HTTP forward-auth for nginx, Traefik, Caddy and HAProxy, and Envoy's HTTP mode.
    pub forward_auth: Option<Addresses>,

    /// Webhooks: the one listener that identity providers have to reach.
    pub events: Option<Addresses>,

    /// Health, readiness and metrics. Keep it private.
    pub admin: Option<Addresses>,
}

/// One address or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<Address>);

impl Addresses {
    #[must_use]
    pub fn as_slice(&self) -> &[Address] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Addresses, E> {
                let one = Address::deserialize(StrDeserializer::new(text))?;
                Ok(Addresses(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Addresses, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(items)).map(Addresses)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Addresses {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Addresses".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<Address>();
        json_schema!({
            "anyOf": [address, { "type": "array", "items": address, "minItems": 1 }],
        })
    }
}

impl Listen {
    /// Every address with the name of its listener and its path in the file, door after door.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Address)> {
        self.doors().into_iter().flat_map(|(name, addresses)| {
            let addresses = addresses.map_or(&[][..], Addresses::as_slice);
            addresses.iter().map(move |address| (name, address))
        })
    }

    fn doors(&self) -> [(&'static str, Option<&Addresses>); 4] {
        [
            ("ext_authz", self.ext_authz.as_ref()),
            ("forward_auth", self.forward_auth.as_ref()),
            ("events", self.events.as_ref()),
            ("admin", self.admin.as_ref()),
        ]
    }

    /// Reports a configuration that answers nobody, and addresses that take each other's place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.ext_authz.is_none() && self.forward_auth.is_none() {
            errors.push(
                "",
                "give ext_authz or forward_auth: without a door nothing is checked",
            );
        }
        let all: Vec<_> = self.all().collect();
        for (i, (name, address)) in all.iter().enumerate() {
            let taken = all[..i].iter().find(|(_, other)| collide(address, other));
            if let Some((other, _)) = taken {
                let message = format!("{address} is taken by listen.{other}");
                errors.push(name, message);
            }
        }
    }
}

/// Whether the second bind would fail. Port 0 is another port each time.
fn collide(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Unix(a), Address::Unix(b)) => a == b,
        (Address::Tcp(a), Address::Tcp(b)) => {
            let any = a.ip().is_unspecified() || b.ip().is_unspecified();
            let same = a.ip() == b.ip() || (any && a.is_ipv4() == b.is_ipv4());
            a.port() != 0 && a.port() == b.port() && same
        }
        _ => false,
    }
}
