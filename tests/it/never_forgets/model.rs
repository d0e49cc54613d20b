//! The naive model: every record is kept for ever, and the rule is applied word for word.

use std::time::Duration;

use portcullis::revocation::{Action, Draft, Revocation};
use portcullis::verify::Claims;
use portcullis::verify::claims::ClaimPath;

use super::steps::Who;
use super::world::{LEEWAY, World};

/// A token in somebody's hands.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) issued_at: Option<u64>,
    pub(super) expires_at: u64,
    /// The first second in which a token that ends then may have been issued, by the bounds of
    /// their times.
    pub(super) dates_from: u64,
    pub(super) who: Who,
}

impl Token {
    /// A token without `iat` counts as issued as early as the bounds of its own time allow, whatever
    /// bounds came later.
    pub(super) fn dated(&self, claims: &Claims) -> Claims {
        let mut claims = claims.clone();
        if self.issued_at.is_none() {
            claims.counts_as_issued_at = self.dates_from;
        }
        claims
    }
}

/// An event, and the record that was made of it.
pub(super) struct Known {
    pub(super) said: Draft,
    pub(super) record: Revocation,
    /// The longest life of a token by the bounds of the receipt.
    pub(super) longest: Duration,
}

impl Known {
    /// What the sender said, up to one life (and for `exp`, one more) ahead of the receipt.
    fn means(&self, token: &Claims) -> bool {
        let mut matches = self.said.target.matches.iter();
        let right_claims = matches.all(|(claim, value)| {
            let held = token.values(&ClaimPath::of_record(claim));
            held.iter().any(|held| held == value)
        });
        let latest = self.record.received_at.plus(self.longest.max(LEEWAY));
        let by_expiry = latest.plus(self.longest).plus(LEEWAY);
        let said = &self.said;
        let in_time = match (said.issued_at_or_before, said.expires_at_or_before) {
            (None, _) => true,
            (Some(_), Some(expiry)) if token.issued_at.is_none() => {
                token.expires_at <= expiry.min(by_expiry).seconds()
            }
            (Some(cut_off), _) => token.counts_as_issued_at <= cut_off.min(latest).seconds(),
        };
        right_claims && in_time
    }
}

impl World {
    /// The rule, word for word. A record without a cut-off means tokens that were issued before it
    /// was received; with `strict` that is taken literally, for a token that is issued later for
    /// the same session is the issuer's contradiction, and may be refused or not.
    pub(super) fn model(&self, token: &Claims, strict: bool) -> bool {
        let by = |action| {
            self.records
                .iter()
                .filter(move |known| known.record.action == action)
        };
        let lifted = |record: &Revocation| {
            by(Action::Lift).map(|lift| &lift.record).any(|lift| {
                // A lift that is forgotten is missed when the revocation comes once more: days late.
                let known = strict || self.retention.forget_after(lift) >= self.clock.now();
                known
                    && lift.source == record.source
                    && lift.target == record.target
                    && lift.cause == record.cause
                    && lift.occurred_at >= record.occurred_at
            })
        };
        by(Action::Revoke).any(|known| {
            let record = &known.record;
            let known_then = record.received_at.max(record.occurred_at).plus(LEEWAY);
            let in_question = !strict
                || record.issued_at_or_before.is_some()
                || token.counts_as_issued_at <= known_then.seconds();
            in_question && known.means(token) && !lifted(record)
        })
    }
}
