//! The latest decisions of the doors, for operators who have the id of one.
//!
//! Every denial is kept. Of the requests that pass, those are kept that something in shadow would refuse, and
//! those whose id ends in a zero, one in sixteen: an id is random, so this needs no state. Both rings are bounded, so a flood of one kind
//! displaces nothing of the other. No token, query, header or unverified claim is kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::{Decision, DecisionId};
use crate::core::clock::{Clock, UnixMillis};
use crate::core::reason::{Detail, Reason};
use crate::core::request::Request;
use crate::policy::{Policy, Rule};
use crate::revocation::Match;

/// Bytes of a path that are kept and logged.
const LONGEST_PATH: usize = 256;

/// Bytes of a host that are kept.
const LONGEST_HOST: usize = 256;

/// Bytes of a method that are kept and logged.
const LONGEST_METHOD: usize = 32;

/// Decisions that a reader looks at before it lets checks go on.
const AT_ONCE: usize = 64;

/// A decision that a door answers with, and the request that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a, 'r> {
    pub door: &'static str,
    pub request: &'a Request<'r>,
    pub decision: &'a Decision,
}

impl Answered<'_, '_> {
    /// Returns the beginning of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        start(self.request.method, LONGEST_METHOD)
    }

    /// Returns the beginning of the path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        start(self.request.path(), LONGEST_PATH)
    }
}

fn start(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// A decision that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub id: DecisionId,
    pub at: UnixMillis,
    pub outcome: &'static str,
    pub reason: Option<Reason>,
    pub door: &'static str,
    pub host: String,
    pub method: String,
    pub path: String,
    /// The policy that counted; `None` if none could be chosen.
    pub policy: Option<Box<str>>,
    /// Only of a token whose signature is good.
    pub issuer: Option<Arc<str>>,
    pub detail: Option<Arc<Detail>>,
    pub revoked_by: Option<Match>,
    /// Why the request would be refused if nothing were in shadow. What it expected and found is in `detail`, and
    /// the revocation in `revoked_by`.
    pub would_refuse: Option<Reason>,
}

/// The latest decisions.
#[derive(Debug)]
pub struct Recent {
    clock: Clock,
    denied: Ring,
    passed: Ring,
    missed: Counter,
}

impl Recent {
    /// Keeps at most `keep` denials and as many requests that passed.
    #[must_use]
    pub fn register(keep: usize, clock: Clock, registry: &mut Registry) -> Self {
        let missed = Counter::default();
        registry.register(
            "decisions_missed",
            "Sampled requests that passed and were not kept for /v1/decisions, because it was busy",
            missed.clone(),
        );
        Self {
            clock,
            denied: Ring::new(keep),
            passed: Ring::new(keep),
            missed,
        }
    }

    /// Keeps a decision, if it is a denial, would be one or is sampled. Only a denial waits for its turn.
    pub(super) fn add(&self, answered: &Answered<'_, '_>, policy: &Policy) {
        let decision = answered.decision;
        if matches!(decision, Decision::Deny(_)) {
            if self.denied.keep > 0 {
                let kept = self.denied.kept();
                self.denied.push(kept, self.clock.now(), answered, policy);
            }
            return;
        }
        let is_kept = decision.refused_in_shadow().is_some() || decision.id().is_sampled();
        if is_kept && self.passed.keep > 0 {
            match self.passed.kept.try_lock() {
                Ok(kept) => self.passed.push(kept, self.clock.now(), answered, policy),
                Err(_busy) => drop(self.missed.inc()),
            }
        }
    }

    /// Returns a decision that is still kept.
    #[must_use]
    pub fn find(&self, id: DecisionId) -> Option<Kept> {
        let mut found = self.latest(1, |kept| kept.id == id);
        found.pop()
    }

    /// Returns the latest decisions that `filter` accepts, newest first.
    #[must_use]
    pub fn latest(&self, limit: usize, filter: impl Fn(&Kept) -> bool) -> Vec<Kept> {
        let mut found = self.denied.latest(limit, &filter);
        found.append(&mut self.passed.latest(limit, &filter));
        found.sort_by_key(|kept| std::cmp::Reverse(kept.at));
        found.truncate(limit);
        found
    }
}

/// Decisions in the order of their answers, each with a number.
#[derive(Debug)]
struct Ring {
    keep: usize,
    kept: Mutex<VecDeque<(u64, Kept)>>,
}

impl Ring {
    fn new(keep: usize) -> Self {
        let kept = Mutex::default();
        Self { keep, kept }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(u64, Kept)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reuses the texts of the decision that makes room.
    fn push(
        &self,
        mut kept: MutexGuard<'_, VecDeque<(u64, Kept)>>,
        at: UnixMillis,
        answered: &Answered<'_, '_>,
        policy: &Policy,
    ) {
        let number = kept.back().map_or(0, |(last, _)| last + 1);
        let oldest = (kept.len() >= self.keep)
            .then(|| kept.pop_front())
            .flatten();
        let mut texts = oldest.map_or_else(Default::default, |(_, oldest)| {
            [oldest.host, oldest.method, oldest.path]
        });
        let host = start(answered.request.host, LONGEST_HOST);
        for (text, new) in texts
            .iter_mut()
            .zip([host, answered.method(), answered.path()])
        {
            text.clear();
            text.push_str(new);
        }
        let rule = policy.select(answered.request).ok();
        kept.push_back((number, Kept::of(at, answered, texts, rule)));
    }

    fn latest(&self, limit: usize, filter: &impl Fn(&Kept) -> bool) -> Vec<Kept> {
        let (mut found, mut before) = (Vec::new(), u64::MAX);
        while found.len() < limit {
            let (kept, end) = (self.kept(), before);
            let older = kept.iter().rev().skip_while(|(number, _)| *number >= end);
            let mut looked_at = 0;
            for (number, kept) in older.take(AT_ONCE) {
                (before, looked_at) = (*number, looked_at + 1);
                if filter(kept) {
                    found.push(kept.clone());
                }
            }
            if looked_at < AT_ONCE {
                break;
            }
        }
        found.truncate(limit);
        found
    }
}

impl Kept {
    fn of(
        at: UnixMillis,
        answered: &Answered<'_, '_>,
        [host, method, path]: [String; 3],
        rule: Option<&Rule>,
    ) -> Self {
        let Answered { door, decision, .. } = *answered;
        let denial = match decision {
            Decision::Deny(denial) => Some(denial),
            _ => None,
        };
        let issuer = match decision {
            Decision::Permit(permit) => Some(Arc::clone(&permit.verified().claims.issuer)),
            _ => denial.and_then(|denial| denial.issuer.clone()),
        };
        let in_shadow = decision.refused_in_shadow();
        let told = denial.or(in_shadow);
        let revoked = told.and_then(|denial| denial.revoked.as_ref());
        Self {
            id: decision.id(),
            at,
            outcome: decision.outcome(),
            reason: denial.map(|denial| denial.reason),
            door,
            host,
            method,
            path,
            policy: rule.map(|rule| rule.name().into()),
            issuer,
            detail: told.and_then(|denial| denial.detail.clone()),
            revoked_by: revoked.map(|revoked| revoked.by.clone()),
            would_refuse: in_shadow.map(|denial| denial.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing;

    fn recent(keep: usize) -> Recent {
        Recent::register(keep, Clock::system(), &mut Registry::default())
    }

    fn add(recent: &Recent, method: &str, target: &str, decision: &Decision) {
        let request = Request {
            method,
            target,
            ..Request::unread()
        };
        let (door, request) = ("ext_authz", &request);
        let answered = Answered {
            door,
            request,
            decision,
        };
        recent.add(&answered, &Policy::default());
    }

    #[test]
    fn the_latest_denials_are_kept_and_passes_displace_none() {
        let recent = recent(100);
        let ids: Vec<_> = (0..1000)
            .map(|turn| {
                let decision = testing::deny(Reason::ALL[turn % Reason::ALL.len()]);
                add(&recent, "GET", &format!("/{turn}?token=secret"), &decision);
                for _ in 0..50 {
                    add(&recent, "GET", "/", &testing::bypass());
                }
                decision.id()
            })
            .collect();
        assert!(ids[..900].iter().all(|id| recent.find(*id).is_none()));
        for (turn, id) in ids.iter().enumerate().skip(900) {
            let kept = recent.find(*id).unwrap();
            assert_eq!(kept.path, format!("/{turn}"));
            assert_eq!(kept.policy.as_deref(), Some("default"));
            assert_eq!(kept.reason, Some(Reason::ALL[turn % Reason::ALL.len()]));
        }
        let denials = recent.latest(1000, |kept| kept.outcome == "deny");
        let newest_first = ids.iter().rev().take(100);
        let found: Vec<_> = denials.iter().map(|kept| kept.id).collect();
        assert_eq!(found.len(), 100);
        assert!(newest_first.copied().collect::<Vec<_>>() == found);
        assert_eq!(recent.latest(7, |_| true).len(), 7);
        let revoked = recent.latest(1000, |kept| kept.reason == Some(Reason::Revoked));
        assert!(
            revoked
                .iter()
                .all(|kept| kept.reason == Some(Reason::Revoked))
        );
        assert!((3..=4).contains(&revoked.len()), "{}", revoked.len());
    }

    #[test]
    fn one_pass_in_sixteen_is_kept_and_its_id_ends_in_a_zero() {
        let recent = recent(10_000);
        let all: Vec<_> = (0..16_000).map(|_| testing::bypass()).collect();
        for pass in &all {
            add(&recent, "GET", "/", pass);
        }
        let kept = recent.latest(16_000, |_| true);
        assert!((800..1200).contains(&kept.len()), "{}", kept.len());
        for pass in &all {
            let is_sampled = pass.id().to_string().ends_with('0');
            assert_eq!(recent_has(&kept, pass.id()), is_sampled);
        }
    }

    fn recent_has(kept: &[Kept], id: DecisionId) -> bool {
        kept.iter().any(|kept| kept.id == id)
    }

    #[test]
    fn nothing_is_kept_when_it_is_off_and_long_texts_are_cut_between_characters() {
        let off = recent(0);
        let denial = testing::deny(Reason::Expired);
        add(&off, "GET", "/", &denial);
        assert!(off.find(denial.id()).is_none());
        let on = recent(1);
        add(&on, &"M".repeat(100), &"ü".repeat(1000), &denial);
        let kept = on.find(denial.id()).unwrap();
        assert_eq!(kept.method.len(), LONGEST_METHOD);
        assert_eq!(kept.path.len(), LONGEST_PATH);
        assert_eq!(start("aüü", 2), "a");
    }
}
