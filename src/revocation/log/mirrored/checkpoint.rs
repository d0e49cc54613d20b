//! How far the local copy reaches.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::clock::UnixMillis;
use crate::revocation::log::Cursor;

/// How often the checkpoint is written at most. After a restart the engine is asked for what came
/// since, which the copy has already.
const EVERY: Duration = Duration::from_secs(1);

/// How often when nothing came. The checkpoint tells how old the copy is.
const EVERY_QUIET: Duration = Duration::from_secs(5);

/// How far the copy reaches, and when it was known to be complete.
///
/// Version 0.1 wrote it in another form, and its copies lack the fields that it did not know. Without a
/// checkpoint that can be read, everything is read from the engine once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    pub(super) cursor: Cursor,
    pub(super) in_sync_at: UnixMillis,
}

impl Checkpoint {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("numbers can be written")
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Returns whether this one is worth writing, when that one is on the disk.
    pub(super) fn is_due_after(self, saved: Self) -> bool {
        // The clock was set back: the saved moment would make the copy look younger than it is.
        if self.in_sync_at < saved.in_sync_at {
            return true;
        }
        let pause = if saved.cursor == self.cursor {
            EVERY_QUIET
        } else {
            EVERY
        };
        self.in_sync_at.since(saved.in_sync_at) >= pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_a_torn_one_does_not() {
        let checkpoint = Checkpoint {
            cursor: Cursor {
                epoch: [7; 16],
                position: u128::MAX - 1,
            },
            in_sync_at: UnixMillis(1_700_000_000_123),
        };
        let bytes = checkpoint.to_bytes();
        assert_eq!(Checkpoint::from_bytes(&bytes), Some(checkpoint));
        assert_eq!(Checkpoint::from_bytes(&bytes[..40]), None);
        assert_eq!(Checkpoint::from_bytes(&[7; 40]), None, "of version 0.1");
        assert_eq!(Checkpoint::from_bytes(&[bytes, vec![0]].concat()), None);
    }

    #[test]
    fn a_checkpoint_is_written_now_and_then_and_at_once_when_the_clock_was_set_back() {
        let checkpoint = |position, in_sync_at| Checkpoint {
            cursor: Cursor {
                epoch: [7; 16],
                position,
            },
            in_sync_at: UnixMillis(in_sync_at),
        };
        let saved = checkpoint(5, 10_000);
        assert!(!checkpoint(6, 10_999).is_due_after(saved));
        assert!(checkpoint(6, 11_000).is_due_after(saved));
        assert!(!checkpoint(5, 14_999).is_due_after(saved));
        assert!(checkpoint(5, 15_000).is_due_after(saved));
        assert!(checkpoint(5, 9_999).is_due_after(saved));
    }
}
