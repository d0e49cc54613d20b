//! What an issuer's tokens must say (RFC 7519 §4.1, RFC 8725 §3). Only called on tokens whose
//! signature was verified, so a refusal may say what came.

mod kind;
mod times;

use std::fmt;
use std::sync::Arc;

use super::claims::{ClaimPath, Claims, Payload};
use super::config::{BoundTokens, IssuerConfig};
use super::json::{Json, Object};
use super::profile::Form;
use crate::core::clock::UnixMillis;
use crate::core::lifetime::Lifetimes;
use crate::core::reason::{Reason, Rejection};

pub(super) use times::Window;

/// The rules of one entry of `issuers:`.
#[derive(Debug)]
pub(super) struct Rules {
    config: IssuerConfig,
    form: Form,
}

impl Rules {
    pub(super) fn new(config: &IssuerConfig) -> Self {
        Self {
            config: config.clone(),
            form: Form::of(config),
        }
    }

    /// Judges a token of `issuer` by its `typ` and its claims. What depends on the present time is
    /// left to [`Window::admits`], which judges it again whenever the token comes back.
    pub(super) fn judge(
        &self,
        issuer: Arc<str>,
        lifetimes: &Lifetimes,
        typ: Option<&str>,
        payload: &Object<'_>,
        now: UnixMillis,
    ) -> Result<(Claims, Window), Rejection> {
        self.check_kind(typ, payload)?;
        let times = self.times(lifetimes, payload, now)?;
        self.check_audience(payload)?;
        self.check_binding(payload)?;
        let subject = name(payload, "sub")?;
        let token_id = name(payload, "jti")?;
        let client = self.client(payload)?;
        self.check_client(client.as_deref())?;
        let claims = Claims {
            issuer,
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

    fn check_audience(&self, payload: &Object<'_>) -> Result<(), Rejection> {
        let listed = |audience: &str| {
            self.config.any_audience || self.config.audiences.iter().any(|one| one == audience)
        };
        let audience = optional(payload, "aud");
        let meant_for_us = match audience {
            None => self.config.any_audience,
            Some(Json::Text(audience)) => listed(audience),
            Some(Json::List(audiences)) => {
                let is_text = |one: &Json<'_>| matches!(one, Json::Text(_));
                let is_listed = |one: &Json<'_>| matches!(one, Json::Text(text) if listed(text));
                let any_is_good = self.config.any_audience || audiences.iter().any(is_listed);
                audiences.iter().all(is_text) && any_is_good
            }
            Some(_) => false,
        };
        if meant_for_us {
            return Ok(());
        }
        let expected = match &self.config.audiences[..] {
            [] => "aud: texts".to_owned(),
            audiences => format!("aud: {}", audiences.join(" or ")),
        };
        let found = format_args!("aud: {}", Shown(audience)).to_string();
        Err(Rejection::found(Reason::WrongAudience, expected, found))
    }

    /// A token that is bound to a key (`cnf`, RFC 7800 §3.1; RFC 9449 and RFC 8705 are examples)
    /// is good only in the hands of whoever has that key. Nothing here can tell yet: a proof would
    /// be checked in this place.
    fn check_binding(&self, payload: &Object<'_>) -> Result<(), Rejection> {
        let Some(binding) = optional(payload, "cnf") else {
            return Ok(());
        };
        if self.config.bound_tokens == BoundTokens::Ignore {
            return Ok(());
        }
        let by = match binding {
            Json::Object(members) => {
                let names: Vec<&str> = members.iter().map(|(name, _)| name).collect();
                names.join(", ")
            }
            _ => "no object".to_owned(),
        };
        let found = format_args!("cnf: {by}").to_string();
        Err(Rejection::found(Reason::BoundToken, "no cnf", found))
    }

    /// The first claim that is there decides, as it does for a revocation by client.
    fn client(&self, payload: &Object<'_>) -> Result<Option<Box<str>>, Rejection> {
        let mut paths = self.form.client_claims.iter().flat_map(ClaimPath::paths);
        let held = paths.find_map(|path| at(payload, path));
        let malformed =
            || Rejection::expected(Reason::MalformedToken, "client: text or an integer");
        held.map(|held| text(held).ok_or_else(malformed))
            .transpose()
    }

    fn check_client(&self, client: Option<&str>) -> Result<(), Rejection> {
        let allowed = &self.config.allowed_clients;
        let may = allowed.is_empty()
            || client.is_some_and(|client| allowed.iter().any(|one| one == client));
        if may {
            return Ok(());
        }
        let expected = format!("client: {}", allowed.join(" or "));
        let found = format!("client: {}", client.unwrap_or("absent"));
        Err(Rejection::found(Reason::Forbidden, expected, found))
    }
}

/// A claim as an operator is shown it.
struct Shown<'j, 'a>(Option<&'j Json<'a>>);

impl fmt::Display for Shown<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None | Some(Json::Null) => f.write_str("absent"),
            Some(Json::Bool(flag)) => flag.fmt(f),
            Some(Json::Number(number)) => number.fmt(f),
            Some(Json::Digits(digits)) => f.write_str(digits),
            Some(Json::Text(text)) => f.write_str(text),
            Some(Json::Object(_)) => f.write_str("an object"),
            Some(Json::List(items)) => {
                for (i, item) in items.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", Shown(Some(item)))?;
                }
                Ok(())
            }
        }
    }
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

/// An optional claim that is a name.
fn name(payload: &Object<'_>, claim: &str) -> Result<Option<Box<str>>, Rejection> {
    let malformed = || {
        let expected = format!("{claim}: text or an integer");
        Rejection::expected(Reason::MalformedToken, expected)
    };
    let held = optional(payload, claim);
    held.map(|held| text(held).ok_or_else(malformed))
        .transpose()
}

/// Text that is not empty, or an integer, which some issuers use for ids.
fn text(value: &Json<'_>) -> Option<Box<str>> {
    match value {
        Json::Text(text) if !text.is_empty() => Some((&**text).into()),
        Json::Digits(digits) => Some((*digits).into()),
        Json::Number(number) if !number.is_f64() => Some(number.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::times::{LAST_SECOND, earliest_issue, seconds};
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

    fn judged(lifetimes: &Lifetimes, claims: &serde_json::Value, now: u64) -> Result<u64, Reason> {
        let config = serde_json::json!({
            "issuer": "https://id.example.com", "any_audience": true, "leeway": "10m",
        });
        let rules = Rules::new(&crate::verify::tests::read(&config));
        let text = claims.to_string();
        let payload = json::object(text.as_bytes()).unwrap();
        let judged = rules.judge(
            "".into(),
            lifetimes,
            None,
            &payload,
            UnixMillis::from_seconds(now),
        );
        let judged = judged.map(|(claims, _)| claims.counts_as_issued_at);
        judged.map_err(|rejection| rejection.reason)
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
        let judged = |exp| judged(&lifetimes, &ended(exp), 9100);
        assert_eq!(judged(9069), Err(Reason::Expired));
        assert_eq!(judged(9070), Ok(9070 - 3600));
    }

    #[test]
    fn after_a_cut_a_token_without_iat_is_as_old_as_before() {
        let mut lifetimes = Lifetimes::new(HOUR * 3);
        lifetimes.adopt(HOUR, UnixMillis::from_seconds(20_000));
        let claims = serde_json::json!({ "exp": 30_000 });
        let judged = |now| judged(&lifetimes, &claims, now);
        assert_eq!(judged(20_000), Err(Reason::LifetimeExceeded));
        assert_eq!(judged(27_000), Ok(30_000 - 3 * 3600));
    }

    #[test]
    fn dates_round_towards_refusal_and_stay_in_range() {
        let read = |text: &str| {
            let number = serde_json::from_str(text).unwrap();
            seconds(&number).map(|date| (date.floor, date.ceiling))
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
