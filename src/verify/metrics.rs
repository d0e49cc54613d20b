//! The metrics of verification. Labels are the configured names of issuers, never anything from a
//! token.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::jwks::KeySet;
use super::public::Unusable;
use crate::core::clock::UnixMillis;
use crate::core::metrics::add;
use crate::core::trace::{Kind, Span, Tracer};

type OfIssuer = [(&'static str, String); 1];
type OfIssuerAnd = [(&'static str, String); 2];

/// Hits and misses of the cache, and the keys and fetches of each issuer.
#[derive(Debug)]
pub struct Metrics {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    fetches: Family<OfIssuerAnd, Counter>,
    loaded_at: Family<OfIssuer, Gauge>,
    usable: Family<OfIssuer, Gauge>,
    skipped: Family<OfIssuerAnd, Gauge>,
    tracer: Tracer,
}

impl Metrics {
    /// Sends spans of fetches too.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            hits: add(
                registry,
                "token_cache_hits",
                "Tokens that were found among the verified ones",
            ),
            misses: add(
                registry,
                "token_cache_misses",
                "Tokens that had to be verified",
            ),
            fetches: add(
                registry,
                "key_fetches",
                "Attempts to load an issuer's keys, by result: ok, empty (the set has no usable key, so the old ones went), broken (a document that is no key set; the old ones stay), error",
            ),
            loaded_at: add(
                registry,
                "keys_loaded_timestamp_seconds",
                "When an issuer's keys were last loaded from their source; 0 if never",
            ),
            usable: add(
                registry,
                "keys_usable",
                "Usable keys in an issuer's current set",
            ),
            skipped: add(
                registry,
                "keys_skipped",
                "Keys in an issuer's current set that are not used, by reason",
            ),
            tracer: Tracer::default(),
        }
    }

    /// Creates the metrics of one issuer's keys.
    pub(super) fn of(&self, issuer: &str) -> OfKeys {
        let labels: OfIssuer = [("issuer", issuer.to_owned())];
        let fetches = |result: &str| {
            let labels = [("issuer", issuer.to_owned()), ("result", result.to_owned())];
            self.fetches.get_or_create(&labels).clone()
        };
        let skipped = Unusable::KINDS.map(|kind| {
            let labels = [("issuer", issuer.to_owned()), ("reason", kind.to_owned())];
            (kind, self.skipped.get_or_create(&labels).clone())
        });
        OfKeys {
            fetched: fetches("ok"),
            emptied: fetches("empty"),
            broken: fetches("broken"),
            failed: fetches("error"),
            loaded_at: self.loaded_at.get_or_create(&labels).clone(),
            usable: self.usable.get_or_create(&labels).clone(),
            skipped,
            issuer: issuer.to_owned(),
            tracer: self.tracer.clone(),
        }
    }
}

/// The metrics of one issuer's keys.
#[derive(Debug)]
pub(super) struct OfKeys {
    pub fetched: Counter,
    /// Sets without a usable key.
    pub emptied: Counter,
    /// Documents that are no key set.
    pub broken: Counter,
    pub failed: Counter,
    loaded_at: Gauge,
    usable: Gauge,
    skipped: [(&'static str, Gauge); Unusable::KINDS.len()],
    issuer: String,
    tracer: Tracer,
}

impl OfKeys {
    /// Returns how many keys can be used, and when the set was loaded, if it ever was.
    pub(super) fn state(&self) -> (u64, Option<UnixMillis>) {
        let number = |gauge: &Gauge| u64::try_from(gauge.get()).unwrap_or_default();
        let loaded_at = Some(number(&self.loaded_at)).filter(|seconds| *seconds > 0);
        let loaded_at = loaded_at.map(UnixMillis::from_seconds);
        (number(&self.usable), loaded_at)
    }

    /// Tells of an attempt to fetch keys.
    pub(super) fn fetch_ended(&self, took: Duration, is_failure: bool) {
        self.tracer.told(|| Span {
            name: "fetch keys",
            kind: Kind::Client,
            parent: None,
            took,
            attributes: vec![("portcullis.issuer", self.issuer.clone())],
            is_failure,
        });
    }

    pub(super) fn loaded(&self, set: &KeySet, at: UnixMillis) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.usable.set(gauge(set.len()));
        for (kind, skipped) in &self.skipped {
            skipped.set(gauge(set.skipped(kind)));
        }
        self.loaded_at
            .set(i64::try_from(at.seconds()).unwrap_or(i64::MAX));
    }
}
