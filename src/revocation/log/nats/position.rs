//! Positions in the stream.

use aws_lc_rs::digest;

/// Behind a message, known by its sequence number and a mark of what it says. The mark shows a
/// stream that was put back to an older state (a restored backup, a lost tail) and has grown past
/// the position again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) sequence: u64,
    mark: u64,
}

/// The message was not seen: it was over before it was delivered.
const UNSEEN: u64 = u64::MAX;

impl Position {
    pub(super) fn behind(sequence: u64, payload: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, payload);
        let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
        let mark = u64::from_be_bytes(first);
        Self { sequence, mark }
    }

    pub(super) const fn unseen(sequence: u64) -> Self {
        Self {
            sequence,
            mark: UNSEEN,
        }
    }

    /// Returns whether the message that was read here had this payload.
    pub(super) fn confirms(&self, payload: &[u8]) -> bool {
        self.mark != UNSEEN && Self::behind(self.sequence, payload).mark == self.mark
    }

    /// Returns the position of a cursor. The sequence number leads, so positions rise with it.
    pub(super) fn to_cursor(self) -> u128 {
        (u128::from(self.sequence) << 64) | u128::from(self.mark)
    }

    pub(super) fn of_cursor(position: u128) -> Self {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        Self {
            sequence: half(position >> 64),
            mark: half(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_rise_with_their_sequence_and_survive_as_cursors() {
        let first = Position::behind(1, b"x");
        let second = Position::behind(2, b"y");
        assert!(first.to_cursor() <= Position::unseen(1).to_cursor());
        assert!(Position::unseen(1).to_cursor() < second.to_cursor());
        assert_eq!(Position::of_cursor(second.to_cursor()), second);
    }

    #[test]
    fn only_the_message_that_was_read_confirms_a_position() {
        assert!(Position::behind(7, b"x").confirms(b"x"));
        assert!(!Position::behind(7, b"x").confirms(b"y"));
        assert!(
            !Position::unseen(7).confirms(b"y"),
            "what was there is not known"
        );
    }
}
