//! The history of every issuer's `max_token_lifetime` and `leeway`, as the log has it.
//!
//! A replica whose configuration differs from the log's latest writes a change to the log before it
//! judges any token, and judges by all changes that the log has. So a replica with an empty directory
//! decides as the others do. Replicas with different configurations use the safest: tokens are held to
//! the shorter life, and revocations are kept for the longer one.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::core::clock::UnixMillis;
use crate::core::issuer::overlap;
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::lifetime::{Bounds, Change, Current, History, Lifetimes};

use super::record::{Action, Revocation, Target, Terms};
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
    /// See [`History::change_to`].
    spread: Duration,
    /// Changes by issuer that are known here and that the log may lack.
    lacking: BTreeSet<(String, Change)>,
}

#[derive(Debug)]
struct OfIssuer {
    configured: Issuer,
    /// The changes of every issuer that this name stands for.
    history: History,
    /// The changes under this very name.
    own: History,
    current: Current,
    ours: Ours,
}

/// How far the log has our configuration. Once it has, the change of another replica is not undone: two
/// configurations would be written in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    /// The log was not read to its end yet.
    Unknown,
    /// The log lacked it, and was asked to append it.
    Asked,
    /// The log has or had it.
    Written,
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
        };
        for issuer in issuers {
            let name = &issuer.issuer;
            let kept = kept(keep, name)?.into_iter();
            let kept = kept.map(|change| (name.clone(), change));
            histories.lacking.extend(kept);
            let of = OfIssuer {
                configured: issuer.clone(),
                history: History::default(),
                own: History::default(),
                current: Current::new(Lifetimes::new(issuer.longest_life())),
                ours: Ours::Unknown,
            };
            histories.issuers.insert(name.clone(), of);
        }
        histories.set_terms();
        Ok(histories)
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

    fn set_terms(&self) {
        let terms = self.issuers.iter();
        let terms = terms.map(|(issuer, of)| (issuer.clone(), of.terms()));
        self.retention.set(terms.collect(), self.floor);
    }
}

impl OfIssuer {
    fn bounds(&self) -> Bounds {
        Bounds::new(self.configured.longest_life(), self.configured.leeway)
    }

    /// Returns whether our configuration is the latest change.
    fn is_latest(&self) -> bool {
        let ours = Some(self.bounds());
        self.history.latest() == ours && self.own.latest() == ours
    }

    fn terms(&self) -> Terms {
        let lifetimes = self.current.load();
        let leeway = self.history.latest().map_or(0, |latest| latest.leeway);
        Terms {
            longest_life: lifetimes.longest().max(self.configured.longest_life()),
            leeway: self.configured.leeway.max(Duration::from_millis(leeway)),
            not_before: lifetimes.remember_until(),
        }
    }
}

/// A lift of a cause that nothing else has: see [`Revocation::bounds`].
pub(super) fn record(issuer: &str, change: Change) -> Arc<Revocation> {
    let Change { at, bounds } = change;
    Arc::new(Revocation {
        id: format!("bounds-{}-{}-{}", at.0, bounds.longest_life, bounds.leeway),
        target: Target {
            issuer: issuer.to_owned(),
            matches: BTreeMap::new(),
        },
        action: Action::Lift,
        issued_at_or_before: None,
        expires_at_or_before: None,
        occurred_at: at,
        forget_after: UnixMillis::MAX,
        source: SOURCE.to_owned(),
        cause: CAUSE.to_owned(),
        received_at: at,
        bounds: Some(bounds),
        turn: None,
        note: None,
        original: None,
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
