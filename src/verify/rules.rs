//! The rules for the claims of a token (RFC 7519 §4.1, RFC 8725 §3). They are applied only to tokens
//! whose signature was verified, so a refusal may say what the token contains.

mod kind;
mod times;

use std::fmt;
use std::sync::Arc;

use super::claims::{ClaimPath, Claims};
use super::config::{BoundTokens, IssuerConfig};
use super::json::{Json, Object};
use super::profile::Form;
use super::window::Window;
use crate::core::clock::UnixMillis;
use crate::core::lifetime::Lifetimes;
use crate::core::reason::{Reason, Rejection};

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
            form: config.form(),
        }
    }

    pub(super) const fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// Judges a token of `issuer` by its `typ` and its claims, but for the present time: see
    /// [`Window::admits`], which is asked each time the token is seen.
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
        let subject = name("sub", optional(payload, "sub"))?;
        let token_id = name("jti", optional(payload, "jti"))?;
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
            all: payload.into(),
        };
        Ok((claims, times.window(self.config.leeway.0)))
    }

    fn check_audience(&self, payload: &Object<'_>) -> Result<(), Rejection> {
        let audience = optional(payload, "aud");
        let named = match audience {
            None => &[][..],
            Some(Json::List(audiences)) => audiences,
            Some(one) => std::slice::from_ref(one),
        };
        let is_text = |one: &Json<'_>| matches!(one, Json::Text(_));
        let is_ours = |one: &Json<'_>| {
            let mut ours = self.config.audiences.iter();
            matches!(one, Json::Text(text) if ours.any(|own| own == text))
        };
        let any_is_ours = self.config.any_audience || named.iter().any(is_ours);
        if any_is_ours && named.iter().all(is_text) {
            return Ok(());
        }
        let expected = match &self.config.audiences[..] {
            [] => "aud: texts".to_owned(),
            audiences => format!("aud: {}", audiences.join(" or ")),
        };
        let found = format!("aud: {}", Shown(audience));
        Err(Rejection::found(Reason::WrongAudience, expected, found))
    }

    /// Refuses a token that is bound to a key (`cnf`, RFC 7800 §3.1, as in RFC 9449 and RFC 8705): it
    /// is good only with a proof that the sender has the key, and no proof is checked yet.
    fn check_binding(&self, payload: &Object<'_>) -> Result<(), Rejection> {
        let Some(binding) = optional(payload, "cnf") else {
            return Ok(());
        };
        if self.config.bound_tokens == BoundTokens::Ignore {
            return Ok(());
        }
        let found = match binding {
            Json::Object(members) => {
                let names: Vec<&str> = members.iter().map(|(name, _)| name).collect();
                format!("cnf: {}", names.join(", "))
            }
            _ => "cnf: no object".to_owned(),
        };
        Err(Rejection::found(Reason::BoundToken, "no cnf", found))
    }

    /// Returns the client by the first claim that is present, as a revocation by client does.
    fn client(&self, payload: &Object<'_>) -> Result<Option<Box<str>>, Rejection> {
        let mut paths = self.form.client_claims.iter().flat_map(ClaimPath::paths);
        name("client", paths.find_map(|path| at(payload, path)))
    }

    /// Returns whether `claim` is one of those that may name the client, or a choice with one of them.
    pub(super) fn names_client(&self, claim: &str) -> bool {
        let claim = ClaimPath::of_record(claim);
        let mut known = self.form.client_claims.iter().flat_map(ClaimPath::paths);
        known.any(|path| claim.paths().any(|own| own == path))
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

/// Displays a claim for operators.
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

/// Returns the value of a claim; `null` counts as absent.
fn optional<'m, 'a>(payload: &'m Object<'a>, name: &str) -> Option<&'m Json<'a>> {
    payload.get(name).filter(|value| **value != Json::Null)
}

/// Returns the value at a path of members.
fn at<'m, 'a>(payload: &'m Object<'a>, path: &[Box<str>]) -> Option<&'m Json<'a>> {
    let (name, rest) = path.split_first()?;
    match optional(payload, name)? {
        value if rest.is_empty() => Some(value),
        Json::Object(inner) => at(inner, rest),
        _ => None,
    }
}

/// Reads an optional claim that is a name: text that is not empty, or an integer, which some issuers
/// use for ids.
fn name(claim: &str, value: Option<&Json<'_>>) -> Result<Option<Box<str>>, Rejection> {
    match value {
        None => Ok(None),
        Some(Json::Text(text)) if !text.is_empty() => Ok(Some((&**text).into())),
        Some(Json::Digits(digits)) => Ok(Some((*digits).into())),
        Some(Json::Number(number)) if !number.is_f64() => Ok(Some(number.to_string().into())),
        Some(_) => {
            let expected = format!("{claim}: text or an integer");
            Err(Rejection::expected(Reason::MalformedToken, expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::times::{LAST_SECOND, earliest_issue, seconds};
    use super::*;
    use crate::verify::json;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn tokens_without_iat_count_as_issued_at_exp_minus_lifetime() {
        let lifetimes = Lifetimes::new(HOUR);
        assert_eq!(earliest_issue(&lifetimes, 10_000), 6_400);
        assert_eq!(earliest_issue(&lifetimes, 100), 0);
    }

    #[test]
    fn raising_max_token_lifetime_does_not_reach_back() {
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

    #[test]
    fn a_raised_leeway_revives_no_expired_token() {
        let mut lifetimes = Lifetimes::new(HOUR);
        lifetimes.adopt_leeway(Duration::from_secs(30), UnixMillis::from_seconds(1000));
        lifetimes.adopt_leeway(Duration::from_mins(10), UnixMillis::from_seconds(9100));
        let ended = |exp: u64| serde_json::json!({ "iat": exp - 3600, "exp": exp });
        let judged = |exp| judged(&lifetimes, &ended(exp), 9100);
        assert_eq!(judged(9069), Err(Reason::Expired));
        assert_eq!(judged(9070), Ok(9070 - 3600));
    }

    #[test]
    fn lowering_max_token_lifetime_leaves_the_age_of_tokens_without_iat() {
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
            seconds(&number)
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
