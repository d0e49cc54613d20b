//! Events that were recorded before. Senders repeat an event whose answer they did not get.

use std::time::Duration;

use aws_lc_rs::digest::{self, Context, SHA256};
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
        let cache = Cache::builder().max_capacity(MOST);
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
