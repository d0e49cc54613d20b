//! The listeners.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::shorthand::OneOrMany;
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
pub type Addresses = OneOrMany<Address>;

impl Listen {
    /// Returns every address with the name of its listener.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Address)> {
        let listeners = [
            ("ext_authz", &self.ext_authz),
            ("forward_auth", &self.forward_auth),
            ("events", &self.events),
            ("admin", &self.admin),
        ];
        listeners.into_iter().flat_map(|(name, addresses)| {
            let addresses = addresses.iter().flat_map(|addresses| &addresses.0);
            addresses.map(move |address| (name, address))
        })
    }

    /// Reports that no proxy is served, and addresses that are used twice.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.ext_authz.is_none() && self.forward_auth.is_none() {
            errors.push(
                "",
                "give ext_authz or forward_auth: without them no proxy is served",
            );
        }
        let all: Vec<_> = self.all().collect();
        for (i, (name, address)) in all.iter().enumerate() {
            let taken = all[..i].iter().find(|(_, other)| collide(address, other));
            if let Some((other, _)) = taken {
                errors.push(name, format!("{address} is already used by listen.{other}"));
            }
        }
    }
}

/// Returns whether the second bind would fail. Port 0 is another port each time.
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
