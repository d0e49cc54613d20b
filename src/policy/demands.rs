//! What a token must say on the routes of a rule.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use super::condition::{Condition, Read, Values};
use crate::core::clock::{Clock, UnixMillis};
use crate::core::issuer::ByIssuer;
use crate::core::reason::{Reason, Rejection};
use crate::core::request::Request;
use crate::verify::claims::{ClaimPath, Claims, Requirement};

static AUDIENCE: LazyLock<ClaimPath> = LazyLock::new(|| known("aud"));
/// A text or an array, by the name of RFC 8693 or by that of some providers.
static SCOPE: LazyLock<ClaimPath> = LazyLock::new(|| known("scope|scp"));
static ACR: LazyLock<ClaimPath> = LazyLock::new(|| known("acr"));

fn known(path: &str) -> ClaimPath {
    ClaimPath::parse(path).expect("the names are plain")
}

/// The proof that a token meets the demands of the rule for its request.
#[derive(Debug)]
pub struct Fit(());

impl Fit {
    /// For a rule without demands.
    pub(super) const fn with_nothing() -> Self {
        Self(())
    }
}

#[cfg(test)]
impl Fit {
    /// For tests of the doors, which need a permit but no rules.
    pub(crate) const fn for_tests() -> Self {
        Self(())
    }
}

/// What a rule demands of a token. An empty list demands nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Demands {
    /// The rule's name, for operators.
    pub(super) rule: Box<str>,
    pub(super) issuers: Box<[Box<str>]>,
    /// The same, for look-ups.
    pub(super) by_issuer: ByIssuer<()>,
    pub(super) audiences: Box<[Box<str>]>,
    pub(super) clients: Box<[Box<str>]>,
    /// All of them.
    pub(super) scopes: Box<[Box<str>]>,
    /// Texts are split at spaces.
    pub(super) roles: Box<[Requirement]>,
    pub(super) claims: Box<[Requirement]>,
    /// All of them.
    pub(super) conditions: Box<[Condition]>,
    /// Seconds since `iat`.
    pub(super) max_age: Option<u64>,
    pub(super) acr: Box<[Box<str>]>,
    /// Seconds since `auth_time`.
    pub(super) max_auth_age: Option<u64>,
    /// For the challenge: the scopes (RFC 6750 §3).
    pub(super) scope_wanted: Option<Arc<str>>,
    /// For the challenge: what kind of login is needed (RFC 9470 §3).
    pub(super) login_wanted: Option<Arc<str>>,
}

impl Demands {
    /// Adds what challenges say.
    pub(super) fn with_challenges(mut self) -> Self {
        let quoted = |name: &str, list: &[Box<str>]| format!(", {name}=\"{}\"", list.join(" "));
        if !self.scopes.is_empty() {
            self.scope_wanted = Some(quoted("scope", &self.scopes).into());
        }
        let mut login = String::new();
        if !self.acr.is_empty() {
            login += &quoted("acr_values", &self.acr);
        }
        if let Some(seconds) = self.max_auth_age {
            let _ = write!(login, ", max_age=\"{seconds}\"");
        }
        self.login_wanted = Some(login.into()).filter(|login: &Arc<str>| !login.is_empty());
        self
    }

    /// Returns whether what meets these demands meets those of another rule for certain: they are the same,
    /// and further conditions at most.
    pub(super) fn include(&self, others: &Self) -> bool {
        let mut conditions = others.conditions.iter();
        conditions.all(|condition| self.conditions.contains(condition))
            && Self {
                rule: others.rule.clone(),
                conditions: others.conditions.clone(),
                ..self.clone()
            } == *others
    }

    /// Returns the proof that the claims meet every demand.
    ///
    /// # Errors
    /// The first demand that they do not meet.
    pub(super) fn judge(
        &self,
        request: &Request<'_>,
        claims: &Claims,
        clock: &Clock,
    ) -> Result<Fit, Rejection> {
        self.check_parties(claims)?;
        self.check_scopes(claims)?;
        for (rules, splits) in [(&self.roles, true), (&self.claims, false)] {
            for rule in rules {
                self.check_claim(rule, splits, claims)?;
            }
        }
        if !self.conditions.is_empty() {
            clock.judge(|now| self.check_conditions(request, claims, now))?;
        }
        if let Some(most) = self.max_age {
            clock.judge(|now| self.check_age(most, claims, now))?;
        }
        self.check_level(claims)?;
        if let Some(most) = self.max_auth_age {
            clock.judge(|now| self.check_login(most, claims, now))?;
        }
        Ok(Fit(()))
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), Rejection> {
        if !self.issuers.is_empty() && self.by_issuer.get(&claims.issuer).is_none() {
            let found = format!("iss: {}", claims.issuer);
            return Err(self.refused(Reason::Forbidden, "iss", &self.issuers, found));
        }
        let audiences = claims.values(&AUDIENCE);
        if !is_met(&self.audiences, audiences.iter().copied()) {
            let found = format!("aud: {}", audiences.join(", "));
            return Err(self.refused(Reason::WrongAudience, "aud", &self.audiences, found));
        }
        if !is_met(&self.clients, claims.client.as_deref().into_iter()) {
            let found = format!("client: {}", claims.client.as_deref().unwrap_or("absent"));
            return Err(self.refused(Reason::Forbidden, "client", &self.clients, found));
        }
        Ok(())
    }

    fn check_scopes(&self, claims: &Claims) -> Result<(), Rejection> {
        if self.scopes.is_empty() {
            return Ok(());
        }
        let values = claims.values(&SCOPE);
        let has = |scope: &str| words(&values).any(|word| word == scope);
        if self.scopes.iter().all(|scope| has(scope)) {
            return Ok(());
        }
        let expected = format!("scope: {} (policy {})", self.scopes.join(" "), self.rule);
        let found = format!("scope: {}", values.join(" "));
        let rejection = Rejection::found(Reason::InsufficientScope, expected, found);
        Err(Rejection {
            wanted: self.scope_wanted.clone(),
            ..rejection
        })
    }

    fn check_claim(
        &self,
        rule: &Requirement,
        splits: bool,
        claims: &Claims,
    ) -> Result<(), Rejection> {
        let values = claims.values(&rule.claim);
        let is_one = |value: &str| rule.is.is_empty() || rule.is.iter().any(|one| one == value);
        let is_met = if splits {
            words(&values).any(is_one)
        } else {
            values.iter().any(|value| is_one(value))
        };
        if is_met {
            return Ok(());
        }
        let expected = format!("{rule} (policy {})", self.rule);
        let found = format!("{}: {}", rule.claim, values.join(", "));
        Err(Rejection::found(Reason::Forbidden, expected, found))
    }

    fn check_conditions(
        &self,
        request: &Request<'_>,
        claims: &Claims,
        now: UnixMillis,
    ) -> Result<(), Rejection> {
        let read = Read::default();
        let values = Values::of((request, &read), claims, now);
        for condition in &self.conditions {
            condition.check(&values).map_err(|(reason, found)| {
                let expected = format!("{condition} (policy {})", self.rule);
                Rejection::found(reason, expected, found)
            })?;
        }
        Ok(())
    }

    fn check_age(&self, most: u64, claims: &Claims, now: UnixMillis) -> Result<(), Rejection> {
        let age = now.seconds().saturating_sub(claims.counts_as_issued_at);
        if age <= most {
            return Ok(());
        }
        let expected = format!("issued in the last {most} s (policy {})", self.rule);
        let found = format!("issued {age} s ago");
        Err(Rejection::found(Reason::TokenTooOld, expected, found))
    }

    fn check_level(&self, claims: &Claims) -> Result<(), Rejection> {
        let levels = claims.values(&ACR);
        if !is_met(&self.acr, levels.iter().copied()) {
            let expected = format!("acr: {} (policy {})", self.acr.join(" or "), self.rule);
            let found = format!("acr: {}", levels.join(", "));
            return Err(self.challenged(expected, found));
        }
        Ok(())
    }

    fn check_login(&self, most: u64, claims: &Claims, now: UnixMillis) -> Result<(), Rejection> {
        let login = claims.auth_time(now)?;
        let age = login.map(|login| now.since(login).as_secs());
        if age.is_some_and(|age| age <= most) {
            return Ok(());
        }
        let found = age.map_or("auth_time: absent".to_owned(), |age| {
            format!("auth_time: {age} s ago")
        });
        let expected = format!("auth_time: in the last {most} s (policy {})", self.rule);
        Err(self.challenged(expected, found))
    }

    fn challenged(&self, expected: String, found: String) -> Rejection {
        Rejection {
            wanted: self.login_wanted.clone(),
            ..Rejection::found(Reason::InsufficientUserAuthentication, expected, found)
        }
    }

    fn refused(&self, reason: Reason, claim: &str, list: &[Box<str>], found: String) -> Rejection {
        let expected = format!("{claim}: {} (policy {})", list.join(" or "), self.rule);
        Rejection::found(reason, expected, found)
    }
}

/// Returns whether the list is empty or has one of the values.
fn is_met<'v>(list: &[Box<str>], mut values: impl Iterator<Item = &'v str>) -> bool {
    list.is_empty() || values.any(|value| list.iter().any(|one| **one == *value))
}

fn words<'v>(values: &'v [&'v str]) -> impl Iterator<Item = &'v str> {
    values
        .iter()
        .flat_map(|value| value.split(' '))
        .filter(|word| !word.is_empty())
}
