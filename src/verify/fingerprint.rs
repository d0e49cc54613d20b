//! The short name of a token.

use std::hash::{Hash, Hasher};

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};

use crate::core::token::Token;

/// Stands for the whole text of a token. Anything that is easier to collide would let those who
/// send tokens be taken for somebody else; the text itself would be most of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

/// Any part of a digest finds its place in a table as well as the whole does; all of it is compared
/// there. The table's hasher is keyed, so nobody can aim at a place.
impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (part, _) = self.0.split_first_chunk().expect("SHA-256 has 32 bytes");
        state.write_u64(u64::from_le_bytes(*part));
    }
}

impl Fingerprint {
    pub(super) fn of(token: Token<'_>) -> Self {
        let digest = digest::digest(&SHA256, token.expose().as_bytes());
        let bytes = digest.as_ref().first_chunk().copied();
        Self(bytes.expect("SHA-256 has as many bytes"))
    }
}
