//! The history of an issuer's `max_token_lifetime` and `leeway`, which makes forgetting safe.
//!
//! The bound `M` is `max_token_lifetime + leeway`: issuers round, so a token for an hour may live a
//! second longer. A token with `exp − iat > M` is refused. So a token issued at or before a cut-off `c` is
//! dead after `c + M + leeway`, and its revocation may be forgotten then. A raise of `M` holds only for
//! tokens issued after it, or it would bring back tokens whose revocations were forgotten. So every change
//! is a record in the log ([`History`]), and all replicas judge by all changes.
//!
//! Two more changes could bring a token back. A lowered `M` would date a token without `iat` (`exp − M`)
//! later than before, after the cut-off that revoked it: see [`Lifetimes::may_date_from`]. A raised
//! leeway would admit a dead token whose revocation was forgotten: see [`Lifetimes::dead_before`].

mod history;

use std::time::Duration;

use serde::Deserialize;

use crate::core::clock::UnixMillis;

pub use history::{Bounds, Change, Current, History};

/// The bounds that follow from the history of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lifetimes {
    /// Oldest first. The lifetimes strictly rise.
    bounds: Vec<Bound>,
    /// Bounds that were lowered.
    cuts: Vec<Cut>,
    /// The leeway in force, in milliseconds; `None` before the first was adopted.
    leeway: Option<u64>,
    /// See [`Lifetimes::dead_before`].
    dead_before: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Bound {
    /// Seconds since the epoch. Tokens that are issued later may live this long.
    since: u64,
    /// Seconds.
    lifetime: u64,
}

/// A bound that was lowered. Tokens of that time may still be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Cut {
    /// Seconds.
    lifetime: u64,
    /// The last second at which a token of that time can expire.
    until: u64,
}

/// Seconds by which an issuer's clock may be ahead of ours at most, whatever its leeway.
const CLOCKS_DIFFER: u64 = 600;

impl Lifetimes {
    /// Returns the bounds of an issuer without a history: the bound holds for all its tokens.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self {
            bounds: vec![Bound {
                since: 0,
                lifetime: lifetime.as_secs(),
            }],
            cuts: Vec::new(),
            leeway: None,
            dead_before: 0,
        }
    }

    /// Adopts a bound at `now`. A lower bound holds for every token at once, a higher one for tokens issued
    /// after `now`.
    pub fn adopt(&mut self, lifetime: Duration, now: UnixMillis) {
        let lifetime = lifetime.as_secs();
        let longest = self.longest().as_secs();
        if lifetime < longest {
            self.cut(longest, now);
        }
        for bound in &mut self.bounds {
            bound.lifetime = bound.lifetime.min(lifetime);
        }
        self.bounds.dedup_by_key(|bound| bound.lifetime);
        if self.longest().as_secs() < lifetime {
            self.bounds.push(Bound {
                since: now.seconds(),
                lifetime,
            });
        }
    }

    fn cut(&mut self, lifetime: u64, now: UnixMillis) {
        let until = now.seconds() + lifetime + CLOCKS_DIFFER;
        self.cuts
            .retain(|cut| cut.lifetime > lifetime || cut.until > until);
        self.cuts.push(Cut { lifetime, until });
    }

    /// Adopts a leeway at `now`.
    pub fn adopt_leeway(&mut self, leeway: Duration, now: UnixMillis) {
        let millis = u64::try_from(leeway.as_millis()).unwrap_or(u64::MAX);
        let earlier = self.leeway.replace(millis);
        if let Some(earlier) = earlier.filter(|earlier| *earlier < millis) {
            let dead = now.minus(Duration::from_millis(earlier)).seconds();
            self.dead_before = self.dead_before.max(dead);
        }
    }

    /// Returns the second before which tokens must not expire: they were dead before the leeway was raised,
    /// and their revocations may be forgotten.
    #[must_use]
    pub fn dead_before(&self) -> u64 {
        self.dead_before
    }

    /// Returns the earliest second at which a token that expires at `expires_at` may have been issued under
    /// a lowered bound; `None` if no such bound admits it. A token without `iat` counts as issued then at
    /// the latest, so that the revocations that matched it before still match it.
    #[must_use]
    pub fn may_date_from(&self, expires_at: u64) -> Option<u64> {
        let cuts = self.cuts.iter().filter(|cut| expires_at <= cut.until);
        cuts.map(|cut| expires_at.saturating_sub(cut.lifetime))
            .min()
    }

    /// Returns the time until which tokens of lowered bounds may be alive, without the leeway. Nothing that
    /// might match them is forgotten before.
    #[must_use]
    pub fn remember_until(&self) -> UnixMillis {
        let last = self.cuts.iter().map(|cut| cut.until).max();
        UnixMillis::from_seconds(last.unwrap_or(0))
    }

    /// Returns the longest life of a token that was issued in second `issued_at`.
    #[must_use]
    pub fn of_token(&self, issued_at: u64) -> Duration {
        let mut bounds = self.bounds.iter().rev();
        let bound = bounds.find(|bound| bound.since < issued_at);
        let bound = bound.or(self.bounds.first());
        Duration::from_secs(bound.map_or(0, |bound| bound.lifetime))
    }

    /// Returns the longest life of any token.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_secs(self.bounds.last().map_or(0, |bound| bound.lifetime))
    }

    /// Reads the history that version 0.1 kept in a replica's directory.
    ///
    /// # Errors
    /// When the bytes are not a history. The caller must not go on with a guess.
    pub fn of_version_0_1(bytes: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!("the saved history of max_token_lifetime is unreadable: {error}")
        })?;
        if read.bounds.is_empty()
            || !read
                .bounds
                .is_sorted_by(|one, next| one.lifetime < next.lifetime)
        {
            return Err("the saved history of max_token_lifetime is out of order".to_owned());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn raising_max_token_lifetime_holds_for_later_tokens_only() {
        let mut lifetimes = Lifetimes::new(HOUR);
        lifetimes.adopt(HOUR * 2, UnixMillis::from_seconds(100));
        assert_eq!(lifetimes.of_token(100), HOUR);
        assert_eq!(lifetimes.of_token(101), HOUR * 2);
        assert_eq!(lifetimes.longest(), HOUR * 2);
    }

    #[test]
    fn lowering_max_token_lifetime_holds_for_every_token_at_once() {
        let mut lifetimes = Lifetimes::new(HOUR * 2);
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(100));
        assert_eq!(lifetimes.of_token(50), HOUR);
        assert_eq!(lifetimes.longest(), HOUR);
    }

    #[test]
    fn lowering_and_raising_max_token_lifetime_revives_no_token() {
        let mut lifetimes = Lifetimes::new(HOUR * 2);
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(100));
        lifetimes.adopt(HOUR * 2, UnixMillis::from_seconds(200));
        assert_eq!(lifetimes.of_token(150), HOUR);
        assert_eq!(lifetimes.of_token(201), HOUR * 2);
    }

    #[test]
    fn lowering_max_token_lifetime_does_not_date_earlier_tokens_later() {
        let mut lifetimes = Lifetimes::new(HOUR * 3);
        assert_eq!(lifetimes.may_date_from(50_000), None);
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(40_000));
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(45_000));
        let last = 40_000 + 3 * 3600 + CLOCKS_DIFFER;
        assert_eq!(lifetimes.may_date_from(last), Some(last - 3 * 3600));
        assert_eq!(lifetimes.may_date_from(last + 1), None);
        assert_eq!(lifetimes.remember_until(), UnixMillis::from_seconds(last));
        // A raise after it changes nothing for them.
        lifetimes.adopt(HOUR * 2, UnixMillis::from_seconds(41_000));
        assert_eq!(lifetimes.may_date_from(last), Some(last - 3 * 3600));
    }

    #[test]
    fn a_raised_leeway_revives_no_expired_token() {
        let mut lifetimes = Lifetimes::new(HOUR);
        let at = UnixMillis::from_seconds;
        let (short, long) = (Duration::from_secs(30), Duration::from_mins(10));
        lifetimes.adopt_leeway(short, at(1000));
        assert_eq!(lifetimes.dead_before(), 0);
        lifetimes.adopt_leeway(long, at(5000));
        assert_eq!(lifetimes.dead_before(), 4970);
        lifetimes.adopt_leeway(short, at(9000));
        assert_eq!(lifetimes.dead_before(), 4970);
    }

    /// As version 0.1 wrote it after a raise, a cut, another raise and a raise of the leeway.
    #[test]
    fn what_version_0_1_kept_is_read_as_changes_that_come_to_the_same() {
        let kept = br#"{"bounds":[{"since":0,"lifetime":3600},{"since":50000,"lifetime":7200}],
            "cuts":[{"lifetime":10800,"until":51400}],"leeway":60000,"dead_before":60000}"#;
        let kept = Lifetimes::of_version_0_1(kept).unwrap();
        let mut history = History::default();
        for change in kept.changes() {
            assert!(history.add(change));
        }
        assert_eq!(history.lifetimes(), Some(kept));
        let plain =
            br#"{"bounds":[{"since":0,"lifetime":60}],"cuts":[],"leeway":null,"dead_before":0}"#;
        let plain = Lifetimes::of_version_0_1(plain).unwrap();
        assert_eq!(plain.changes().len(), 1);
        assert!(Lifetimes::of_version_0_1(b"[]").is_err());
        assert!(Lifetimes::of_version_0_1(b"{").is_err());
    }
}
