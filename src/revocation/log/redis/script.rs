//! The scripts that run inside the server, so that what belongs together happens together.

use std::collections::HashMap;

use redis::{Cmd, Script, ScriptInvocation, Value, cmd, from_redis_value_ref};

use crate::core::clock::UnixMillis;
use crate::revocation::log::Cursor;

use super::config::Config;
use super::connection::Purpose;
use super::entry::EntryId;

const OPEN: &str = concat!(include_str!("head.lua"), include_str!("open.lua"));
const APPEND: &str = concat!(include_str!("head.lua"), include_str!("append.lua"));
const COMPACT: &str = include_str!("compact.lua");

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

/// The scripts, and the keys they work on.
pub(super) struct Scripts {
    open: Script,
    append: Script,
    compact: Script,
    stream: String,
    horizon: String,
    compacting: String,
    /// Never made: see `open.lua`.
    nowhere: String,
    /// Whether a log that is missing is started.
    create: bool,
}

impl Scripts {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            open: Script::new(OPEN),
            append: Script::new(APPEND),
            compact: Script::new(COMPACT),
            stream: config.key.clone(),
            horizon: config.beside("horizon"),
            compacting: config.beside("compacting"),
            nowhere: config.beside("nowhere"),
            create: config.create,
        }
    }

    /// Finds the log, or starts it. Returns the epoch, the id of the newest entry and the time.
    pub(super) fn open(&self, purpose: Purpose) -> ScriptInvocation<'_> {
        let mut call = self.open.key(&self.stream);
        call.key(&self.nowhere);
        call.arg(self.candidate()).arg(match purpose {
            Purpose::Write => "write",
            Purpose::Read => "read",
        });
        call
    }

    /// Appends an entry. Returns the epoch and the entry's id.
    pub(super) fn append(&self, forget_after: UnixMillis, records: &[u8]) -> ScriptInvocation<'_> {
        let mut call = self.append.key(&self.stream);
        call.arg(self.candidate()).arg(forget_after.0).arg(records);
        call
    }

    /// Returns the name of the epoch that begins if there is no log yet; empty if none may begin.
    fn candidate(&self) -> String {
        if self.create {
            format!("{:032x}", rand::random::<u128>())
        } else {
            String::new()
        }
    }

    /// Looks at `count` entries from `from` on and deletes those that are over.
    /// The answer is empty when the lock is not `ours` any more.
    pub(super) fn compact(
        &self,
        from: &str,
        count: usize,
        (now_ms, grace_ms): (u64, u64),
        (ours, lock_ms): (&str, u64),
    ) -> ScriptInvocation<'_> {
        let mut call = self.compact.key(&self.stream);
        call.key(&self.horizon).key(&self.compacting);
        call.arg(from).arg(count).arg(now_ms).arg(grace_ms);
        call.arg(ours).arg(lock_ms);
        call
    }

    /// Takes the lock of compaction, if nobody has it.
    pub(super) fn lock(&self, ours: &str, lock_ms: u64) -> Cmd {
        let mut command = cmd("SET");
        command.arg(&self.compacting).arg(ours).arg("NX");
        command.arg("PX").arg(lock_ms);
        command
    }

    /// Reads how far the log has forgotten.
    pub(super) fn horizon(&self) -> Cmd {
        cmd("GET").arg(&self.horizon).take()
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
