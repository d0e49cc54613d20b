//! When a token may be used.

use crate::core::clock::UnixMillis;
use crate::core::reason::{Reason, Rejection};

/// When a token may be used, leeway included: at `from` or later, and before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub from: UnixMillis,
    /// `iat`, less the leeway; 0 without `iat`.
    pub issued: UnixMillis,
    pub until: UnixMillis,
}

impl Window {
    /// Also refuses a token that ended before the horizon: if the wall clock was set back, nobody
    /// knows whether it is revoked. A genuine token that was issued in the future proves that the
    /// issuer's clock and ours disagree, and not which one is wrong.
    pub(super) fn admits(self, now: UnixMillis, horizon: UnixMillis) -> Result<(), Rejection> {
        if now >= self.until || self.until < horizon {
            let (reason, bound) = if now >= self.until {
                (Reason::Expired, now)
            } else {
                (Reason::ClockDisagreement, horizon)
            };
            let expected = format!("exp + leeway: after {}", bound.seconds());
            let found = format!("exp + leeway: {}", self.until.seconds());
            return Err(Rejection::found(reason, expected, found));
        }
        if now < self.from {
            let reason = if now < self.issued {
                Reason::ClockDisagreement
            } else {
                Reason::NotYetValid
            };
            let expected = format!("iat and nbf - leeway: by {}", now.seconds());
            let found = format!("iat or nbf - leeway: {}", self.from.seconds());
            return Err(Rejection::found(reason, expected, found));
        }
        Ok(())
    }
}
