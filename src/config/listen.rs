//! The listeners.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::shorthand::{OneOrMany, TextOr};
use crate::net::{Address, TlsConfig};

/// Where Portcullis listens. A listener that is left out is not served. Each takes one address or a
/// list, and an address with `tls` is a mapping: `{ address: 0.0.0.0:9193, tls: { cert: …, key: … } }`.
/// `events` and `admin` need TLS, or `insecure: true`, on an address that other machines reach.
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

/// An address, with TLS or explicitly without.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithTls {
    /// The address, such as `0.0.0.0:9193`. A unix socket has no TLS.
    pub address: Address,
    /// The certificates.
    pub tls: Option<TlsConfig>,
    /// Speak plain HTTP on an address of `events` or `admin` that other machines reach. Their requests
    /// carry secrets, which whoever can read that traffic gets, so each start warns of it. Right where
    /// something else encrypts: a service mesh, or a proxy on the same host or in the same pod.
    #[serde(default)]
    pub insecure: bool,
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

    const fn is_insecure(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::More(with_tls) => with_tls.insecure,
        }
    }

    /// Reports secrets that would cross the network in the clear, with `listen` as the current place.
    fn check_secrecy(&self, name: &str, errors: &mut ConfigErrors) {
        let carries_secrets = matches!(name, "events" | "admin");
        if self.is_insecure() && !carries_secrets {
            errors.push(name, "insecure is for events and admin; remove it here");
        } else if self.is_insecure() && self.tls().is_some() {
            errors.push(name, "has tls, so remove insecure: true");
        } else if carries_secrets
            && self.tls().is_none()
            && !self.is_insecure()
            && self.address().is_reachable()
        {
            let address = self.address();
            let message = format!(
                "{address} would take secrets from other machines over plain http; give it tls, \
                 {{ address: \"{address}\", tls: {{ cert: FILE, key: FILE }} }}, listen on 127.0.0.1, \
                 or say insecure: true if something else encrypts"
            );
            errors.push(name, message);
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

    /// Reports that no proxy is served, addresses that are used twice, and secrets in the clear.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.ext_authz.is_none() && self.forward_auth.is_none() {
            errors.push(
                "",
                "give ext_authz or forward_auth: without them no proxy is served",
            );
        }
        let all: Vec<_> = self.all().collect();
        for (i, (name, listener)) in all.iter().enumerate() {
            let (tls, address) = (listener.tls(), listener.address());
            let taken = all[..i].iter();
            let taken = taken
                .copied()
                .find(|(_, other)| collide(address, other.address()));
            if let Some((other, _)) = taken {
                errors.push(name, format!("{address} is already used by listen.{other}"));
            }
            listener.check_secrecy(name, errors);
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
