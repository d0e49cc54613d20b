//! The ids of decisions: unique within a process, and without meaning to anybody else.
//!
//! Clients see ids. Two plain counts would reveal the number of decisions between them, which is the
//! traffic. So an id is the count, encrypted with Speck64/128 under a random key of the process. That
//! is a permutation of all 64-bit numbers, so ids are unique. It costs 27 rounds of four operations.
//! See decision 0020.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names one decision in logs, metadata and the error body, so that they can be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    /// The length of the text form.
    pub const LEN: usize = 16;

    /// Returns an id that is new in this process.
    pub(super) fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        static CIPHER: LazyLock<Speck> = LazyLock::new(|| Speck::new(rand::random()));
        Self(CIPHER.encipher(COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Returns whether it is one of the sixteenth of all ids that end in a zero.
    #[must_use]
    pub(super) const fn is_sampled(self) -> bool {
        self.0.is_multiple_of(16)
    }

    /// Returns the sixteen digits of the text form without the formatting machinery, for every
    /// request.
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

/// Reads sixteen lower-case hexadecimal digits.
impl FromStr for DecisionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = u64::from_str_radix(text, 16).map_err(|_| ())?;
        let id = Self(number);
        (id.hex() == text.as_bytes()).then_some(id).ok_or(())
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The round keys of Speck64/128 (Beaulieu et al., IACR ePrint 2013/404).
struct Speck([u32; 27]);

impl Speck {
    /// The key's words stand in the order of the paper's test vectors, the last one first.
    fn new([l2, l1, l0, mut key]: [u32; 4]) -> Self {
        let mut words = [l0, l1, l2];
        let mut keys = [0; 27];
        for (turn, slot) in (0..).zip(&mut keys) {
            *slot = key;
            let word = &mut words[turn as usize % 3];
            (*word, key) = round(*word, key, turn);
        }
        Self(keys)
    }

    fn encipher(&self, number: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (mut x, mut y) = ((number >> 32) as u32, number as u32);
        for key in self.0 {
            (x, y) = round(x, y, key);
        }
        u64::from(x) << 32 | u64::from(y)
    }
}

const fn round(x: u32, y: u32, key: u32) -> (u32, u32) {
    let x = x.rotate_right(8).wrapping_add(y) ^ key;
    (x, y.rotate_left(3) ^ x)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn hex_is_the_text_form() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let id = DecisionId(number);
            assert_eq!(id.to_string().as_bytes(), id.hex());
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn only_the_text_form_is_read() {
        for wrong in [
            "",
            "0",
            "00000000000000000",
            "000000000000000A",
            "+000000000000000",
            "000000000000000g",
        ] {
            assert_eq!(wrong.parse::<DecisionId>(), Err(()), "{wrong}");
        }
    }

    /// The paper's test vector, appendix C.
    #[test]
    fn the_cipher_is_speck() {
        let speck = Speck::new([0x1b1a_1918, 0x1312_1110, 0x0b0a_0908, 0x0302_0100]);
        assert_eq!(speck.encipher(0x3b72_6574_7475_432d), 0x8c6f_a548_454e_028b);
    }

    /// With a fixed stride all differences are the same; two ids then tell the traffic between.
    #[test]
    fn ids_are_unique_and_tell_no_count() {
        let ids: Vec<_> = (0..10_000).map(|_| DecisionId::next()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        let pairs = ids.windows(2);
        let strides: HashSet<_> = pairs
            .map(|pair| pair[1].0.wrapping_sub(pair[0].0))
            .collect();
        assert_eq!(strides.len(), ids.len() - 1);
    }
}
