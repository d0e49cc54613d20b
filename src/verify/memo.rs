//! What a door keeps beside a verified token.

use std::any::Any;
use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cache::Home;

/// Something that a door makes from a token and keeps beside its claims, such as an encoded answer.
pub trait Keepsake: Any + Debug + Send + Sync {
    /// Returns about how many bytes it takes.
    fn footprint(&self) -> usize;
}

/// Room for one keepsake. It is filled at a token's second check, so that a repeat token is not
/// encoded again. Many tokens are seen only once, and the answer would be half of what the cache
/// holds for each.
#[derive(Debug, Default)]
pub struct Memo {
    asked_before: AtomicBool,
    kept: OnceLock<Box<dyn Keepsake>>,
    /// Where the token is cached, to count the keepsake there.
    home: Option<Home>,
}

impl Memo {
    pub(super) fn at(home: Home) -> Self {
        Self {
            home: Some(home),
            ..Self::default()
        }
    }

    /// Returns about how many bytes the keepsake takes.
    pub(super) fn footprint(&self) -> usize {
        self.kept.get().map_or(0, |kept| kept.footprint())
    }

    /// Returns the keepsake, which `make` makes at the second call. Returns `None` at the first
    /// call, and when something of another type is kept.
    pub fn recall<T: Keepsake>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        let kept = match self.kept.get() {
            Some(kept) => kept,
            None if !self.asked_before.swap(true, Ordering::Relaxed) => return None,
            None => {
                let kept = self.kept.get_or_init(|| Box::new(make()));
                if let Some(home) = &self.home {
                    home.weigh_again();
                }
                kept
            }
        };
        let kept: &dyn Any = &**kept;
        kept.downcast_ref()
    }
}

#[cfg(test)]
impl Keepsake for Vec<u8> {
    fn footprint(&self) -> usize {
        self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_made_at_the_second_sight_and_only_then() {
        let memo = Memo::default();
        let never = || -> Vec<u8> { panic!("made at the wrong time") };
        assert_eq!(memo.recall(never), None);
        let made = memo.recall(|| b"answer".to_vec()).cloned();
        assert_eq!(made.as_deref(), Some(&b"answer"[..]));
        assert_eq!(memo.recall(never), made.as_ref());
    }
}
