//! A small durable key-value store for what a replica must remember across restarts.

mod testing;

use std::io;

pub use testing::InMemory;

/// The kind of a value. Names are unique within a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The last good JWK set of an issuer; the name is the issuer.
    KeySet,
    /// The history of `max_token_lifetime` of an issuer, as version 0.1 kept it; the name is the
    /// issuer.
    Lifetimes,
    /// The position up to which the local copy has an engine's log; the name is empty.
    Place,
    /// Lifts that were acknowledged and take effect later. The name is empty, or `2` or `3` if the
    /// values before it are damaged; a damaged value stays where it is.
    Lifts,
    /// The generated keys that sign assertions; the name is empty.
    AssertionKeys,
    /// The [`Horizon`](super::horizon::Horizon); the name is empty.
    Horizon,
}

impl Kind {
    /// Returns the name under which this kind is stored. Never change one: old files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeySet => "key_set",
            Self::Lifetimes => "lifetimes",
            Self::Lifts => "lifts",
            Self::Place => "place",
            Self::AssertionKeys => "assertion_keys",
            Self::Horizon => "horizon",
        }
    }
}

/// Both calls block on the disk. Call them at the start, or in a blocking task.
pub trait KeyValueStore: Send + Sync {
    /// Returns the value that was saved last.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn load(&self, kind: Kind, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Saves a value. It is durable when this returns.
    ///
    /// # Errors
    /// When the disk cannot be written. The old value stays.
    fn save(&self, kind: Kind, name: &str, value: &[u8]) -> io::Result<()>;
}
