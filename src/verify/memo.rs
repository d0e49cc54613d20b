//! A door's encoded answer for a token, kept beside the token's claims.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::cache::Home;

/// Kept from a token's second check on, so that a repeat token is not encoded again. Many tokens
/// are seen only once, and the answer would be half of what the cache holds for each: memory that
/// the kernel has to clear first, and that drives out other tokens.
#[derive(Debug, Default)]
pub struct Memo {
    asked_before: AtomicBool,
    answer: OnceLock<Bytes>,
    /// Where the token is cached, to count the answer there once it is kept.
    home: Option<Home>,
}

impl Memo {
    pub(super) fn at(home: Home) -> Self {
        Self {
            home: Some(home),
            ..Self::default()
        }
    }

    /// Bytes that the kept answer takes.
    pub(super) fn footprint(&self) -> usize {
        self.answer.get().map_or(0, Bytes::len)
    }

    /// The kept answer. `make` makes it when the token comes back for the first time; at its first
    /// sight there is none.
    pub fn recall(&self, make: impl FnOnce() -> Bytes) -> Option<&Bytes> {
        if let Some(answer) = self.answer.get() {
            return Some(answer);
        }
        if !self.asked_before.swap(true, Ordering::Relaxed) {
            return None;
        }
        let answer = self.answer.get_or_init(make);
        if let Some(home) = &self.home {
            home.weigh_again();
        }
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_made_at_the_second_sight_and_only_then() {
        let memo = Memo::default();
        let never = || -> Bytes { panic!("made at the wrong time") };
        assert_eq!(memo.recall(never), None);
        let made = memo.recall(|| Bytes::from_static(b"answer")).cloned();
        assert_eq!(made.as_deref(), Some(&b"answer"[..]));
        assert_eq!(memo.recall(never), made.as_ref());
    }
}
