//! The history of an issuer's `max_token_lifetime`, the bound that makes forgetting safe.
//!
//! Call the bound `M`. A token with `exp − iat > M` is refused, so a token issued at or before a
//! cut-off `c` is dead after `c + M + leeway`, and a revocation may be forgotten then. Raising `M`
//! must not bring back a token whose revocation was already forgotten, so a raise holds only for
//! tokens issued after it. Lowering `M` must not make a token that does not say when it was issued
//! look younger than its revocation. That is why the history is durable.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;

/// What one issuer's tokens were and are bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes {
    /// Oldest first: lifetimes strictly rise and so do their starts.
    bounds: Vec<Bound>,
    /// Longer bounds that were given up, while tokens of their time may live.
    cuts: Vec<Cut>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    /// Tokens issued in a later second than this may live this long. Seconds since the epoch.
    since: u64,
    /// Seconds.
    lifetime: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cut {
    /// No token that was issued under the old bound expires later. Seconds since the epoch.
    until: u64,
    /// The old bound, in seconds.
    lifetime: u64,
}

/// An issuer's clock is ahead by no more than this; `leeway` may not be longer.
const FURTHEST_AHEAD: u64 = 600;

impl Lifetimes {
    /// An issuer that was never seen before: the bound holds for all its tokens.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self {
            bounds: vec![Bound {
                since: 0,
                lifetime: lifetime.as_secs(),
            }],
            cuts: Vec::new(),
        }
    }

    /// Takes the configured bound over at `now`. A lower one holds at once and for every token; a
    /// higher one for tokens issued after `now`. Returns whether the history changed and has to
    /// be saved before any token is judged by it.
    pub fn adopt(&mut self, lifetime: Duration, now: UnixMillis) -> bool {
        let (now, lifetime) = (now.seconds(), lifetime.as_secs());
        let before = self.clone();
        let longest = self.longest().as_secs();
        self.cuts.retain(|cut| now <= cut.until);
        if lifetime < longest {
            self.cuts.push(Cut {
                until: now.saturating_add(longest).saturating_add(FURTHEST_AHEAD),
                lifetime: longest,
            });
        }
        for bound in &mut self.bounds {
            bound.lifetime = bound.lifetime.min(lifetime);
        }
        self.bounds.dedup_by_key(|bound| bound.lifetime);
        if self.longest().as_secs() < lifetime {
            self.bounds.push(Bound {
                since: now,
                lifetime,
            });
        }
        *self != before
    }

    /// The longest life that a token issued in second `issued_at` may have.
    #[must_use]
    pub fn of_token(&self, issued_at: u64) -> Duration {
        let bound = self.bounds.iter().rev();
        let bound = bound.clone().find(|bound| bound.since < issued_at);
        let bound = bound.or(self.bounds.first());
        Duration::from_secs(bound.map_or(0, |bound| bound.lifetime))
    }

    /// The longest life that any token may have.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_secs(self.bounds.last().map_or(0, |bound| bound.lifetime))
    }

    /// For how long after its cut-off a revocation may match a token that is still good. It is
    /// more than [`Lifetimes::longest`] after the bound was lowered, because of tokens that do not
    /// say when they were issued.
    #[must_use]
    pub fn remembered(&self) -> Duration {
        let given_up = self
            .cuts
            .iter()
            .map(|cut| Duration::from_secs(cut.lifetime));
        given_up.fold(self.longest(), Duration::max)
    }

    /// The first second in which a token that expires at `expires_at` may have been issued, by the
    /// bounds of today.
    #[must_use]
    pub fn earliest_issue(&self, expires_at: u64) -> u64 {
        let possible = |second: u64| expires_at - second <= self.of_token(second).as_secs();
        // Up to the first second that fits, none does; from there on, all do.
        let mut low = expires_at.saturating_sub(self.longest().as_secs());
        let mut high = expires_at;
        while low < high {
            let middle = low + (high - low) / 2;
            if possible(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        high
    }

    /// When a token without `iat` counts as issued: the first second in which it may have been, by
    /// the bounds of any time. A token of the time before a cut was, and its revocation must not
    /// lose it because the bound was lowered since.
    #[must_use]
    pub fn counts_as_issued(&self, expires_at: u64) -> u64 {
        let of_their_time = self.cuts.iter().filter(|cut| expires_at <= cut.until);
        let earliest = of_their_time.map(|cut| expires_at.saturating_sub(cut.lifetime));
        earliest.fold(self.earliest_issue(expires_at), u64::min)
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
        let rises = |pair: &[Bound]| pair[0].lifetime < pair[1].lifetime;
        match (read.bounds.is_empty(), read.bounds.windows(2).all(rises)) {
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
    fn a_cut_does_not_make_undated_tokens_younger() {
        let mut lifetimes = Lifetimes::new(HOUR * 4);
        let cut_at = 100_000;
        // Issued at 90,000 under the old bound, and perhaps revoked since.
        let expires_at = 90_000 + 4 * 3600;
        assert_eq!(lifetimes.counts_as_issued(expires_at), 90_000);
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(cut_at));
        assert_eq!(lifetimes.counts_as_issued(expires_at), 90_000);
        assert_eq!(lifetimes.earliest_issue(expires_at), expires_at - 3600);
        assert_eq!(lifetimes.remembered(), HOUR * 4);
        assert_eq!(lifetimes.longest(), HOUR);
        // What expires later was issued under the new bound.
        let later = cut_at + 5 * 3600;
        assert_eq!(lifetimes.counts_as_issued(later), later - 3600);
        // And once nothing of that time can live, it is forgotten.
        assert!(lifetimes.adopt(HOUR, UnixMillis::from_seconds(later)));
        assert_eq!(lifetimes.remembered(), HOUR);
    }

    #[test]
    fn the_earliest_issue_respects_every_bound() {
        let mut lifetimes = Lifetimes::new(HOUR);
        lifetimes.adopt(HOUR * 3, UnixMillis::from_seconds(50_000));
        for expires_at in [0, 10, 3600, 50_000, 53_600, 53_601, 55_000, 60_801, 90_000] {
            let earliest = lifetimes.earliest_issue(expires_at);
            let fits = |second: u64| expires_at - second <= lifetimes.of_token(second).as_secs();
            assert!(fits(earliest), "{expires_at}");
            assert!(earliest == 0 || !fits(earliest - 1), "{expires_at}");
        }
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
