//! Checksums, because SQLite has none for its pages. They are keyed with the random epoch of the
//! database, so that nobody can write two events that look like one.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) epoch: [u8; 16],
}

impl Seal {
    pub(super) fn of_row(
        self,
        position: i64,
        digest: &[u8],
        forget_after: i64,
        record: &[u8],
    ) -> i64 {
        self.of_parts([
            &position.to_le_bytes(),
            digest,
            &forget_after.to_le_bytes(),
            record,
        ])
    }

    pub(super) fn of_parts<const N: usize>(self, parts: [&[u8]; N]) -> i64 {
        let mut hasher = SipHasher13::new_with_key(&self.epoch);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish().cast_signed()
    }
}
