//! What an issuer's tokens must say (RFC 7519 §4.1, RFC 8725 §3). Only called on claims whose
//! signature was verified.

use std::sync::Arc;

use serde_json::Number;

use super::claims::{ClaimPath, Claims, Payload};
use super::config::IssuerConfig;
use super::json::{Json, Object};
use super::jws::same_type;
use crate::clock::UnixMillis;
use crate::lifetime::{Current, Lifetimes};
use crate::reason::Reason;

/// The last second of the year 9999. No later date means anything.
const LAST_SECOND: u64 = 253_402_300_799;

/// The terms of one issuer.
#[derive(Debug)]
pub(super) struct Rules {
    /// Shared by the claims of all its tokens.
    issuer: Arc<str>,
    config: IssuerConfig,
    lifetimes: Current,
}

/// When a token may be used, the leeway included: from `from`, and before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub from: UnixMillis,
    pub until: UnixMillis,
}

impl Window {
    /// Also refuses what ended before `horizon`: revocations whose time ended before it were
    /// forgotten, so when the wall clock steps back, tokens of that time must stay refused.
    pub(super) fn admits(self, now: UnixMillis, horizon: UnixMillis) -> Result<(), Reason> {
        if now >= self.until || self.until < horizon {
            return Err(Reason::Expired);
        }
        if now < self.from {
            return Err(Reason::NotYetValid);
        }
        Ok(())
    }
}

impl Rules {
    pub(super) fn new(config: &IssuerConfig, lifetimes: Current) -> Self {
        Self {
            issuer: config.issuer.as_str().into(),
            config: config.clone(),
            lifetimes,
        }
    }

    /// Whether this kind of token is wanted here (RFC 8725 §3.11).
    pub(super) fn admit_type(&self, typ: Option<&str>) -> Result<(), Reason> {
        let wanted = match typ {
            None => self.config.allow_untyped,
            Some(typ) => self
                .config
                .types
                .iter()
                .any(|listed| same_type(listed, typ)),
        };
        wanted.then_some(()).ok_or(Reason::WrongType)
    }

    /// Judges the claims. What depends on the present time is left to [`Window::admits`], which
    /// judges it again whenever the token comes back.
    pub(super) fn judge(
        &self,
        payload: &Object<'_>,
        now: UnixMillis,
    ) -> Result<(Claims, Window), Reason> {
        let times = self.times(payload, now)?;
        self.check_audience(payload)?;
        let subject = optional(payload, "sub").map(text).transpose()?;
        let token_id = optional(payload, "jti").map(text).transpose()?;
        let client = self.client(payload)?;
        self.check_required(payload)?;
        self.check_client(client.as_deref())?;
        let claims = Claims {
            issuer: Arc::clone(&self.issuer),
            subject,
            client,
            token_id,
            issued_at: times.issued_at,
            counts_as_issued_at: times.counts_as_issued_at,
            expires_at: times.expires_at,
            all: Payload::of(payload.iter()),
        };
        Ok((claims, times.window(self.config.leeway.0)))
    }

    /// `exp` and `iat` are rounded down: a token ends a little early and counts as issued a little
    /// early, so neither its life nor the reach of a revocation is ever judged too kindly.
    fn times(&self, payload: &Object<'_>, now: UnixMillis) -> Result<Times, Reason> {
        let expires_at = seconds(number(payload, "exp")?)?.floor;
        if expires_at < self.lifetimes.load().dead_before() {
            return Err(Reason::Expired);
        }
        let not_before = seconds_of(payload, "nbf")?.map(|time| time.ceiling);
        let issued_at = seconds_of(payload, "iat")?.map(|time| time.floor);
        if self.config.require_iat && issued_at.is_none() {
            return Err(Reason::MissingClaim);
        }
        let counts_as_issued_at = match issued_at {
            Some(issued_at) => self.check_lifetime(issued_at, expires_at)?,
            None => self.guess_issue(expires_at, now)?,
        };
        Ok(Times {
            expires_at,
            not_before,
            issued_at,
            counts_as_issued_at,
        })
    }

    /// A token that ends before it begins has no life at all.
    fn check_lifetime(&self, issued_at: u64, expires_at: u64) -> Result<u64, Reason> {
        let life = expires_at
            .checked_sub(issued_at)
            .ok_or(Reason::MalformedToken)?;
        let longest = self.lifetimes.load().of_token(issued_at);
        // Another replica may allow longer ones already.
        if life > longest.min(self.config.longest_life()).as_secs() {
            return Err(Reason::LifetimeExceeded);
        }
        Ok(issued_at)
    }

    /// A token without `iat` that ends later than any token of today may was made to live longer.
    fn guess_issue(&self, expires_at: u64, now: UnixMillis) -> Result<u64, Reason> {
        let lifetimes = self.lifetimes.load();
        let earliest = earliest_issue(&lifetimes, expires_at);
        let by_ours = expires_at.saturating_sub(self.config.longest_life().as_secs());
        if UnixMillis::from_seconds(earliest.max(by_ours)) > now.plus(self.config.leeway.0) {
            return Err(Reason::LifetimeExceeded);
        }
        let once = lifetimes.may_date_from(expires_at);
        Ok(once.map_or(earliest, |once| once.min(earliest)))
    }

    fn check_audience(&self, payload: &Object<'_>) -> Result<(), Reason> {
        let listed = |audience: &str| {
            self.config.any_audience || self.config.audiences.iter().any(|one| one == audience)
        };
        let meant_for_us = match optional(payload, "aud") {
            None => self.config.any_audience,
            Some(Json::Text(audience)) => listed(audience),
            Some(Json::List(audiences)) => {
                let is_text = |one: &Json<'_>| matches!(one, Json::Text(_));
                let is_listed = |one: &Json<'_>| matches!(one, Json::Text(text) if listed(text));
                audiences.iter().all(is_text) && audiences.iter().any(is_listed)
            }
            Some(_) => false,
        };
        meant_for_us.then_some(()).ok_or(Reason::WrongAudience)
    }

    /// The first claim that is there decides, as it does for a revocation by client.
    fn client(&self, payload: &Object<'_>) -> Result<Option<Box<str>>, Reason> {
        let mut paths = self.config.client_claims.iter().flat_map(ClaimPath::paths);
        let held = paths.find_map(|path| at(payload, path));
        held.map(text).transpose()
    }

    fn check_required(&self, payload: &Object<'_>) -> Result<(), Reason> {
        let is_there = |claim: &ClaimPath| claim.paths().any(|path| at(payload, path).is_some());
        let there = self.config.required_claims.iter().all(is_there);
        there.then_some(()).ok_or(Reason::MissingClaim)
    }

    fn check_client(&self, client: Option<&str>) -> Result<(), Reason> {
        let allowed = &self.config.allowed_clients;
        let may = allowed.is_empty()
            || client.is_some_and(|client| allowed.iter().any(|one| one == client));
        may.then_some(()).ok_or(Reason::Forbidden)
    }
}

/// Seconds since the epoch.
struct Times {
    expires_at: u64,
    not_before: Option<u64>,
    issued_at: Option<u64>,
    counts_as_issued_at: u64,
}

impl Times {
    fn window(&self, leeway: std::time::Duration) -> Window {
        let starts = self.not_before.unwrap_or(0).max(self.counts_as_issued_at);
        Window {
            from: UnixMillis::from_seconds(starts).minus(leeway),
            until: UnixMillis::from_seconds(self.expires_at).plus(leeway),
        }
    }
}

/// The earliest second in which a token that ends at `expires_at` could have been issued. It is
/// the safe guess for a token without `iat`, because an earlier one matches more revocations.
///
/// A raise of the lifetime holds for later tokens only. So `expires_at − longest` may lie in a
/// time when that life was not allowed yet; a token cannot have been issued then, and to assume
/// it would let a revocation reach a token only until it is forgotten. Allowed seconds have no
/// gap, so the first one can be searched by halves.
fn earliest_issue(lifetimes: &Lifetimes, expires_at: u64) -> u64 {
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

/// A date in whole seconds, rounded both ways.
struct Seconds {
    floor: u64,
    ceiling: u64,
}

fn seconds_of(payload: &Object<'_>, name: &str) -> Result<Option<Seconds>, Reason> {
    match optional(payload, name) {
        None => Ok(None),
        Some(Json::Number(date)) => seconds(date).map(Some),
        Some(_) => Err(Reason::MalformedToken),
    }
}

/// A `NumericDate` (RFC 7519 §2) may have a fraction or an exponent. It lies between 1970 and
/// 9999.
fn seconds(date: &Number) -> Result<Seconds, Reason> {
    if let Some(whole) = date.as_u64() {
        return in_range(whole, whole);
    }
    match date.as_f64() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "the guard keeps the number between 0 and 9999-12-31"
        )]
        Some(date) if (0.0..=LAST_SECOND as f64).contains(&date) => {
            in_range(date.floor() as u64, date.ceil() as u64)
        }
        _ => Err(Reason::MalformedToken),
    }
}

fn in_range(floor: u64, ceiling: u64) -> Result<Seconds, Reason> {
    (ceiling <= LAST_SECOND)
        .then_some(Seconds { floor, ceiling })
        .ok_or(Reason::MalformedToken)
}

/// The value of a claim. One that is `null` counts as absent.
fn optional<'m, 'a>(payload: &'m Object<'a>, name: &str) -> Option<&'m Json<'a>> {
    payload.get(name).filter(|value| **value != Json::Null)
}

/// The value that a path of members leads to.
fn at<'m, 'a>(payload: &'m Object<'a>, path: &[Box<str>]) -> Option<&'m Json<'a>> {
    let (name, rest) = path.split_first()?;
    match optional(payload, name)? {
        value if rest.is_empty() => Some(value),
        Json::Object(inner) => at(inner, rest),
        _ => None,
    }
}

/// A claim that every token must have: of another type, it is as good as missing.
fn number<'m>(payload: &'m Object<'_>, name: &str) -> Result<&'m Number, Reason> {
    match payload.get(name) {
        Some(Json::Number(number)) => Ok(number),
        Some(Json::Digits(_)) => Err(Reason::MalformedToken),
        _ => Err(Reason::MissingClaim),
    }
}

/// A name: text that is not empty, or a whole number, which some issuers use for ids.
fn text(value: &Json<'_>) -> Result<Box<str>, Reason> {
    match value {
        Json::Text(text) if !text.is_empty() => Ok((&**text).into()),
        Json::Digits(digits) => Ok((*digits).into()),
        Json::Number(number) if !number.is_f64() => Ok(number.to_string().into()),
        _ => Err(Reason::MalformedToken),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::verify::json;
    use crate::verify::tests::mutation::json_value;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn without_a_raise_the_earliest_issue_is_the_end_minus_the_lifetime() {
        let lifetimes = Lifetimes::new(HOUR);
        assert_eq!(earliest_issue(&lifetimes, 10_000), 6_400);
        assert_eq!(earliest_issue(&lifetimes, 100), 0);
    }

    #[test]
    fn a_raise_does_not_reach_back_before_it_happened() {
        let mut lifetimes = Lifetimes::new(HOUR);
        lifetimes.adopt(HOUR * 3, UnixMillis::from_seconds(50_000));
        for expires_at in (40_000..70_000).step_by(97) {
            let naive = (expires_at - 3 * 3600..=expires_at)
                .find(|second| expires_at - second <= lifetimes.of_token(*second).as_secs());
            assert_eq!(Some(earliest_issue(&lifetimes, expires_at)), naive);
        }
    }

    fn judged(lifetimes: Lifetimes, claims: &serde_json::Value, now: u64) -> Result<u64, Reason> {
        let config = serde_json::json!({
            "issuer": "https://id.example.com", "any_audience": true, "leeway": "10m",
        });
        let config = crate::verify::tests::read(&config);
        let rules = Rules::new(&config, Current::new(lifetimes));
        let text = claims.to_string();
        let payload = json::object(text.as_bytes()).unwrap();
        let judged = rules.judge(&payload, UnixMillis::from_seconds(now));
        judged.map(|(claims, _)| claims.counts_as_issued_at)
    }

    proptest! {
        #[test]
        fn claims_read_from_a_token_are_those_that_serde_json_reads(
            payload in prop::collection::btree_map("[a-z]{0,3}", json_value(), 0..12)
        ) {
            let text = serde_json::to_string(&payload).unwrap();
            let read = json::object(text.as_bytes()).unwrap();
            let expected: serde_json::Map<_, _> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(Payload::of(read.iter()), Payload::from(&expected));
        }
    }

    #[test]
    fn a_raised_leeway_wakes_no_dead_token() {
        let mut lifetimes = Lifetimes::new(HOUR);
        lifetimes.adopt_leeway(Duration::from_secs(30), UnixMillis::from_seconds(1000));
        lifetimes.adopt_leeway(Duration::from_mins(10), UnixMillis::from_seconds(9100));
        let ended = |exp: u64| serde_json::json!({ "iat": exp - 3600, "exp": exp });
        let judged = |exp| judged(lifetimes.clone(), &ended(exp), 9100);
        assert_eq!(judged(9069), Err(Reason::Expired));
        assert_eq!(judged(9070), Ok(9070 - 3600));
    }

    #[test]
    fn after_a_cut_a_token_without_iat_is_as_old_as_before() {
        let mut lifetimes = Lifetimes::new(HOUR * 3);
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(20_000));
        let claims = serde_json::json!({ "exp": 30_000 });
        let judged = |now| judged(lifetimes.clone(), &claims, now);
        assert_eq!(judged(20_000), Err(Reason::LifetimeExceeded));
        assert_eq!(judged(27_000), Ok(30_000 - 3 * 3600));
    }

    #[test]
    fn dates_round_towards_refusal_and_stay_in_range() {
        let read = |text: &str| {
            let number = serde_json::from_str(text).unwrap();
            seconds(&number).map(|date| (date.floor, date.ceiling)).ok()
        };
        assert_eq!(read("1700000000"), Some((1_700_000_000, 1_700_000_000)));
        assert_eq!(read("1700000000.9"), Some((1_700_000_000, 1_700_000_001)));
        assert_eq!(read("1.7e9"), Some((1_700_000_000, 1_700_000_000)));
        assert_eq!(read("253402300799"), Some((LAST_SECOND, LAST_SECOND)));
        for text in [
            "-1",
            "-0.5",
            "253402300800",
            "253402300799.5",
            "1e308",
            "9223372036854775808",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
