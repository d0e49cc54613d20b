//! The suites, and the world they play in.

/// A table of hostile tokens: the reason, and under it what is refused for it.
macro_rules! hostile {
    ($($reason:ident: $($name:literal => $token:expr,)*)*) => {
        vec![$($(($name, $token, Reason::$reason),)*)*]
    };
}

mod config;
mod doubts;
mod fetching;
mod friendly;
mod hostile;
mod hostile_claims;
mod key_shapes;
mod keys;
mod kinds;
mod mutation;
mod recorded;
mod sets;
mod succession;
mod tenants;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::testing::*;
use super::*;
use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::core::kv::{InMemory, KeyValueStore};
use crate::core::lifetime::{Current, Lifetimes};
use crate::core::readiness::Readiness;

pub(super) const ISSUER: &str = "https://id.example.com";
pub(super) const OTHER: &str = "https://other.example.com";
pub(super) const SHARED_SECRET: &str = "https://hmac.example.com";

/// What a verifier is built from.
pub(super) struct World {
    pub clock: Clock,
    pub keep: Arc<dyn KeyValueStore>,
    pub readiness: Readiness,
    pub horizon: Horizon,
    pub keys: KeysConfig,
    pub cache: CacheConfig,
    pub registry: Registry,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::manual(UnixMillis::from_seconds(NOW)),
            keep: Arc::new(InMemory::default()),
            readiness: Readiness::default(),
            horizon: Horizon::default(),
            keys: KeysConfig::default(),
            cache: CacheConfig::default(),
            registry: Registry::default(),
        }
    }

    pub(super) fn verifier(&mut self, issuers: &[Value]) -> Arc<Verifier> {
        self.build(issuers).unwrap_or_else(|errors| {
            panic!("{:?}", errors.into_vec());
        })
    }

    pub(super) fn build(&mut self, issuers: &[Value]) -> Result<Arc<Verifier>, ConfigErrors> {
        let issuers: Vec<_> = issuers.iter().map(read).collect();
        let mut errors = ConfigErrors::new();
        check_issuers(&issuers, &mut errors);
        assert_eq!(errors.into_vec(), []);
        let lifetimes = issuers.iter().flat_map(|one| {
            let lifetimes = Current::new(Lifetimes::new(one.longest_life()));
            let names = one.names().into_iter();
            names.map(move |name| (name, lifetimes.clone()))
        });
        let parts = Parts {
            keys: self.keys.clone(),
            lifetimes: lifetimes.collect(),
            keep: Arc::clone(&self.keep),
            clock: self.clock.clone(),
            readiness: self.readiness.clone(),
            horizon: self.horizon.clone(),
            metrics: Metrics::register(&mut self.registry),
        };
        Verifier::new(&issuers, &Shared::new(&self.cache, parts)).map(Arc::new)
    }
}

/// YAML contains JSON, so the tests write what operators write.
pub(super) fn read(config: &Value) -> IssuerConfig {
    serde_saphyr::from_str(&config.to_string()).unwrap()
}

/// An issuer with these keys, and otherwise the least configuration.
pub(super) fn issuer(keys: &[Value]) -> Value {
    json!({
        "issuer": ISSUER,
        "audiences": ["api"],
        "jwks": {"inline": {"keys": keys}},
    })
}

/// Claims that every issuer of these tests accepts.
pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "alice",
        "aud": "api",
        "jti": "token-1",
        "client_id": "web",
        "tenant": "blue",
        "iat": NOW - 60,
        "exp": NOW + 600,
    })
}

/// Claims with one of them changed.
pub(super) fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

pub(super) fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// With keys that need no fetching there is nothing to wait for, so one poll must do.
pub(super) fn verify(verifier: &Verifier, token: &str) -> Result<Arc<Verified>, Reason> {
    let verifying = std::pin::pin!(verifier.verify(Token::new(token)));
    match verifying.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.map_err(|rejection| rejection.reason),
        Poll::Pending => panic!("the verifier waits for something"),
    }
}

/// The reason of a refusal; `None` when the token passed.
pub(super) fn refusal(verifier: &Verifier, token: &str) -> Option<Reason> {
    verify(verifier, token).err()
}

pub(super) const HOUR: Duration = Duration::from_hours(1);
