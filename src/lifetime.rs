//! The history of an issuer's `max_token_lifetime`, the bound that makes forgetting safe.
//!
//! Call the bound `M`. A token with `exp − iat > M` is refused, so a token issued at or before a
//! cut-off `c` is dead after `c + M + leeway`, and a revocation may be forgotten then. Raising `M`
//! must not bring back a token whose revocation was already forgotten, so a raise holds only for
//! tokens issued after it. That is why the history is durable.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;

/// The bounds of one issuer, oldest first: lifetimes strictly rise and so do their starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes(Vec<Bound>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    /// Tokens issued in a later second than this may live this long. Seconds since the epoch.
    since: u64,
    /// Seconds.
    lifetime: u64,
}

impl Lifetimes {
    /// An issuer that was never seen before: the bound holds for all its tokens.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self(vec![Bound {
            since: 0,
            lifetime: lifetime.as_secs(),
        }])
    }

    /// Takes the configured bound over at `now`. A lower one holds at once and for every token; a
    /// higher one for tokens issued after `now`. Returns whether the history changed and has to
    /// be saved before any token is judged by it.
    pub fn adopt(&mut self, lifetime: Duration, now: UnixMillis) -> bool {
        let lifetime = lifetime.as_secs();
        let before = self.0.clone();
        for bound in &mut self.0 {
            bound.lifetime = bound.lifetime.min(lifetime);
        }
        self.0.dedup_by_key(|bound| bound.lifetime);
        if self.longest().as_secs() < lifetime {
            self.0.push(Bound {
                since: now.seconds(),
                lifetime,
            });
        }
        self.0 != before
    }

    /// The longest life that a token issued in second `issued_at` may have.
    #[must_use]
    pub fn of_token(&self, issued_at: u64) -> Duration {
        let bound = self.0.iter().rev().find(|bound| bound.since < issued_at);
        Duration::from_secs(bound.or(self.0.first()).map_or(0, |bound| bound.lifetime))
    }

    /// The longest life that any token may have.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_secs(self.0.last().map_or(0, |bound| bound.lifetime))
    }

    /// As bytes for [`crate::keep::Keep`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers always serialise")
    }

    /// Reads what [`Lifetimes::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a history; the caller must not carry on with a guess.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!("the kept history of max_token_lifetime is unreadable: {error}")
        })?;
        let rises = read
            .0
            .windows(2)
            .all(|pair| pair[0].lifetime < pair[1].lifetime);
        match (read.0.is_empty(), rises) {
            (false, true) => Ok(read),
            _ => Err("the kept history of max_token_lifetime is out of order".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_raise_holds_for_later_tokens_only() {
        let mut lifetimes = Lifetimes::new(HOUR);
        assert!(lifetimes.adopt(HOUR * 2, UnixMillis::from_seconds(100)));
        assert_eq!(lifetimes.of_token(100), HOUR);
        assert_eq!(lifetimes.of_token(101), HOUR * 2);
        assert_eq!(lifetimes.longest(), HOUR * 2);
    }

    #[test]
    fn a_cut_holds_for_every_token_at_once() {
        let mut lifetimes = Lifetimes::new(HOUR * 2);
        assert!(lifetimes.adopt(HOUR, UnixMillis::from_seconds(100)));
        assert_eq!(lifetimes.of_token(50), HOUR);
        assert_eq!(lifetimes.longest(), HOUR);
        assert!(!lifetimes.adopt(HOUR, UnixMillis::from_seconds(200)));
    }

    #[test]
    fn a_cut_then_a_raise_does_not_bring_old_tokens_back() {
        let mut lifetimes = Lifetimes::new(HOUR * 2);
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(100));
        lifetimes.adopt(HOUR * 2, UnixMillis::from_seconds(200));
        assert_eq!(lifetimes.of_token(150), HOUR);
        assert_eq!(lifetimes.of_token(201), HOUR * 2);
    }

    #[test]
    fn bytes_read_back_and_nonsense_does_not() {
        let mut lifetimes = Lifetimes::new(HOUR);
        lifetimes.adopt(HOUR * 3, UnixMillis::from_seconds(7));
        assert_eq!(Lifetimes::from_bytes(&lifetimes.to_bytes()), Ok(lifetimes));
        assert!(Lifetimes::from_bytes(b"[]").is_err());
        assert!(Lifetimes::from_bytes(b"{").is_err());
    }
}
