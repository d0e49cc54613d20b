//! Counts decisions: three additions each, in cells that few threads share, without a lock. A scrape
//! sums the cells.
//!
//! Each reason keeps one example as an `OpenMetrics` exemplar: the decision's id, what was expected
//! and what was found. Only refusals with a detail touch it, and they never wait for it.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::CounterWithExemplar;
use prometheus_client::registry::Registry;

use super::{Decision, DecisionId, Denial};
use crate::core::reason::{Detail, Reason};

/// `portcullis_decisions_total{outcome,reason}`, `portcullis_shadow_refusals_total{reason}` and
/// `portcullis_check_seconds`.
#[derive(Debug)]
pub struct Metrics(Arc<Shards>);

/// Upper bounds in seconds, from a cache hit of a microsecond to a stall of a second.
const BUCKETS: [f64; 10] = [
    0.000_001, 0.000_005, 0.000_02, 0.000_05, 0.000_1, 0.000_5, 0.002, 0.01, 0.1, 1.0,
];

/// The same in nanoseconds.
const BOUNDS: [u64; 10] = [
    1_000,
    5_000,
    20_000,
    50_000,
    100_000,
    500_000,
    2_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

const PERMIT: usize = Reason::ALL.len();
const BYPASS: usize = PERMIT + 1;
const OUTCOMES: usize = BYPASS + 1;

/// More than the threads of most machines; with more threads than shards some share.
const SHARDS: usize = 16;

#[derive(Debug)]
struct Shards {
    shards: [Shard; SHARDS],
    /// By [`Reason`].
    examples: [Mutex<Option<Example>>; Reason::ALL.len()],
}

/// A refusal that explains itself.
#[derive(Debug)]
struct Example {
    id: DecisionId,
    detail: Arc<Detail>,
}

/// Characters of a text in an exemplar. All labels of one have 128 at most (`OpenMetrics` §4.6.1).
const LONGEST: usize = 44;

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    /// By [`Reason`], then the two that pass.
    outcomes: [AtomicU64; OUTCOMES],
    /// By [`Reason`]: requests that passed, and would not if nothing were in shadow.
    in_shadow: [AtomicU64; Reason::ALL.len()],
    /// Not cumulative; the last one is for what took longer than every bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

// The standard library knows the default of arrays up to 32.
impl Default for Shards {
    fn default() -> Self {
        Self {
            shards: array::from_fn(|_| Shard::default()),
            examples: array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            outcomes: array::from_fn(|_| AtomicU64::default()),
            in_shadow: array::from_fn(|_| AtomicU64::default()),
            buckets: array::from_fn(|_| AtomicU64::default()),
            nanoseconds: AtomicU64::default(),
        }
    }
}

impl Metrics {
    /// Creates the metrics and registers them, every reason from zero.
    pub fn register(registry: &mut Registry) -> Self {
        let shards = Arc::<Shards>::default();
        registry.register_collector(Box::new(Arc::clone(&shards)));
        Self(shards)
    }

    /// Counts one answer and the time that it took.
    pub fn decided(&self, decision: &Decision, took: Duration) {
        let outcome = match decision {
            Decision::Permit(_) => PERMIT,
            Decision::Bypass(_) => BYPASS,
            Decision::Deny(denial) => {
                self.0.remember(denial);
                denial.reason as usize
            }
        };
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < nanoseconds);
        let shard = self.0.own();
        shard.outcomes[outcome].fetch_add(1, Ordering::Relaxed);
        if let Some(refused) = decision.refused_in_shadow() {
            shard.in_shadow[refused.reason as usize].fetch_add(1, Ordering::Relaxed);
        }
        shard.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        shard.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl Shards {
    /// The calling thread's.
    fn own(&self) -> &Shard {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        }
        &self.shards[OWN.with(|own| *own)]
    }

    /// Keeps an example, unless somebody else is there at this moment.
    fn remember(&self, denial: &Denial) {
        let Some(detail) = &denial.detail else { return };
        if let Ok(mut example) = self.examples[denial.reason as usize].try_lock() {
            *example = Some(Example {
                id: denial.id,
                detail: Arc::clone(detail),
            });
        }
    }

    fn sum(&self, cell: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        let values = self
            .shards
            .iter()
            .map(|shard| cell(shard).load(Ordering::Relaxed));
        values.fold(0, u64::wrapping_add)
    }

    fn encode_decisions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Decisions by outcome and reason";
        let mut family = encoder.encode_descriptor("decisions", help, None, MetricType::Counter)?;
        let passed = [("permit", "", PERMIT), ("bypass", "", BYPASS)];
        let denied = Reason::ALL.map(|reason| ("deny", reason.as_str(), reason as usize));
        for (outcome, reason, cell) in passed.into_iter().chain(denied) {
            let labels = [("outcome", outcome), ("reason", reason)];
            let total = self.sum(|shard| &shard.outcomes[cell]);
            let counter = self.with_example(total, cell);
            counter.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_shadow(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that passed because what refuses them is in shadow, by reason";
        let mut family =
            encoder.encode_descriptor("shadow_refusals", help, None, MetricType::Counter)?;
        for reason in Reason::ALL {
            let labels = [("reason", reason.as_str())];
            let total = self.sum(|shard| &shard.in_shadow[reason as usize]);
            let counter = self.with_example(total, OUTCOMES);
            counter.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Returns a counter that stands at `total`. Its exemplar, if there is one, is its last
    /// increment.
    fn with_example(&self, total: u64, cell: usize) -> CounterWithExemplar<Labels> {
        let counter = CounterWithExemplar::default();
        let example = self.examples.get(cell).map(Mutex::lock);
        let example = example.map(|example| example.unwrap_or_else(PoisonError::into_inner));
        match example.as_deref() {
            Some(Some(example)) if total > 0 => {
                counter.inc_by(total - 1, None, None);
                counter.inc_by(1, Some(labels(example)), None);
            }
            _ => drop(counter.inc_by(total, None, None)),
        }
        counter
    }

    fn encode_seconds(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time from the request's arrival at a door to its decision";
        let mut metric =
            encoder.encode_descriptor("check_seconds", help, None, MetricType::Histogram)?;
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]).enumerate();
        let buckets: Vec<(f64, u64)> = bounds
            .map(|(i, bound)| (bound, self.sum(|shard| &shard.buckets[i])))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.sum(|shard| &shard.nanoseconds)).as_secs_f64();
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

type Labels = Vec<(&'static str, String)>;

fn labels(example: &Example) -> Labels {
    let short = |text: &str| text.chars().take(LONGEST).collect();
    let mut labels = vec![
        ("decision_id", example.id.to_string()),
        ("expected", short(example.detail.expected())),
    ];
    labels.extend(example.detail.found().map(|found| ("found", short(found))));
    labels
}

impl Collector for Shards {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_decisions(&mut encoder)?;
        self.encode_shadow(&mut encoder)?;
        self.encode_seconds(&mut encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::reason::Rejection;
    use crate::gate::testing;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn every_reason_starts_at_zero() {
        let mut registry = Registry::with_prefix("portcullis");
        let _metrics = Metrics::register(&mut registry);
        let text = text(&registry);
        for reason in Reason::ALL {
            let line =
                format!("portcullis_decisions_total{{outcome=\"deny\",reason=\"{reason}\"}} 0\n");
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(
            text.contains("portcullis_check_seconds_count 0\n"),
            "{text}"
        );
    }

    #[test]
    fn decisions_of_many_threads_add_up() {
        let mut registry = Registry::with_prefix("portcullis");
        let metrics = Metrics::register(&mut registry);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    for reason in Reason::ALL {
                        metrics.decided(&testing::deny(reason), Duration::from_micros(3));
                    }
                    metrics.decided(&testing::bypass(), Duration::from_secs(2));
                });
            }
        });
        let text = text(&registry);
        let fast = 20 * Reason::ALL.len();
        for (line, count) in [
            ("check_seconds_bucket{le=\"0.000005\"}", fast),
            ("check_seconds_bucket{le=\"1.0\"}", fast),
            ("check_seconds_bucket{le=\"+Inf\"}", fast + 20),
            ("check_seconds_count", fast + 20),
        ] {
            let line = format!("portcullis_{line} {count}\n");
            assert!(text.contains(&line), "{line}\n{text}");
        }
        for line in [
            "portcullis_decisions_total{outcome=\"deny\",reason=\"revoked\"} 20\n",
            "portcullis_decisions_total{outcome=\"deny\",reason=\"stale\"} 20\n",
            "portcullis_decisions_total{outcome=\"bypass\",reason=\"\"} 20\n",
            "portcullis_decisions_total{outcome=\"permit\",reason=\"\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_exemplar_of_a_reason_is_a_denial_with_a_detail() {
        let mut registry = Registry::with_prefix("portcullis");
        let metrics = Metrics::register(&mut registry);
        let long = "x".repeat(500);
        for found in ["aud: \"bank\"", &long] {
            let rejection = Rejection::found(Reason::WrongAudience, "aud: shop", found);
            let denial = Denial {
                detail: rejection.detail,
                ..Denial::because(rejection.reason)
            };
            let id = denial.id;
            metrics.decided(&Decision::Deny(denial), Duration::ZERO);
            metrics.decided(&testing::deny(Reason::WrongAudience), Duration::ZERO);
            let text = text(&registry);
            let line = text
                .lines()
                .find(|line| line.contains("\"wrong_audience\""))
                .unwrap();
            let (_, exemplar) = line.split_once(" # ").unwrap();
            assert!(
                exemplar.contains(&format!("decision_id=\"{id}\"")),
                "{exemplar}"
            );
            let (labels, value) = exemplar.split_once("} ").unwrap();
            assert!(
                labels.contains("expected=\"aud: shop\",found=\""),
                "{labels}"
            );
            assert!(labels.len() < 128 + 14, "with signs: {labels}");
            assert_eq!(value, "1.0");
        }
        assert!(text(&registry).contains("reason=\"wrong_audience\"} 4 # "));
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "both lists are written by hand")]
    fn bucket_bounds_in_seconds_and_nanoseconds_agree() {
        for (seconds, nanoseconds) in BUCKETS.iter().zip(BOUNDS) {
            assert_eq!(Duration::from_nanos(nanoseconds).as_secs_f64(), *seconds);
        }
    }
}
