//! A door's encoded answer for a token, kept beside the token's claims.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

/// Kept from a token's second check on, so that a repeat token is not encoded again. Many tokens
/// are seen only once, and the answer would be half of what the cache holds for each: memory that
/// the kernel has to clear first, and that drives out other tokens.
#[derive(Debug, Default)]
pub struct Memo {
    asked_before: AtomicBool,
    answer: OnceLock<Bytes>,
}

impl Memo {
    /// The kept answer. `make` makes it when the token comes back for the first time; at its first
    /// sight there is none.
    pub fn recall(&self, make: impl FnOnce() -> Bytes) -> Option<&Bytes> {
        if self.answer.get().is_none() && !self.asked_before.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(self.answer.get_or_init(make))
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
