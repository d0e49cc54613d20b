//! What the receivers of successive configurations share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::keys::Record;
use super::later::Later;
use super::metrics::Metrics;
use super::notes::Notes;
use super::replay::Replays;
use crate::audit::Audit;
use crate::core::clock::Clock;

/// What the receivers of successive configurations share.
pub struct Shared {
    pub(super) record: Arc<dyn Record>,
    pub(super) notes: Arc<dyn Notes>,
    pub(super) later: Arc<Later>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) audit: Audit,
    pub(super) in_flight: Arc<Semaphore>,
    /// How many events are handled at once whose senders have proven nothing yet.
    pub(super) strangers: Arc<Semaphore>,
    pub(super) replays: Replays,
}

impl Shared {
    /// Handles `max_in_flight` events at once.
    #[must_use]
    pub fn new(
        (record, notes): (Arc<dyn Record>, Arc<dyn Notes>),
        later: Arc<Later>,
        metrics: Metrics,
        clock: Clock,
        audit: Audit,
        max_in_flight: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            record,
            notes,
            later,
            metrics,
            clock,
            audit,
            in_flight: Arc::new(Semaphore::new(max_in_flight)),
            strangers: Arc::new(Semaphore::new(max_in_flight.div_ceil(4))),
            replays: Replays::new(),
        })
    }
}
