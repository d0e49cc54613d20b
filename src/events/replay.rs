//! Events that were recorded before. Senders repeat an event whose answer they did not get.

use std::time::Duration;

use aws_lc_rs::digest::{self, Context, SHA256};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// The events that were recorded last. Forgetting one costs a second record, which changes nothing.
pub(super) struct Replays(Cache<Digest, Digest>);

type Digest = [u8; 32];

/// Stands for an event: its source and id, the history of the log that has it, and what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    named: Digest,
    content: Digest,
}

/// What came before with the id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// The event itself.
    Same,
    /// One that says something else. If it were taken for the same, a sender that gives one id to two events
    /// would lose the second.
    Other,
}

/// Longer than the attempts of the senders that try longest (Svix, 28 hours).
const REMEMBERED_FOR: Duration = Duration::from_hours(48);

/// Some ten megabytes at most.
const MOST: u64 = 100_000;

impl Replays {
    pub(super) fn new() -> Self {
        Self::with_room_for(MOST)
    }

    fn with_room_for(most: u64) -> Self {
        let cache = Cache::builder().max_capacity(most);
        // The default policy of a full cache turns away what is new.
        let cache = cache.eviction_policy(EvictionPolicy::lru());
        Self(cache.time_to_live(REMEMBERED_FOR).build())
    }

    /// Returns what was recorded before under the id of an event.
    pub(super) fn before(&self, event: Seen) -> Option<Before> {
        let content = self.0.get(&event.named)?;
        Some(if content == event.content {
            Before::Same
        } else {
            Before::Other
        })
    }

    /// Remembers an event. Call this only once its records are durable.
    pub(super) fn remember(&self, event: Seen) {
        self.0.insert(event.named, event.content);
    }
}

impl Seen {
    pub(super) fn of(history: u64, source: &str, id: &str, content: &[u8]) -> Self {
        let mut named = Context::new(&SHA256);
        named.update(&history.to_le_bytes());
        // A source's name has no line break.
        for part in [source, "\n", id] {
            named.update(part.as_bytes());
        }
        Self {
            named: whole(named.finish()),
            content: whole(digest::digest(&SHA256, content)),
        }
    }
}

fn whole(digest: digest::Digest) -> Digest {
    let bytes = digest.as_ref().first_chunk().copied();
    bytes.expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_event_is_recognised_however_many_came_before() {
        let replays = Replays::with_room_for(10);
        for number in 0..100 {
            let event = Seen::of(0, "people", &number.to_string(), b"{}");
            replays.remember(event);
            replays.0.run_pending_tasks();
            assert_eq!(replays.before(event), Some(Before::Same), "{number}");
        }
    }
}
