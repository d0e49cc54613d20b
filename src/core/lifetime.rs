//! The history of an issuer's `max_token_lifetime` and `leeway`, the bounds that make forgetting
//! safe.
//!
//! The bound `M` is `max_token_lifetime + leeway`: issuers round, so a token for an hour may live a
//! second more. A token with `exp − iat > M` is refused, so a token issued at or before a cut-off
//! `c` is dead after `c + M + leeway`, and a revocation may be forgotten then. Raising `M` must not
//! bring back a token whose revocation was already forgotten, so a raise holds only for tokens
//! issued after it. That is why the history is durable: every change of a configured bound is a
//! record in the log ([`History`]), so that every replica judges by all of them.
//!
//! The other ways to bring a token back are closed here too. Lowering `M` would date a token
//! without `iat` (`exp − M`) later than before, behind the cut-off that revoked it: see
//! [`Lifetimes::may_date_from`]. Raising the leeway would let a token in that was dead, and whose
//! revocation was forgotten for that: see [`Lifetimes::dead_before`].

mod history;

use std::time::Duration;

use serde::Deserialize;

use crate::core::clock::UnixMillis;

pub use history::{Bounds, Change, Current, History};

/// What the history of one issuer comes to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lifetimes {
    /// Oldest first: lifetimes strictly rise.
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
    /// Tokens issued in a later second than this may live this long. Seconds since the epoch.
    since: u64,
    /// Seconds.
    lifetime: u64,
}

/// A bound that was in force once. Tokens of that time may still be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Cut {
    /// Seconds.
    lifetime: u64,
    /// The last second in which a token of that time can end.
    until: u64,
}

/// Seconds. How far an issuer's clock may be ahead of ours at most, whatever its leeway is.
const CLOCKS_DIFFER: u64 = 600;

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
            leeway: None,
            dead_before: 0,
        }
    }

    /// Takes the configured bound over at `now`. A lower one holds at once and for every token; a
    /// higher one for tokens issued after `now`.
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

    /// Takes the configured leeway over at `now`.
    pub fn adopt_leeway(&mut self, leeway: Duration, now: UnixMillis) {
        let millis = u64::try_from(leeway.as_millis()).unwrap_or(u64::MAX);
        let earlier = self.leeway.replace(millis);
        if let Some(earlier) = earlier.filter(|earlier| *earlier < millis) {
            let dead = now.minus(Duration::from_millis(earlier)).seconds();
            self.dead_before = self.dead_before.max(dead);
        }
    }

    /// Tokens that end (`exp`) before this second were dead, leeway included, before the leeway
    /// was raised. Their revocations may be forgotten, so they stay dead.
    #[must_use]
    pub fn dead_before(&self) -> u64 {
        self.dead_before
    }

    /// The earliest second in which a token that ends at `expires_at` may have been issued under a
    /// bound that was lowered since; `None` when no such bound reaches it. A token without `iat`
    /// counts as issued then at the latest, or the revocations that reached it yesterday would not
    /// reach it today.
    #[must_use]
    pub fn may_date_from(&self, expires_at: u64) -> Option<u64> {
        let cuts = self.cuts.iter().filter(|cut| expires_at <= cut.until);
        cuts.map(|cut| expires_at.saturating_sub(cut.lifetime))
            .min()
    }

    /// Until then tokens may be about that lowered bounds allowed, so nothing that might match
    /// them is forgotten. The leeway comes on top.
    #[must_use]
    pub fn remember_until(&self) -> UnixMillis {
        let last = self.cuts.iter().map(|cut| cut.until).max();
        UnixMillis::from_seconds(last.unwrap_or(0))
    }

    /// The longest life that a token issued in second `issued_at` may have.
    #[must_use]
    pub fn of_token(&self, issued_at: u64) -> Duration {
        let bound = self
            .bounds
            .iter()
            .rev()
            .find(|bound| bound.since < issued_at);
        Duration::from_secs(
            bound
                .or(self.bounds.first())
                .map_or(0, |bound| bound.lifetime),
        )
    }

    /// The longest life that any token may have.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_secs(self.bounds.last().map_or(0, |bound| bound.lifetime))
    }

    /// Reads the history that version 0.1 kept in a replica's directory.
    ///
    /// # Errors
    /// When the bytes are not a history; the caller must not carry on with a guess.
    pub fn of_version_0_1(bytes: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!("the kept history of max_token_lifetime is unreadable: {error}")
        })?;
        let rises = read
            .bounds
            .windows(2)
            .all(|pair| pair[0].lifetime < pair[1].lifetime);
        match (read.bounds.is_empty(), rises) {
            (false, true) => Ok(read),
            _ => Err("the kept history of max_token_lifetime is out of order".to_owned()),
        }
    }

    /// The changes that come to this.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let leeway = self.leeway.unwrap_or(0);
        let change = |seconds: u64, longest_life| Change {
            at: UnixMillis::from_seconds(seconds),
            bounds: Bounds {
                longest_life,
                leeway,
            },
        };
        let bounds = self.bounds.iter();
        let mut changes: Vec<_> = bounds
            .map(|bound| change(bound.since, bound.lifetime))
            .collect();
        for cut in &self.cuts {
            let at = cut.until.saturating_sub(cut.lifetime + CLOCKS_DIFFER);
            let lowered = self.of_token(at);
            changes.push(change(at.saturating_sub(1), cut.lifetime));
            changes.push(change(at, lowered.as_secs()));
        }
        if self.dead_before > 0 {
            // A leeway of nothing was raised then.
            let mut before = change(self.dead_before, self.of_token(self.dead_before).as_secs());
            changes.push(before);
            before.at.0 -= 1;
            before.bounds.leeway = 0;
            changes.push(before);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_raise_holds_for_later_tokens_only() {
        let mut lifetimes = Lifetimes::new(HOUR);
        lifetimes.adopt(HOUR * 2, UnixMillis::from_seconds(100));
        assert_eq!(lifetimes.of_token(100), HOUR);
        assert_eq!(lifetimes.of_token(101), HOUR * 2);
        assert_eq!(lifetimes.longest(), HOUR * 2);
    }

    #[test]
    fn a_cut_holds_for_every_token_at_once() {
        let mut lifetimes = Lifetimes::new(HOUR * 2);
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(100));
        assert_eq!(lifetimes.of_token(50), HOUR);
        assert_eq!(lifetimes.longest(), HOUR);
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
    fn a_cut_does_not_date_tokens_of_before_later() {
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
    fn a_raised_leeway_wakes_no_dead_token() {
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
