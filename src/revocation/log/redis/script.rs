//! The scripts that run inside the server, so that what belongs together happens together.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::{Script, Value, from_redis_value_ref};

use crate::revocation::log::Cursor;

use super::entry::EntryId;

/// Finds the log, or starts it. Answers with the epoch, the id of the newest entry and the time.
pub(super) static OPEN: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("head.lua"), include_str!("open.lua"))));

/// Appends an entry. Answers with the epoch and the entry's id.
pub(super) static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("head.lua"),
        include_str!("append.lua")
    ))
});

/// Looks at some entries and deletes those that are over. The answer is empty when another replica
/// has the lock.
pub(super) static COMPACT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("compact.lua")));

/// The name that `head.lua` gives the group that marks the head.
const GROUP: &str = "portcullis:";

/// Where the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) epoch: [u8; 16],
    pub(super) last: EntryId,
}

impl Head {
    /// Reads an epoch of 32 hexadecimal digits and the id of an entry.
    pub(super) fn read(epoch: &str, last: &[u8]) -> Option<Self> {
        let well_formed = epoch.len() == 32 && epoch.bytes().all(|b| b.is_ascii_hexdigit());
        let number = well_formed.then(|| u128::from_str_radix(epoch, 16).ok())??;
        Some(Self {
            epoch: number.to_be_bytes(),
            last: EntryId::parse(last)?,
        })
    }

    /// Returns the head in the answer to `XINFO GROUPS`.
    pub(super) fn among(groups: &[HashMap<String, Value>]) -> Option<Self> {
        groups.iter().find_map(|group| {
            let name: String = from_redis_value_ref(group.get("name")?).ok()?;
            let last: Vec<u8> = from_redis_value_ref(group.get("last-delivered-id")?).ok()?;
            Self::read(name.strip_prefix(GROUP)?, &last)
        })
    }

    pub(super) fn cursor(self) -> Cursor {
        Cursor {
            epoch: self.epoch,
            position: self.last.position(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_32_digits() {
        let epoch = |hex: &str| Head::read(hex, b"1-2").map(|head| head.epoch);
        assert_eq!(epoch(&"0f".repeat(16)), Some([15; 16]));
        assert_eq!(epoch("0f"), None);
        assert_eq!(epoch(&"+f".repeat(16)), None);
    }
}
