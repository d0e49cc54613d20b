//! The listeners.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::shorthand::{OneOrMany, TextOr};
use crate::net::{Address, TlsConfig};

/// Where Portcullis listens. A listener that is left out is not served. Each takes one address or a
/// list, and an address with `tls` is a mapping: `{ address: 0.0.0.0:9193, tls: { cert: …, key: … } }`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Envoy's `ext_authz` over gRPC, with gRPC health checks. A unix socket costs Envoy the least.
    pub ext_authz: Option<Addresses>,

    /// HTTP forward-auth for nginx, Traefik, Caddy and HAProxy, and Envoy's HTTP mode.
    pub forward_auth: Option<Addresses>,

    /// Webhooks: the one listener that identity providers have to reach.
    pub events: Option<Addresses>,

    /// Health, readiness, metrics and the admin API. Keep it private.
    pub admin: Option<Addresses>,
}

/// One address or several, each with or without TLS.
pub type Addresses = OneOrMany<TextOr<Address, WithTls>>;

/// An address with TLS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithTls {
    /// The address, such as `0.0.0.0:9193`. A unix socket has no TLS.
    pub address: Address,
    /// The certificates.
    pub tls: Option<TlsConfig>,
}

impl TextOr<Address, WithTls> {
    #[must_use]
    pub const fn address(&self) -> &Address {
        match self {
            Self::Text(address) => address,
            Self::More(with_tls) => &with_tls.address,
        }
    }

    #[must_use]
    pub const fn tls(&self) -> Option<&TlsConfig> {
        match self {
            Self::Text(_) => None,
            Self::More(with_tls) => with_tls.tls.as_ref(),
        }
    }
}

impl Listen {
    /// Returns every address with the name of its listener.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &TextOr<Address, WithTls>)> {
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
            let (tls, address) = (address.tls(), address.address());
            let taken = all[..i].iter();
            let taken = taken
                .copied()
                .find(|(_, other)| collide(address, other.address()));
            if let Some((other, _)) = taken {
                errors.push(name, format!("{address} is already used by listen.{other}"));
            }
            if let Some(tls) = tls {
                errors.within(&format!("{name}.tls"), |errors| tls.check(errors));
                if tls.client_cert_optional && !matches!(*name, "admin" | "events") {
                    let field = format!("{name}.tls.client_cert_optional");
                    errors.push(
                        &field,
                        "is for listen.admin and listen.events: nothing else asks who a client is",
                    );
                }
                if matches!(address, Address::Unix(_)) {
                    errors.push(name, format!("{address} cannot have TLS"));
                }
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
