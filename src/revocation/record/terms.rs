//! How long a record has to be remembered.

use std::time::Duration;

use crate::core::clock::UnixMillis;
use crate::core::network::{self, CLIENT_IP};

use super::{Action, Draft, Revocation};

/// What an issuer's tokens are bound to, and so how long its revocations must be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The longest life any accepted token can have, the leeway included:
    /// [`crate::core::lifetime::Lifetimes::longest`].
    pub longest_life: Duration,
    /// How far the clocks of issuer and replica may differ.
    pub leeway: Duration,
    /// Until then tokens may end that were allowed to live longer than `longest_life`:
    /// [`crate::core::lifetime::Lifetimes::remember_until`].
    pub not_before: UnixMillis,
}

/// Times are compared in whole seconds, so a moment may stand for the second it begins.
const WHOLE_SECOND: Duration = Duration::from_secs(1);

/// A lift outlives the revocations it takes back by this much, for deliveries that come late.
const LATE_DELIVERIES: Duration = Duration::from_hours(72);

impl Terms {
    /// Returns the furthest that the cut-off of an event received `now` reaches. Two clocks may be
    /// wrong, and nobody can tell which:
    ///
    /// - The issuer's, which then stamps its tokens as it stamps its events: tokens that exist
    ///   already have an `iat` up to as far ahead, and become valid later. A cut-off that is pulled
    ///   back to our clock would let them.
    /// - The sender's alone. Every token that exists has an `iat` up to `now + leeway`, and whatever
    ///   the cut-off reaches beyond that locks out tokens of the future.
    ///
    /// One life ahead covers every token of an issuer whose clock is ahead by less than its tokens
    /// live, and ends a lock-out after one life. `docs/decisions/` has the whole reason.
    #[must_use]
    pub fn latest_issue(&self, now: UnixMillis) -> UnixMillis {
        now.plus(self.longest_life.max(self.leeway))
    }

    /// Returns how long at most a record is remembered that is received now and whose cut-off is not ahead.
    #[must_use]
    pub fn reach(&self) -> Duration {
        let leeways = self.leeway.saturating_mul(2);
        self.longest_life.saturating_add(leeways)
    }

    /// Returns the moment after which no token that `record` matches can be accepted any more.
    ///
    /// A token issued at or before the cut-off `c` expires by `c + longest_life` and is accepted
    /// for `leeway` more. Without a cut-off the last matching token is taken to be issued when
    /// the event was received, by an issuer whose clock may be `leeway` ahead of ours.
    #[must_use]
    pub fn forget_after(&self, record: &Revocation) -> UnixMillis {
        if record.bounds.is_some() {
            // Who comes later has to learn the whole history. It is as long as the list of changes to
            // the configuration.
            return UnixMillis::MAX;
        }
        if record.note.is_some() {
            // How long it is kept was said when it was written.
            return record.forget_after;
        }
        let last_event = record.occurred_at.max(record.received_at);
        if record.turn.is_some() {
            // Events from before that reach no token that is still valid.
            return last_event.plus(self.longest_life).plus(self.leeway);
        }
        let last_issued = match record.action {
            Action::Revoke => record
                .issued_at_or_before
                .unwrap_or(last_event.plus(self.leeway)),
            Action::Lift => last_event.plus(self.leeway).plus(LATE_DELIVERIES),
        };
        let by_issue = last_issued.plus(self.longest_life);
        let by_expiry = record.expires_at_or_before.unwrap_or_default();
        let last_end = by_issue.max(by_expiry).max(self.not_before);
        last_end.plus(self.leeway).plus(WHOLE_SECOND)
    }
}

impl Draft {
    /// Fixes the times at receipt, so that one wrong clock cannot lock an issuer out for ever.
    ///
    /// `occurred_at` only orders events and lifts; it is trusted no further than `leeway` past
    /// ours. A cut-off is kept as the sender said it, or the revocation would miss tokens that it
    /// means, but reaches no further than a token's life from now: see [`Terms::latest_issue`].
    #[must_use]
    pub fn receive(mut self, now: UnixMillis, terms: &Terms) -> Revocation {
        // Networks are compared by their names. What is none matches nothing.
        if let Some(value) = self.target.matches.get_mut(CLIENT_IP)
            && let Ok(name) = network::canonical(value)
        {
            *value = name;
        }
        let occurred_at = self.occurred_at.min(now.plus(terms.leeway));
        let latest_issue = terms.latest_issue(now);
        let latest_end = latest_issue.plus(terms.longest_life).plus(terms.leeway);
        let mut record = Revocation {
            id: self.id,
            target: self.target,
            action: self.action,
            issued_at_or_before: self.issued_at_or_before.map(|at| at.min(latest_issue)),
            expires_at_or_before: self.expires_at_or_before.map(|at| at.min(latest_end)),
            occurred_at,
            forget_after: UnixMillis::default(),
            source: self.source,
            cause: self.cause,
            received_at: now,
            bounds: None,
            turn: None,
            note: None,
            original: None,
        };
        record.forget_after = terms.forget_after(&record);
        record
    }
}
