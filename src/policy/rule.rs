//! One rule: which requests it matches, and what they need.

use std::collections::BTreeMap;

use super::demands::{Demands, Fit};
use super::matcher::{Asked, Matcher};
use super::pattern::Match;
use crate::core::clock::Clock;
use crate::core::reason::{Reason, Rejection};
use crate::core::request::Request;
use crate::core::route::{Route, RouteAnswer};
use crate::core::when_stale::WhenStale;
use crate::verify::claims::Claims;

/// What the requests that it matches need.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) name: Box<str>,
    /// `None`: only the proxy can choose it.
    pub(super) matcher: Option<Matcher>,
    pub(super) token: Token,
    /// `None`: every verified token will do.
    pub(super) demands: Option<Box<Demands>>,
    /// Goes before that of the issuer.
    pub(super) when_stale: Option<WhenStale>,
    /// Whether it only says what it would refuse.
    pub(super) shadow: bool,
    /// `None`: what `answer` says for all.
    pub(super) answer: Option<Box<RouteAnswer>>,
    pub(super) route: Route,
}

/// Whether a token is needed; the later, the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token {
    Ignored,
    Optional,
    Required,
}

/// What a request needs. The two kinds that do without a token hold the proof that a rule says so.
#[derive(Debug)]
pub enum Need {
    /// No token; one that is there is ignored.
    Nothing(Exempt),
    /// No token; one that is there has to be good.
    GoodIfAny(Exempt),
    Token,
}

/// The proof that a rule lets a request pass without a token.
#[derive(Debug)]
pub struct Exempt(());

impl Default for Rule {
    fn default() -> Self {
        Self {
            name: "default".into(),
            matcher: None,
            token: Token::Required,
            demands: None,
            when_stale: None,
            shadow: false,
            answer: None,
            route: Route::default(),
        }
    }
}

impl Rule {
    /// Returns its name, or its place in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what happens while the feed of revocations is too old; `None`: what the issuer's entry says.
    #[must_use]
    pub const fn when_stale(&self) -> Option<WhenStale> {
        self.when_stale
    }

    /// Returns which answers its requests get.
    #[must_use]
    pub const fn route(&self) -> Route {
        self.route
    }

    #[must_use]
    pub const fn need(&self) -> Need {
        match self.token {
            Token::Ignored => Need::Nothing(Exempt(())),
            Token::Optional => Need::GoodIfAny(Exempt(())),
            Token::Required => Need::Token,
        }
    }

    /// Returns the proof that a token fits: verified claims, which were looked up for revocation.
    ///
    /// # Errors
    /// The first demand that the claims do not meet.
    pub fn judge(
        &self,
        request: &Request<'_>,
        claims: &Claims,
        clock: &Clock,
    ) -> Result<Fit, Rejection> {
        match &self.demands {
            None => Ok(Fit::with_nothing()),
            Some(demands) => demands.judge(request, claims, clock),
        }
    }

    /// Returns the refusal of a request whose token cannot be found. A client without one is told the
    /// scopes to ask for.
    #[must_use]
    pub fn refusal(&self, reason: Reason) -> Rejection {
        let demands = self.demands.as_ref();
        let wanted = demands.and_then(|demands| demands.scope_wanted.clone());
        Rejection {
            wanted: wanted.filter(|_| reason == Reason::MissingToken),
            ..reason.into()
        }
    }

    pub(super) fn matches(&self, asked: &Asked<'_, '_>) -> Match {
        match &self.matcher {
            Some(matcher) => matcher.matches(asked, self.token != Token::Required),
            None => Match::No,
        }
    }

    /// Returns whether what satisfies this rule satisfies the other one, and the upstream is told the same.
    pub(super) fn demands_all_of(&self, other: &Self) -> bool {
        let strictness = |rule: &Self| match rule.when_stale {
            Some(WhenStale::Allow) => 0,
            None => 1,
            Some(WhenStale::Deny) => 2,
        };
        self.tells() == other.tells()
            && self.token >= other.token
            && strictness(self) >= strictness(other)
            && match (&self.demands, &other.demands) {
                (_, None) => true,
                (Some(own), Some(others)) => own.include(others),
                // Without a token there is nothing to meet the demands with.
                (None, Some(_)) => false,
            }
    }
}

impl Rule {
    /// Returns what the upstream is told: the audience, and the headers.
    fn tells(&self) -> Option<(Option<&str>, &BTreeMap<String, String>)> {
        let answer = self.answer.as_deref()?;
        let told = (answer.audience.as_deref(), &answer.headers);
        (answer.audience.is_some() || !answer.headers.is_empty()).then_some(told)
    }
}

#[cfg(test)]
impl Exempt {
    /// For tests of the doors, which need a bypass but no rules.
    pub(crate) const fn for_tests() -> Self {
        Self(())
    }
}
