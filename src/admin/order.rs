//! What a request to revoke asks for.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use super::body::Matches;
use super::config::SOURCE;
use super::refused::Refused;
use super::shown::parse_rfc3339;
use crate::core::clock::UnixMillis;
use crate::core::network::{self, CLIENT_IP};
use crate::core::token::Token;
use crate::gate::Gate;
use crate::revocation::{Draft, Revocation, Target};
use crate::verify::Verifier;
use crate::verify::claims::ClaimPath;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 200;

/// The longest value of a claim, in bytes.
const LONGEST_VALUE: usize = 4096;

/// What to revoke: `token`, or `issuer` and `matches`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RevokeRequest")]
pub(super) struct Order {
    /// Revoke this token and no other.
    #[serde(default)]
    pub(super) token: Option<String>,
    /// The issuer of the tokens, as configured.
    #[serde(default)]
    pub(super) issuer: Option<String>,
    /// Claims by path, and their values. Tokens that have all of them are revoked. `client#ip` stands for the
    /// address that requests come from; its value is an address or a network.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub(super) matches: Option<Matches>,
    /// Revoke only tokens issued until then; `null` for all. Default: now, and all for a `jti` or a
    /// `sid` alone.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(super) issued_at_or_before: IssuedAtOrBefore,
    /// Confirms a revocation of a whole issuer, client or audience. A number: only if at most so many of the
    /// tokens that were seen lately are refused.
    #[serde(default)]
    #[schemars(with = "BoolOrNumber")]
    pub(super) confirm: Confirm,
    /// Refuse nothing, and count, log and keep what would be refused.
    #[serde(default)]
    pub(super) shadow: bool,
    /// Why, for the records. Name no person: every operator sees it.
    #[schemars(length(min = 1, max = 200))]
    pub(super) reason: String,
}

/// The schema of [`Confirm`].
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum BoolOrNumber {
    Bool(bool),
    Number(u64),
}

/// How far a revocation may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Confirm {
    /// Only to one subject, session or token, or to what else the claims name.
    #[default]
    Narrow,
    /// To at most so many of the tokens that were seen lately.
    AtMost(usize),
    Anything,
}

impl<'de> Deserialize<'de> for Confirm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConfirmVisitor)
    }
}

struct ConfirmVisitor;

impl Visitor<'_> for ConfirmVisitor {
    type Value = Confirm;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a number of tokens")
    }

    fn visit_bool<E>(self, all: bool) -> Result<Confirm, E> {
        Ok(if all {
            Confirm::Anything
        } else {
            Confirm::Narrow
        })
    }

    fn visit_u64<E>(self, most: u64) -> Result<Confirm, E> {
        Ok(Confirm::AtMost(usize::try_from(most).unwrap_or(usize::MAX)))
    }
}

/// `null` is not the same as an absent member.
#[derive(Default)]
pub(super) enum IssuedAtOrBefore {
    #[default]
    Absent,
    Null,
    Text(String),
}

impl<'de> Deserialize<'de> for IssuedAtOrBefore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::deserialize(deserializer)?;
        Ok(text.map_or(Self::Null, Self::Text))
    }
}

/// What is to be revoked.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) target: Target,
    cut_off: CutOff,
    /// Only tokens that expire until then; `None`: whenever they expire.
    pub(super) expires_at_or_before: Option<UnixMillis>,
    /// Whether nothing is to be refused.
    pub(super) shadow: bool,
}

#[derive(Clone, Copy, Debug)]
enum CutOff {
    /// Every matching token.
    Never,
    At(UnixMillis),
    Now,
}

impl Wanted {
    /// Returns what a revocation in shadow would refuse.
    pub(super) fn enforcing(record: &Revocation) -> Self {
        Self {
            target: record.target.clone(),
            cut_off: record.issued_at_or_before.map_or(CutOff::Never, CutOff::At),
            expires_at_or_before: record.expires_at_or_before,
            shadow: false,
        }
    }

    /// Returns the source of its records.
    pub(super) fn source(&self) -> String {
        if self.shadow {
            Draft::source_in_shadow(SOURCE)
        } else {
            SOURCE.to_owned()
        }
    }

    /// Returns what was wanted `now`, for a revocation that is made later.
    pub(super) fn fixed(self, now: UnixMillis) -> Self {
        let cut_off = self.cut_off(now).map_or(CutOff::Never, CutOff::At);
        Self { cut_off, ..self }
    }

    /// Returns whether a revocation with this cut-off is what was wanted. A cut-off of now is that of the first request.
    pub(super) fn may_have(&self, cut_off: Option<UnixMillis>) -> bool {
        match self.cut_off {
            CutOff::Never => cut_off.is_none(),
            CutOff::At(at) => cut_off == Some(at),
            CutOff::Now => true,
        }
    }

    /// Returns the cut-off of a revocation that is made `now`.
    pub(super) const fn cut_off(&self, now: UnixMillis) -> Option<UnixMillis> {
        match self.cut_off {
            CutOff::Never => None,
            CutOff::At(at) => Some(at),
            CutOff::Now => Some(now),
        }
    }
}

impl Order {
    /// Returns the reason that the operator gives.
    pub(super) fn reason(&self) -> Result<&str, Refused> {
        let reason = self.reason.trim();
        let is_long = reason.chars().count() > LONGEST_REASON;
        if reason.is_empty() || is_long || reason.contains(char::is_control) {
            return Err(Refused::unprocessable(format!(
                "reason must have 1 to {LONGEST_REASON} characters and no control characters"
            )));
        }
        Ok(reason)
    }

    pub(super) const fn confirm(&self) -> Confirm {
        self.confirm
    }

    /// Returns what is to be revoked. Verifies a token.
    pub(super) async fn wanted(&self, gate: &Gate) -> Result<Wanted, Refused> {
        match (&self.token, &self.issuer, &self.matches) {
            (Some(token), None, None)
                if matches!(self.issued_at_or_before, IssuedAtOrBefore::Absent) =>
            {
                let target = of_token(token, &gate.verifier).await?;
                Ok(self.with(target, CutOff::Never))
            }
            (None, Some(issuer), Some(matches)) => {
                let matches = with_network(&matches.0, gate.client_ip.is_some())?;
                self.of_claims(issuer, matches)
            }
            _ => Err(Refused::bad_request(
                "give token alone, or issuer and matches, which may have issued_at_or_before",
            )),
        }
    }

    fn of_claims(
        &self,
        issuer: &str,
        matches: BTreeMap<String, String>,
    ) -> Result<Wanted, Refused> {
        for (claim, value) in &matches {
            ClaimPath::parse(claim)
                .map_err(|error| Refused::unprocessable(format!("matches: {claim:?} {error}")))?;
            if !(1..=LONGEST_VALUE).contains(&value.len()) {
                let why =
                    format!("matches: the value of {claim:?} must have 1 to {LONGEST_VALUE} bytes");
                return Err(Refused::unprocessable(why));
            }
        }
        let mut claims = matches.keys().map(String::as_str);
        let is_one_session = matches!((claims.next(), claims.next()), (Some("jti" | "sid"), None));
        let cut_off = match &self.issued_at_or_before {
            IssuedAtOrBefore::Absent if is_one_session => CutOff::Never,
            IssuedAtOrBefore::Absent => CutOff::Now,
            IssuedAtOrBefore::Null => CutOff::Never,
            IssuedAtOrBefore::Text(text) => CutOff::At(parse_rfc3339(text).ok_or_else(|| {
                Refused::unprocessable(
                    "issued_at_or_before must be null or RFC 3339 in UTC, such as 2026-11-27T08:00:00Z",
                )
            })?),
        };
        let target = Target {
            issuer: issuer.to_owned(),
            matches,
        };
        Ok(self.with(target, cut_off))
    }

    const fn with(&self, target: Target, cut_off: CutOff) -> Wanted {
        Wanted {
            target,
            cut_off,
            expires_at_or_before: None,
            shadow: self.shadow,
        }
    }
}

/// Returns the claims with the one name of the network among them, if there is one.
fn with_network(
    matches: &BTreeMap<String, String>,
    is_known: bool,
) -> Result<BTreeMap<String, String>, Refused> {
    let mut matches = matches.clone();
    if let Some(value) = matches.get_mut(CLIENT_IP) {
        if !is_known {
            let why = format!("matches: {CLIENT_IP} needs client_ip in the configuration");
            return Err(Refused::unprocessable(why));
        }
        let name = network::canonical(value);
        *value =
            name.map_err(|why| Refused::unprocessable(format!("matches: {CLIENT_IP} {why}")))?;
    }
    Ok(matches)
}

/// Returns the target that only this token has.
async fn of_token(token: &str, verifier: &Verifier) -> Result<Target, Refused> {
    let judged = verifier.verify(Token::new(token.trim())).await;
    let judged = judged.map_err(|rejection| Refused::bad_token(&rejection))?;
    let claims = &judged.claims;
    let (claim, value) = claims.own_name();
    Ok(Target {
        issuer: claims.issuer.to_string(),
        matches: BTreeMap::from([(claim.to_owned(), value)]),
    })
}
