//! What a door keeps beside a verified token.

use std::any::Any;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, Weak};

use super::fingerprint::Fingerprint;

/// Something that a door makes from a token and keeps beside its claims, such as an encoded answer.
pub trait Keepsake: Any + Debug + Send + Sync {
    /// Returns about how many bytes it takes.
    fn footprint(&self) -> usize;
}

/// A cache whose entries are weighed when they are inserted.
pub(super) trait Weigh: Send + Sync {
    /// Counts the bytes of an entry anew.
    fn weigh_again(&self, token: Fingerprint);
}

/// Room for one keepsake. It is filled at a token's second check, so that a repeat token is not
/// encoded again. Many tokens are seen only once, and the answer would be half of what the cache
/// holds for each.
#[derive(Default)]
pub struct Memo {
    asked_before: AtomicBool,
    kept: OnceLock<Box<dyn Keepsake>>,
    /// Where the token is cached, to count the keepsake there.
    home: Option<(Weak<dyn Weigh>, Fingerprint)>,
}

impl Memo {
    pub(super) fn at(cache: Weak<dyn Weigh>, token: Fingerprint) -> Self {
        Self {
            home: Some((cache, token)),
            ..Self::default()
        }
    }

    /// Returns about how many bytes the keepsake takes.
    pub(super) fn footprint(&self) -> usize {
        self.kept.get().map_or(0, |kept| kept.footprint())
    }

    /// Returns the keepsake if there is one already.
    pub fn kept<T: Keepsake>(&self) -> Option<&T> {
        let kept: &dyn Any = &**self.kept.get()?;
        kept.downcast_ref()
    }

    /// Counts the bytes of the keepsake anew, after it has grown.
    pub fn weigh_again(&self) {
        if let Some((cache, token)) = &self.home
            && let Some(cache) = cache.upgrade()
        {
            cache.weigh_again(*token);
        }
    }

    /// Returns the keepsake, which `make` makes at the second call. Returns `None` at the first
    /// call, and when something of another type is kept.
    pub fn recall<T: Keepsake>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        if self.kept.get().is_none() {
            if !self.asked_before.swap(true, Ordering::Relaxed) {
                return None;
            }
            self.kept.get_or_init(|| Box::new(make()));
            self.weigh_again();
        }
        self.kept()
    }
}

impl Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Memo").field(&self.kept).finish()
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
