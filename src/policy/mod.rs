//! Decides what a request needs before it passes: which token, from whom, with which rights.
//!
//! The first rule that matches host, method and path counts. Proxies, frameworks and old servers read
//! paths differently: `..`, `//`, `;`, `\`, percent-encoding, case. So a rule can match for certain, not at
//! all, or only for some servers ([`pattern::Match`]). A request gets the strictest of the rules that any reading
//! leads to, and is refused if none of them is the strictest: decision 0030.

mod bypass;
mod condition;
mod config;
mod demands;
mod host;
mod index;
mod matcher;
mod path;
mod pattern;
mod reading;
mod rule;
#[cfg(test)]
mod tests;
mod unreachable;

use std::collections::BTreeMap;

use crate::core::config_error::ConfigErrors;
use crate::core::reason::{Reason, Rejection};
use crate::core::request::{Found, NamedPolicy, Request};
use crate::core::route::{Route, RouteAnswer};
use crate::core::when_stale::WhenStale;
use index::Index;
use matcher::Asked;
use pattern::Match;

pub use bypass::Bypass;
pub use config::RuleConfig;
pub use demands::Fit;
pub use rule::{Exempt, Need, Rule};

/// In `policy_header`: the rules that match count.
const BY_MATCH: &str = "default";

/// All rules. The default has none: every request needs a token and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Those of `bypass`, then those of `policies`.
    rules: Box<[Rule]>,
    index: Index,
    /// The rules that only the proxy can choose, by name; `None`: it is in shadow, and the rules that match count.
    named: BTreeMap<Box<str>, Option<usize>>,
    /// For a request that no rule matches.
    default: Rule,
    /// `policy_header`, in lower case.
    header: Option<Box<str>>,
    /// The same as if no rule were in shadow, if one is.
    whole: Option<Box<Self>>,
}

impl Policy {
    /// Builds the rules of the lists `bypass` and `policies`, or reports everything that is wrong with
    /// them.
    pub fn build(
        bypasses: &[Bypass],
        policies: &[RuleConfig],
        header: Option<&str>,
        errors: &mut ConfigErrors,
    ) -> Option<Self> {
        let header = header.and_then(|name| config::header(name, errors));
        let built = errors.build(|errors| {
            let number = |errors: &mut ConfigErrors, item: &Bypass| item.build(errors);
            let exempt = errors.build_each("bypass", bypasses, number);
            let rules = errors.build_each("policies", policies, |errors, item| {
                Some(item.build(errors))
            });
            Some(exempt?.into_iter().chain(rules?).collect::<Vec<Rule>>())
        });
        config::check_names(policies, errors);
        let mut rules = built?;
        let answering = rules.iter_mut().filter(|rule| rule.answer.is_some());
        for (number, rule) in answering.enumerate() {
            rule.route = Route::numbered(number + 1);
        }
        unreachable::check(&rules, bypasses.len(), errors);
        let enforced: Vec<Rule> = rules.iter().filter(|rule| !rule.shadow).cloned().collect();
        let in_shadow = rules.iter().filter(|rule| rule.shadow);
        let mut policy = Self::of(enforced, header.clone());
        let silent = in_shadow.clone().filter(|rule| rule.matcher.is_none());
        policy
            .named
            .extend(silent.map(|rule| (rule.name.clone(), None)));
        if in_shadow.count() > 0 {
            policy.whole = Some(Box::new(Self::of(rules, header)));
        }
        Some(policy)
    }

    fn of(rules: Vec<Rule>, header: Option<Box<str>>) -> Self {
        let named = rules.iter().enumerate();
        let named = named.filter(|(_, rule)| rule.matcher.is_none());
        Self {
            named: named
                .map(|(i, rule)| (rule.name.clone(), Some(i)))
                .collect(),
            index: Index::of(&rules),
            rules: rules.into(),
            default: Rule::default(),
            header,
            whole: None,
        }
    }

    /// Returns the rule that says what the request needs.
    ///
    /// # Errors
    /// If the proxy names a rule that does not exist, or if servers may read the request in ways to which
    /// different rules apply.
    pub fn select(&self, request: &Request<'_>) -> Result<&Rule, Rejection> {
        if let Some(name) = self.name_of(request)?
            && let Some(number) = self.named.get(name).ok_or_else(|| self.unknown())?
        {
            return Ok(&self.rules[*number]);
        }
        if self.rules.is_empty() {
            return Ok(&self.default);
        }
        let asked = Asked::of(request);
        let mut strictest: Option<&Rule> = None;
        let candidates = self.index.candidates(asked.host.as_deref());
        for candidate in candidates.iter().filter(|one| one.may_match(&asked.path)) {
            let rule = &self.rules[candidate.number];
            let found = rule.matches(&asked);
            if found != Match::No {
                strictest = Some(stricter(strictest, rule)?);
            }
            if let (Match::Yes, Some(strictest)) = (found, strictest) {
                return Ok(strictest);
            }
        }
        stricter(strictest, &self.default)
    }

    /// Returns what [`Policy::select`] would return if no rule were in shadow, unless that is `selected`.
    pub fn select_in_shadow(
        &self,
        request: &Request<'_>,
        selected: &Rule,
    ) -> Option<Result<&Rule, Rejection>> {
        let found = self.whole.as_ref()?.select(request);
        let is_same = |rule: &&Rule| !rule.shadow && rule.name == selected.name;
        (!found.as_ref().is_ok_and(is_same)).then_some(found)
    }

    /// Returns whether a rule lets requests pass although the feed of revocations is too old.
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.when_stale == Some(WhenStale::Allow))
    }

    /// Returns the rule for a token that comes without a request.
    #[must_use]
    pub const fn default_rule(&self) -> &Rule {
        &self.default
    }

    /// Returns every rule, in the order in which they are tried, also those in shadow.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.whole.as_deref().unwrap_or(self).rules.iter()
    }

    /// Returns the answers of policies, by the numbers of their routes from 1 on.
    pub fn answers(&self) -> impl Iterator<Item = &RouteAnswer> {
        self.rules().filter_map(|rule| rule.answer.as_deref())
    }

    fn name_of<'r>(&self, request: &Request<'r>) -> Result<Option<&'r str>, Rejection> {
        let header = match (request.policy, &self.header) {
            (NamedPolicy::Name(name), _) => return Ok(Some(name)),
            (NamedPolicy::InHeader, Some(header)) => header,
            (NamedPolicy::No, _) | (NamedPolicy::InHeader, None) => return Ok(None),
        };
        match request.headers.find(header) {
            Found::One(_) => {
                let name = request.headers.text(header).ok_or_else(|| self.unknown())?;
                Ok(Some(name).filter(|name| *name != BY_MATCH))
            }
            Found::Nothing | Found::Several => {
                let expected = format!("the header {header} once, which the proxy has to set");
                Err(Rejection::expected(Reason::UnknownPolicy, expected))
            }
        }
    }

    fn unknown(&self) -> Rejection {
        let names: Vec<&str> = self.named.keys().map(AsRef::as_ref).collect();
        let expected = format!("the name of a policy without a match: {}", names.join(", "));
        Rejection::expected(Reason::UnknownPolicy, expected)
    }
}

/// Returns the rule that demands everything that the other one does.
fn stricter<'r>(one: Option<&'r Rule>, other: &'r Rule) -> Result<&'r Rule, Rejection> {
    let Some(one) = one else { return Ok(other) };
    if one.demands_all_of(other) {
        Ok(one)
    } else if other.demands_all_of(one) {
        Ok(other)
    } else {
        let (one, other) = (one.name(), other.name());
        let expected = format!("a request that is not between the policies {one} and {other}");
        Err(Rejection::expected(Reason::AmbiguousRequest, expected))
    }
}
