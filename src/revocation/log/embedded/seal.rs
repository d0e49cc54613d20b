//! Checksums, because SQLite has none for its pages. They are keyed with the random epoch of the
//! database, so that nobody can write two events that look like one.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128;

use crate::core::clock::UnixMillis;
use crate::revocation::record::{Revocation, View};

use super::recent::Digest;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) epoch: [u8; 16],
}

impl Seal {
    /// Tells one event from another. The times that the receipt fixed are left out, so that an
    /// event that is delivered twice has one digest; a different event that reuses an id has not.
    pub(super) fn digest(self, record: &Revocation) -> [u8; 16] {
        let event = View {
            received_at: UnixMillis::default(),
            forget_after: UnixMillis::default(),
            ..View::from(record)
        };
        let hash = sip128::SipHasher24::new_with_key(&self.epoch).hash(&event.encode());
        hash.as_bytes()
    }

    pub(super) fn of_row(
        self,
        position: i64,
        digest: &Digest,
        forget_after: i64,
        record: &[u8],
    ) -> i64 {
        // As `of_parts` would, with everything of a known length in one piece: a replay does this
        // for every record, and the hasher is slow to take up short ones.
        let mut head = [0; 64];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &8_u64.to_le_bytes());
        put(8, &position.to_le_bytes());
        put(16, &16_u64.to_le_bytes());
        put(24, digest);
        put(40, &8_u64.to_le_bytes());
        put(48, &forget_after.to_le_bytes());
        put(56, &(record.len() as u64).to_le_bytes());
        let mut hasher = SipHasher13::new_with_key(&self.epoch);
        hasher.write(&head);
        hasher.write(record);
        hasher.finish().cast_signed()
    }

    pub(super) fn of_kept(self, kind: &str, name: &str, value: &[u8]) -> i64 {
        self.of_parts([kind.as_bytes(), name.as_bytes(), value])
    }

    pub(super) fn of_tally(self, commits: i64, last: i64, records: i64) -> i64 {
        self.of_parts([
            &commits.to_le_bytes(),
            &last.to_le_bytes(),
            &records.to_le_bytes(),
        ])
    }

    pub(super) fn of_count(self, count: u64) -> u64 {
        self.of_parts([&count.to_le_bytes()]).cast_unsigned()
    }

    fn of_parts<const N: usize>(self, parts: [&[u8]; N]) -> i64 {
        let mut hasher = SipHasher13::new_with_key(&self.epoch);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish().cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_sealed_as_its_parts_are() {
        let seal = Seal { epoch: [3; 16] };
        for record in [&b""[..], b"r", &[7; 300]] {
            let parts = seal.of_parts([
                &5_i64.to_le_bytes(),
                &[9; 16],
                &(-1_i64).to_le_bytes(),
                record,
            ]);
            assert_eq!(seal.of_row(5, &[9; 16], -1, record), parts);
        }
    }
}
