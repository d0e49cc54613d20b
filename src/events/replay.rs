//! Events that were recorded before. Senders repeat an event whose answer they did not get.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use moka::sync::Cache;

use super::outcome::Effect;

/// The ids of the events that were recorded last. Forgetting one costs a second record, which
/// changes nothing.
pub(super) struct Replays(Cache<Seen, ()>);

/// Stands for the source, the id and the records of an event. The id alone does not do: if a sender gave
/// one id to two events, the second would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen([u8; 32]);

/// Longer than the attempts of the senders that try longest (Svix, 28 hours).
const REMEMBERED_FOR: Duration = Duration::from_hours(48);

/// Some ten megabytes at most.
const MOST: u64 = 100_000;

impl Replays {
    pub(super) fn new() -> Self {
        let cache = Cache::builder().max_capacity(MOST);
        Self(cache.time_to_live(REMEMBERED_FOR).build())
    }

    pub(super) fn has(&self, event: Seen) -> bool {
        self.0.contains_key(&event)
    }

    /// Remembers an event. Call this only once its records are durable.
    pub(super) fn remember(&self, event: Seen) {
        self.0.insert(event, ());
    }
}

impl Seen {
    /// Returns `None` for an effect that leaves no records.
    pub(super) fn of(source: &str, id: &str, effect: &Effect) -> Option<Self> {
        let (Effect::Record(drafts) | Effect::RecordLater(drafts, _)) = effect else {
            return None;
        };
        let records = serde_json::to_vec(drafts).ok()?;
        let mut context = Context::new(&SHA256);
        for part in [source.as_bytes(), id.as_bytes(), &records] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let digest = context.finish();
        digest.as_ref().first_chunk().copied().map(Self)
    }
}
