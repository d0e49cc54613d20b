//! The metrics of the event listener.

use std::time::Duration;

use http::HeaderMap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::core::clock::UnixMillis;
use crate::core::metrics::add;
use crate::core::trace::{self, Kind, Parent, Span, Tracer};

type Labels = [(&'static str, String); 2];

/// `portcullis_events_total{source,result}`, `portcullis_events_by_type_total{source,type}`,
/// `portcullis_event_revocations_total{source}`, `portcullis_event_understood_timestamp_seconds{source}` and
/// `portcullis_event_seconds`.
#[derive(Debug)]
pub struct Metrics {
    results: Family<Labels, Counter>,
    types: Family<Labels, Counter>,
    revocations: Family<[(&'static str, String); 1], Counter>,
    understood_at: Family<[(&'static str, String); 1], Gauge>,
    seconds: Histogram,
    tracer: Tracer,
}

/// Declares how a request may end, with the label of each end.
macro_rules! ends {
    ($($(#[$doc:meta])* $variant:ident = $label:literal,)+) => {
        /// How one request to the listener ended. A label of metrics, so a closed list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Ended {
            $($(#[$doc])* $variant,)+
        }

        impl Ended {
            const LABELS: &[&str] = &[$($label),+];

            pub(super) const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

ends! {
    Accepted = "accepted",
    Ignored = "ignored",
    /// It was recorded before, and its sender sent it again.
    Duplicate = "duplicate",
    /// It was no event but a question that the format answers.
    Handshake = "handshake",
    Unauthenticated = "unauthenticated",
    Malformed = "malformed",
    /// Nobody can be found by what the event is about.
    Unresolved = "unresolved",
    TooLarge = "too_large",
    Slow = "slow",
    Busy = "busy",
    /// Its source sent more than its `rate_limit`.
    RateLimited = "rate_limited",
    Unavailable = "unavailable",
    /// The sender hung up before its answer. An event that it sent in full is recorded all the same.
    SenderGone = "sender_gone",
}

/// From one disk sync to the longest that senders wait.
const BUCKETS: [f64; 9] = [0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.02, 0.1, 1.0, 10.0];

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = Histogram::new(BUCKETS);
        registry.register(
            "event_seconds",
            "Time from a request's head to its answer",
            seconds.clone(),
        );
        Self {
            results: add(
                registry,
                "events",
                "Requests to the event listener by source and how they ended; requests to no \
                 configured source have an empty one. `duplicate`: the event was recorded before. \
                 `unresolved`: no access token could be found by its subject. \
                 `sender_gone`: the sender hung up before its answer; what it had sent in full was \
                 recorded all the same",
            ),
            types: add(
                registry,
                "events_by_type",
                "Events that were understood, by source and type",
            ),
            revocations: add(
                registry,
                "event_revocations",
                "Records that events left, by source",
            ),
            understood_at: add(
                registry,
                "event_understood_timestamp_seconds",
                "When the last event of a source was understood; absent if none was since the start",
            ),
            seconds,
            tracer: Tracer::default(),
        }
    }

    /// Sends spans of events too.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Returns what a request says of its trace, if anybody wants to know.
    pub(super) fn parent(&self, headers: &HeaderMap) -> Option<Parent> {
        let header = self.tracer.is_on().then(|| headers.get(trace::HEADER));
        header
            .flatten()
            .and_then(|header| Parent::parse(header.as_bytes()))
    }

    /// Tells of an event that is dealt with.
    pub(super) fn trace(&self, source: &str, ended: Ended, took: Duration, parent: Option<Parent>) {
        self.tracer.ended(parent, took, |parent, took| Span {
            name: "event",
            kind: Kind::Server,
            parent,
            took,
            attributes: vec![
                ("portcullis.source", source.to_owned()),
                ("portcullis.result", ended.label().to_owned()),
            ],
            is_failure: ended == Ended::Unavailable,
        });
    }

    /// Starts every result of a source at zero.
    pub(super) fn expect(&self, source: &str) {
        for ended in Ended::LABELS {
            let _ = self.results.get_or_create(&result_labels(source, ended));
        }
        let _ = self
            .revocations
            .get_or_create(&[("source", source.to_owned())]);
    }

    /// Returns when the last event of a source was understood; `None` if none was since the start.
    pub(super) fn understood_at(&self, source: &str) -> Option<UnixMillis> {
        let known = self.understood_at.get(&[("source", source.to_owned())])?;
        Some(UnixMillis::from_seconds(u64::try_from(known.get()).ok()?))
    }

    pub(super) fn ended(&self, source: &str, ended: Ended, took: Duration) {
        self.results
            .get_or_create(&result_labels(source, ended.label()))
            .inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn unknown_source(&self) {
        self.results
            .get_or_create(&result_labels("", "unknown_source"))
            .inc();
    }

    pub(super) fn understood(
        &self,
        source: &str,
        event: &str,
        revocations: usize,
        now: UnixMillis,
    ) {
        let labels = [("source", source.to_owned()), ("type", event.to_owned())];
        self.types.get_or_create(&labels).inc();
        self.revocations
            .get_or_create(&[("source", source.to_owned())])
            .inc_by(u64::try_from(revocations).unwrap_or(u64::MAX));
        self.understood_at
            .get_or_create(&[("source", source.to_owned())])
            .set(i64::try_from(now.seconds()).unwrap_or(i64::MAX));
    }
}

fn result_labels(source: &str, result: &str) -> Labels {
    [("source", source.to_owned()), ("result", result.to_owned())]
}
