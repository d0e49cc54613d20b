//! The history of every issuer's `max_token_lifetime` and `leeway`, as the log has it.
//!
//! A replica whose configuration differs from the log's latest writes a change to the log before it
//! judges any token, and judges by all changes that the log has. So a replica with an empty directory
//! decides as the others do. Replicas with different configurations use the safest: tokens are held to
//! the shorter life, and revocations are kept for the longer one.

mod of_issuer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::core::clock::UnixMillis;
use crate::core::issuer::{ByIssuer, overlap};
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::lifetime::{Bounds, Change, Current, Lifetimes};

use of_issuer::{OfIssuer, Ours};

use super::record::{Revocation, Terms};
use super::retention::{Issuer, Retention};

/// The longest time until every replica has read a new record of an engine's log.
pub(super) const SPREAD: Duration = Duration::from_mins(1);

/// What the records of changes have where those of events name their source and cause.
const SOURCE: &str = "portcullis";
const CAUSE: &str = "max_token_lifetime";

/// The histories of the configured issuers. The follower owns them.
#[derive(Debug)]
pub struct Histories {
    issuers: BTreeMap<String, OfIssuer>,
    retention: Retention,
    /// Remember revocations for at least this long.
    floor: Duration,
    /// See [`crate::core::lifetime::History::change_to`].
    spread: Duration,
    /// Changes by issuer that are known here and that the log may lack.
    lacking: BTreeSet<(String, Change)>,
    /// All changes that were ever learned, also of issuers that are not configured yet.
    seen: BTreeSet<(String, Change)>,
    /// The terms in force.
    terms: HashMap<String, Terms>,
    /// By how much the terms of issuers were raised since [`Histories::take_raised`].
    raised: HashMap<String, Duration>,
}

/// What [`Histories::configure`] changed.
#[derive(Debug)]
pub struct Before {
    changed: Vec<Issuer>,
    added: Vec<String>,
}

impl Histories {
    /// Puts terms in force that hold until the log tells more. `spread` is how long it takes until
    /// every replica has learned of a change.
    ///
    /// # Errors
    /// When the history that version 0.1 kept cannot be read. Without it a revoked token could pass.
    pub fn new(
        issuers: &[Issuer],
        keep: &dyn KeyValueStore,
        retention: Retention,
        floor: Duration,
        spread: Duration,
    ) -> Result<Self, String> {
        let mut histories = Self {
            issuers: BTreeMap::new(),
            retention,
            floor,
            spread,
            lacking: BTreeSet::new(),
            seen: BTreeSet::new(),
            terms: HashMap::new(),
            raised: HashMap::new(),
        };
        let issuers = issuers.iter();
        let issuers = issuers.map(|issuer| (issuer.clone(), provisional(issuer)));
        histories.configure(issuers.collect(), keep)?;
        Ok(histories)
    }

    /// Takes up the issuers of a changed configuration, each with what `verify` will hold its tokens against.
    /// From then on the terms of both configurations hold, until [`Histories::restore`]. Issuers that
    /// the changed one lacks keep their terms.
    ///
    /// # Errors
    /// When the history that version 0.1 kept cannot be read; nothing is changed.
    pub fn configure(
        &mut self,
        issuers: Vec<(Issuer, Current)>,
        keep: &dyn KeyValueStore,
    ) -> Result<Before, String> {
        let is_new = |(issuer, _): &&(Issuer, _)| !self.issuers.contains_key(&issuer.issuer);
        let mut lacking = Vec::new();
        for (Issuer { issuer, .. }, _) in issuers.iter().filter(is_new) {
            let kept = kept(keep, issuer)?.into_iter();
            lacking.extend(kept.map(|change| (issuer.clone(), change)));
        }
        self.lacking.extend(lacking);
        let (mut changed, mut added) = (Vec::new(), Vec::new());
        for (issuer, current) in issuers {
            let name = issuer.issuer.clone();
            match self.issuers.get_mut(&name) {
                Some(of) if of.configured == issuer => {}
                Some(of) => {
                    changed.push(std::mem::replace(&mut of.configured, issuer));
                    of.ours = Ours::Unknown;
                }
                None => {
                    let of = OfIssuer::new(issuer, current, &self.seen);
                    self.issuers.insert(name.clone(), of);
                    added.push(name);
                }
            }
        }
        self.set_terms();
        Ok(Before { changed, added })
    }

    /// Goes back to what was configured before. What the log has by now stays in force.
    pub fn restore(&mut self, before: Before) {
        for name in before.added {
            self.issuers.remove(&name);
            self.lacking.retain(|(issuer, _)| *issuer != name);
        }
        for issuer in before.changed {
            if let Some(of) = self.issuers.get_mut(&issuer.issuer) {
                of.configured = issuer;
                of.ours = Ours::Written;
            }
        }
        self.set_terms();
    }

    /// Returns by how much longer than before the revocations of issuers must be remembered, and empties
    /// the list; `None` if that is nothing.
    pub fn take_raised(&mut self) -> Option<ByIssuer<Duration>> {
        (!self.raised.is_empty()).then(|| self.raised.drain().collect())
    }

    /// Returns, by issuer, what `verify` holds tokens against.
    #[must_use]
    pub fn current(&self) -> HashMap<String, Current> {
        let issuers = self.issuers.iter();
        let current = issuers.map(|(issuer, of)| (issuer.clone(), of.current.clone()));
        current.collect()
    }

    /// Takes in a record of the log, if it is a change of bounds.
    pub fn learn(&mut self, record: &Revocation) {
        let Some(bounds) = record.bounds else { return };
        let at = record.occurred_at;
        let known = (record.target.issuer.clone(), Change { at, bounds });
        self.lacking.remove(&known);
        let (issuer, change) = known;
        if self.add(&issuer, change) {
            self.set_terms();
        }
        if let Some(of) = self.issuers.get_mut(&issuer)
            && of.ours == Ours::Asked
            && of.is_latest()
        {
            of.ours = Ours::Written;
        }
    }

    /// Returns whether the change is news.
    fn add(&mut self, issuer: &str, change: Change) -> bool {
        let mut is_news = false;
        self.seen.insert((issuer.to_owned(), change));
        // A tenant may have been configured by itself before its provider was, or the reverse. Its
        // tokens and revocations of that time are judged by both.
        let all = self.issuers.iter_mut();
        for (name, of) in all.filter(|(name, _)| overlap(name, issuer)) {
            if name == issuer {
                of.own.add(change);
            }
            if of.history.add(change)
                && let Some(lifetimes) = of.history.lifetimes()
            {
                of.current.store(lifetimes);
                is_news = true;
            }
        }
        is_news
    }

    /// Returns the changes that the log lacks: nothing once it has our configuration. To be called when
    /// the log was read to its end, for each attempt to append: a raise is dated anew, so that the
    /// other replicas have the whole `spread` to learn of it.
    ///
    /// `now` must not be before the horizon: older tokens may have lost their revocations.
    pub fn unwritten(&mut self, now: UnixMillis) -> Vec<Arc<Revocation>> {
        let mut unwritten = self.lacking.clone();
        for (issuer, change) in self.own_changes(now) {
            let of = self.issuers.get_mut(&issuer).expect("it is configured");
            of.ours = change.map_or(Ours::Written, |_| Ours::Asked);
            unwritten.extend(change.map(|change| (issuer, change)));
        }
        let records = unwritten.iter();
        records
            .map(|(issuer, change)| record(issuer, *change))
            .collect()
    }

    /// Returns whether the log has everything that [`Histories::unwritten`] returned.
    #[must_use]
    pub fn is_written(&self) -> bool {
        let mut issuers = self.issuers.values();
        self.lacking.is_empty() && issuers.all(|of| of.ours == Ours::Written)
    }

    /// Returns, for each issuer whose configuration was not written yet, the change that writes it;
    /// `None` if the log has it.
    fn own_changes(&self, now: UnixMillis) -> Vec<(String, Option<Change>)> {
        let issuers = self.issuers.iter();
        let open = issuers.filter(|(_, of)| of.ours != Ours::Written);
        let changes = open.map(|(issuer, of)| {
            let (mut history, mut own) = (of.history.clone(), of.own.clone());
            for (_, change) in self.lacking.iter().filter(|(lacks, _)| lacks == issuer) {
                history.add(*change);
                own.add(*change);
            }
            let change = history.change_to(of.bounds(), now, self.spread);
            // What is in force under another name only is written again under this one: others may
            // share this name but not that one.
            let change = change.or_else(|| own.change_to(of.bounds(), now, self.spread));
            (issuer.clone(), change)
        });
        changes.collect()
    }

    /// Notes that the log begins anew and may lack everything that is known here.
    pub fn write_again(&mut self) {
        self.lacking.extend(self.seen.iter().cloned());
        for (issuer, of) in &self.issuers {
            let known = of.history.iter().map(|change| (issuer.clone(), *change));
            self.lacking.extend(known);
        }
    }

    /// Judges by our own changes before the log has them, because it cannot be reached. A raise waits:
    /// until the other replicas know of it, they keep revocations for the shorter life. See
    /// [`Histories::unwritten`] for `now`.
    pub fn assume_ours(&mut self, now: UnixMillis) {
        let own = self.own_changes(now).into_iter();
        let own = own.filter_map(|(issuer, change)| Some((issuer, change?)));
        let own: Vec<_> = own
            .filter(|(issuer, change)| !self.is_raise(issuer, change.bounds))
            .collect();
        self.lacking.extend(own);
        for (issuer, change) in self.lacking.clone() {
            self.add(&issuer, change);
        }
        self.set_terms();
    }

    /// Returns whether it lets tokens live longer than the log's latest bounds.
    fn is_raise(&self, issuer: &str, bounds: Bounds) -> bool {
        let of = self.issuers.get(issuer);
        let latest = of.and_then(|of| of.history.latest());
        latest.is_some_and(|latest| {
            bounds.longest_life > latest.longest_life || bounds.leeway > latest.leeway
        })
    }

    /// Warns of each issuer for which another replica has another configuration.
    pub fn warn_of_differences(&self) {
        for (issuer, of) in &self.issuers {
            let latest = of.history.latest();
            if latest.is_some_and(|latest| latest != of.bounds()) {
                tracing::warn!(
                    issuer,
                    "another replica has another max_token_lifetime or leeway for this issuer: tokens \
                     are held to the shorter life and revocations kept for the longer one; give all \
                     replicas the same configuration"
                );
            }
        }
    }

    fn set_terms(&mut self) {
        let terms = self.issuers.iter();
        let terms = terms.map(|(issuer, of)| (issuer.clone(), of.terms()));
        let terms: HashMap<_, _> = terms.collect();
        for (issuer, terms) in &terms {
            let before = self.terms.get(issuer).map_or(Duration::ZERO, Terms::reach);
            let raised = terms.reach().saturating_sub(before);
            if !raised.is_zero() {
                *self.raised.entry(issuer.clone()).or_default() += raised;
            }
        }
        self.retention.set(terms.clone(), self.floor);
        self.terms = terms;
    }
}

/// Returns what holds for the tokens of an issuer until the log tells more.
#[must_use]
pub fn provisional(issuer: &Issuer) -> Current {
    Current::new(Lifetimes::new(issuer.longest_life()))
}

/// A lift of a cause that nothing else has: see [`Revocation::bounds`].
pub(super) fn record(issuer: &str, change: Change) -> Arc<Revocation> {
    let Change { at, bounds } = change;
    let id = format!("bounds-{}-{}-{}", at.0, bounds.longest_life, bounds.leeway);
    Arc::new(Revocation {
        forget_after: UnixMillis::MAX,
        bounds: Some(bounds),
        ..Revocation::without_effect(id, issuer, SOURCE, CAUSE, at)
    })
}

fn kept(keep: &dyn KeyValueStore, issuer: &str) -> Result<Vec<Change>, String> {
    let bytes = keep.load(Kind::Lifetimes, issuer).map_err(|error| {
        format!("the lifetimes of {issuer} cannot be read: {error}; see docs/recovery.md")
    })?;
    let Some(bytes) = bytes else {
        return Ok(Vec::new());
    };
    Ok(Lifetimes::of_version_0_1(&bytes)?.changes())
}
