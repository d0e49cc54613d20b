//! When a token was issued, when it ends, and how long it may live.

use std::time::Duration;

use serde_json::Number;

use super::super::json::{Json, Object};
use super::{Rules, Window, optional};
use crate::core::clock::UnixMillis;
use crate::core::lifetime::Lifetimes;
use crate::core::reason::{Reason, Rejection};

/// The last second of the year 9999. No later date means anything.
pub(super) const LAST_SECOND: u64 = 253_402_300_799;

impl Rules {
    /// `exp` and `iat` are rounded down: a token ends a little early and counts as issued a little
    /// early, so neither its life nor the reach of a revocation is judged too kindly.
    pub(super) fn times(
        &self,
        lifetimes: &Lifetimes,
        payload: &Object<'_>,
        now: UnixMillis,
    ) -> Result<Times, Rejection> {
        let expires_at = match payload.get("exp") {
            Some(Json::Number(exp)) => seconds(exp).ok_or_else(|| no_date("exp"))?.0,
            Some(Json::Digits(_)) => return Err(no_date("exp")),
            // Of another type, it is as good as missing.
            _ => return Err(Rejection::expected(Reason::MissingClaim, "exp: a number")),
        };
        let dead_before = lifetimes.dead_before();
        if expires_at < dead_before {
            let expected = format!("exp: {dead_before} or later, when the leeway was raised");
            let found = format!("exp: {expires_at}");
            return Err(Rejection::found(Reason::Expired, expected, found));
        }
        let not_before = seconds_of(payload, "nbf")?.map(|(_, ceiling)| ceiling);
        let issued_at = seconds_of(payload, "iat")?.map(|(floor, _)| floor);
        let counts_as_issued_at = match issued_at {
            Some(issued_at) => {
                // Another replica may allow longer lives already.
                let longest = lifetimes
                    .of_token(issued_at)
                    .min(self.config.longest_life());
                check_lifetime(longest.as_secs(), issued_at, expires_at)?;
                issued_at
            }
            None if self.config.require_iat => {
                return Err(Rejection::expected(Reason::MissingClaim, "iat: a number"));
            }
            None => self.guess_issue(lifetimes, expires_at, now)?,
        };
        Ok(Times {
            expires_at,
            not_before,
            issued_at,
            counts_as_issued_at,
        })
    }

    /// Returns the earliest second in which a token without `iat` may have been issued. One that ends
    /// later than any token of today may was made to live longer.
    fn guess_issue(
        &self,
        lifetimes: &Lifetimes,
        expires_at: u64,
        now: UnixMillis,
    ) -> Result<u64, Rejection> {
        let earliest = earliest_issue(lifetimes, expires_at);
        let longest = self.config.longest_life().as_secs();
        let by_ours = expires_at.saturating_sub(longest);
        let latest = now.plus(self.config.leeway.0);
        if UnixMillis::from_seconds(earliest.max(by_ours)) > latest {
            let expected = format!("exp without iat: by {}", latest.seconds() + longest);
            let found = format!("exp: {expires_at}");
            return Err(Rejection::found(Reason::LifetimeExceeded, expected, found));
        }
        let once = lifetimes.may_date_from(expires_at);
        Ok(once.map_or(earliest, |once| once.min(earliest)))
    }
}

/// A token that ends before it begins has no life at all.
fn check_lifetime(longest: u64, issued_at: u64, expires_at: u64) -> Result<(), Rejection> {
    let reason = match expires_at.checked_sub(issued_at) {
        Some(life) if life <= longest => return Ok(()),
        Some(_) => Reason::LifetimeExceeded,
        None => Reason::MalformedToken,
    };
    let expected = format!("exp - iat: 0 to {longest} s (max_token_lifetime + leeway)");
    let found = format!("exp: {expires_at}, iat: {issued_at}");
    Err(Rejection::found(reason, expected, found))
}

/// Seconds since the epoch.
pub(super) struct Times {
    pub(super) expires_at: u64,
    not_before: Option<u64>,
    pub(super) issued_at: Option<u64>,
    pub(super) counts_as_issued_at: u64,
}

impl Times {
    pub(super) fn window(&self, leeway: Duration) -> Window {
        let starts = self.not_before.unwrap_or(0).max(self.counts_as_issued_at);
        Window {
            from: UnixMillis::from_seconds(starts).minus(leeway),
            issued: UnixMillis::from_seconds(self.issued_at.unwrap_or(0)).minus(leeway),
            until: UnixMillis::from_seconds(self.expires_at).plus(leeway),
        }
    }
}

/// Returns the earliest second in which a token that ends at `expires_at` could have been issued. This
/// is the safe guess for a token without `iat`, because an earlier date matches more revocations.
///
/// A raise of the lifetime holds for later tokens only. So `expires_at − longest` may lie in a time
/// when such a life was not allowed yet. A token cannot have been issued then, and to assume so would
/// let a revocation reach a token only until it is forgotten. The allowed seconds have no gap, so a
/// binary search finds the first one.
pub(super) fn earliest_issue(lifetimes: &Lifetimes, expires_at: u64) -> u64 {
    let possible = |second: u64| expires_at - second <= lifetimes.of_token(second).as_secs();
    let mut low = expires_at.saturating_sub(lifetimes.longest().as_secs());
    if possible(low) {
        return low;
    }
    let mut high = expires_at;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if possible(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// A date in whole seconds: rounded down, and rounded up.
type Seconds = (u64, u64);

fn seconds_of(payload: &Object<'_>, name: &str) -> Result<Option<Seconds>, Rejection> {
    let date = match optional(payload, name) {
        None => return Ok(None),
        Some(Json::Number(date)) => seconds(date),
        Some(_) => None,
    };
    date.map(Some).ok_or_else(|| no_date(name))
}

fn no_date(name: &str) -> Rejection {
    let expected = format!("{name}: seconds between 1970 and 9999");
    Rejection::expected(Reason::MalformedToken, expected)
}

/// Reads a `NumericDate` (RFC 7519 §2) between 1970 and 9999, which may have a fraction or an exponent.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the guard keeps the number between 0 and 9999-12-31"
)]
pub(super) fn seconds(date: &Number) -> Option<Seconds> {
    let (floor, ceiling) = match (date.as_u64(), date.as_f64()) {
        (Some(whole), _) => (whole, whole),
        (None, Some(date)) if (0.0..=LAST_SECOND as f64).contains(&date) => {
            (date.floor() as u64, date.ceil() as u64)
        }
        _ => return None,
    };
    (ceiling <= LAST_SECOND).then_some((floor, ceiling))
}
