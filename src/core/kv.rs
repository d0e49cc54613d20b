//! A small durable drawer for what a replica must remember across restarts: the last good key
//! sets, pollers' cursors, places in logs.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;

/// What kind of thing is kept. Names are unique within a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The last good JWK set of an issuer; the name is the issuer.
    KeySet,
    /// The history of `max_token_lifetime` of an issuer, as version 0.1 kept it; the name is the
    /// issuer.
    Lifetimes,
    /// How far the local copy of an engine's log reaches; the name is empty.
    Place,
    /// Lifts that were acknowledged and take effect later. The name is empty, or `2` or `3` if the
    /// values before it are damaged; a damaged value stays where it is.
    Lifts,
    /// The horizon below which revocations were forgotten; the name is empty.
    Horizon,
}

impl Kind {
    /// The name under which this kind is stored. Never change one: old files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeySet => "key_set",
            Self::Lifetimes => "lifetimes",
            Self::Lifts => "lifts",
            Self::Place => "place",
            Self::Horizon => "horizon",
        }
    }
}

/// Both calls block on the disk: call them at start, or from a blocking task.
pub trait KeyValueStore: Send + Sync {
    /// The value that was last saved.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn load(&self, kind: Kind, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Durable when it returns.
    ///
    /// # Errors
    /// When the disk cannot be written; the old value stays.
    fn save(&self, kind: Kind, name: &str, value: &[u8]) -> io::Result<()>;
}

/// Keeps in memory only: for tests.
#[derive(Debug, Default)]
pub struct InMemory(Mutex<HashMap<(Kind, String), Vec<u8>>>);

impl KeyValueStore for InMemory {
    fn load(&self, kind: Kind, name: &str) -> io::Result<Option<Vec<u8>>> {
        let drawer = self.0.lock().expect("no holder of this lock panics");
        Ok(drawer.get(&(kind, name.to_owned())).cloned())
    }

    fn save(&self, kind: Kind, name: &str, value: &[u8]) -> io::Result<()> {
        let mut drawer = self.0.lock().expect("no holder of this lock panics");
        drawer.insert((kind, name.to_owned()), value.to_vec());
        Ok(())
    }
}
