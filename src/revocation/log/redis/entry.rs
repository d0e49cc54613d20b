//! An entry of the stream: one batch, and the name of the entry before it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::revocation::log::engine::batch;
use crate::revocation::record::Revocation;

/// The id of an entry: milliseconds of the server's clock, and a number within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryId {
    milliseconds: u64,
    number: u64,
}

impl EntryId {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (milliseconds, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            milliseconds: milliseconds.parse().ok()?,
            number: number.parse().ok()?,
        })
    }

    /// Returns the position of a cursor behind the entry. It is 0 before every entry.
    pub(super) fn position(self) -> u128 {
        (u128::from(self.milliseconds) << 64) | u128::from(self.number)
    }

    pub(super) fn at(position: u128) -> Self {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        Self {
            milliseconds: half(position >> 64),
            number: half(position),
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.number)
    }
}

/// What the server says of an entry: its id, and its fields with their values.
pub(super) type RawEntry = (Vec<u8>, HashMap<Vec<u8>, Vec<u8>>);

/// An entry as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    /// The entry that was the newest when this one was written.
    pub(super) before: EntryId,
    pub(super) records: Vec<Arc<Revocation>>,
}

impl Entry {
    /// # Errors
    /// When the entry cannot be acted on, and so cannot be passed; for people.
    pub(super) fn read((id, fields): &RawEntry) -> Result<Self, String> {
        let unreadable = |why: &str| {
            let id = String::from_utf8_lossy(id);
            format!("entry {id} of the log cannot be read: {why}")
        };
        let foreign = || unreadable("it was not written by Portcullis; XDEL removes it");
        let field = |name: &str| fields.get(name.as_bytes()).ok_or_else(foreign);
        let batch = field("r")?;
        Ok(Self {
            id: EntryId::parse(id).ok_or_else(foreign)?,
            before: EntryId::parse(field("p")?).ok_or_else(foreign)?,
            records: batch::decode(batch).map_err(|error| unreadable(&error.to_string()))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_like_positions() {
        let id = |text: &str| EntryId::parse(text.as_bytes()).unwrap();
        assert!(id("9-10").position() < id("10-9").position());
        assert!(id("10-9").position() < id("10-10").position());
        assert_eq!(EntryId::at(id("10-9").position()), id("10-9"));
        assert_eq!(EntryId::parse(b"10"), None);
        assert_eq!(EntryId::parse(b"10-x"), None);
    }
}
