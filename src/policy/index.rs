//! Which rules to try for a host.

use std::collections::{BTreeSet, HashMap};

use super::host::HostPattern;
use super::matcher::Matcher;
use super::reading::{Hint, Reading};
use super::rule::Rule;

/// Rules, in the order in which they are tried. Rules that only the proxy chooses are in none.
type Candidates = Box<[Candidate]>;

/// A rule to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its place in the list of all rules.
    pub(super) number: usize,
    hint: Hint,
}

impl Candidate {
    /// Returns whether the rule may match a path, without a look at the rule.
    pub(super) fn may_match(&self, path: &Reading<'_>) -> bool {
        path.may_have(self.hint)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// By the exact hosts that rules name.
    exact: HashMap<Box<str>, Candidates>,
    /// By the names below which rules match: for hosts below them that no rule names.
    below: HashMap<Box<str>, Candidates>,
    /// Rules for every host.
    others: Candidates,
    all: Candidates,
}

impl Index {
    pub(super) fn of(rules: &[Rule]) -> Self {
        let candidates = |fits: &dyn Fn(&[HostPattern]) -> bool| -> Candidates {
            let numbered = rules.iter().enumerate();
            let matched = numbered.filter_map(|(i, rule)| Some((i, rule.matcher.as_ref()?)));
            let fitting = matched.filter(|(_, own)| own.hosts.is_empty() || fits(&own.hosts));
            let candidate = |(number, own): (usize, &Matcher)| Candidate {
                number,
                hint: own.path.hint(),
            };
            fitting.map(candidate).collect()
        };
        let matchers = rules.iter().filter_map(|rule| rule.matcher.as_ref());
        let hosts = matchers.flat_map(|matcher| &matcher.hosts);
        let (mut exact, mut below) = (BTreeSet::new(), BTreeSet::new());
        for host in hosts {
            match host {
                HostPattern::Exact(name) => exact.insert(name),
                HostPattern::Below(name) => below.insert(name),
            };
        }
        let exactly = |name: &str| candidates(&|own| own.iter().any(|one| one.matches(name)));
        let beneath = |name: &str| {
            let pattern = HostPattern::Below(name.into());
            candidates(&|own| own.iter().any(|one| one.covers(&pattern)))
        };
        Self {
            exact: exact
                .iter()
                .map(|name| ((*name).clone(), exactly(name)))
                .collect(),
            below: below
                .iter()
                .map(|name| ((*name).clone(), beneath(name)))
                .collect(),
            others: candidates(&|_| false),
            all: candidates(&|_| true),
        }
    }

    /// Returns the rules whose hosts match; all rules if the host is not known.
    pub(super) fn candidates(&self, host: Option<&str>) -> &[Candidate] {
        let Some(host) = host else { return &self.all };
        if self.exact.is_empty() && self.below.is_empty() {
            return &self.others;
        }
        if let Some(named) = self.exact.get(host) {
            return named;
        }
        // The longest name that a rule has is the one that knows all others above it.
        let mut rest = host;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(found) = self.below.get(above) {
                return found;
            }
            rest = above;
        }
        &self.others
    }
}
