//! Denials that no check made: a door builds one when the check itself failed. Denying is always
//! safe, so anyone may.

use super::{DecisionId, Denial};
use crate::reason::Reason;

impl Denial {
    /// A denial with an id of its own.
    #[must_use]
    pub fn because(reason: Reason) -> Self {
        Self {
            id: DecisionId::next(),
            reason,
            detail: None,
        }
    }
}

impl DecisionId {
    /// The same sixteen digits as its text form, without the formatting machinery: this runs on
    /// every request.
    #[must_use]
    pub fn hex(self) -> [u8; Self::LEN] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; Self::LEN];
        for (place, byte) in hex.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            place[0] = DIGITS[usize::from(byte >> 4)];
            place[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_the_text_form() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let id = DecisionId(number);
            assert_eq!(id.to_string().as_bytes(), id.hex());
        }
    }

    #[test]
    fn two_denials_have_two_ids() {
        let (one, other) = (
            Denial::because(Reason::Stale),
            Denial::because(Reason::Stale),
        );
        assert_ne!(one.id, other.id);
    }
}
