//! The history of every issuer's bounds, as the log tells it.
//!
//! Each replica whose configuration says something new writes that to the log before it judges any
//! token, and judges by everything that the log says. So a replica that begins with an empty
//! directory decides as the others do, and replicas with different configurations keep to the
//! safest: tokens are held to the shorter life, revocations are kept for the longer one.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::core::clock::UnixMillis;
use crate::core::issuer::overlap;
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::lifetime::{Bounds, Change, Current, History, Lifetimes};

use super::record::{Action, Revocation, Target, Terms, View};
use super::retention::{Issuer, Retention};

/// What the records say where those of events name their source and cause.
const SOURCE: &str = "portcullis";
const CAUSE: &str = "max_token_lifetime";

/// The histories of the configured issuers. The follower owns it.
#[derive(Debug)]
pub struct Histories {
    of: BTreeMap<String, OfIssuer>,
    retention: Retention,
    /// Remember revocations for at least this long.
    floor: Duration,
    /// See [`History::change_to`].
    spread: Duration,
    /// What is known here and the log may lack.
    lacking: Vec<Arc<Revocation>>,
    /// What our configuration changes, as long as the log does not have it.
    ours: Vec<Arc<Revocation>>,
    is_prepared: bool,
}

#[derive(Debug)]
struct OfIssuer {
    configured: Issuer,
    /// What the log says of any issuer that this name stands for.
    history: History,
    /// What it says of this very name.
    own: History,
    current: Current,
    /// From version 0.1, which kept it in each replica's directory.
    kept: Vec<Change>,
}

impl Histories {
    /// Puts terms in force that hold until the log tells more. `spread` is how long it takes until
    /// every replica has learned of a change.
    ///
    /// # Errors
    /// When what an earlier version kept cannot be read. Going on without it could let a revoked
    /// token in.
    pub fn new(
        issuers: &[Issuer],
        keep: &dyn KeyValueStore,
        retention: Retention,
        floor: Duration,
        spread: Duration,
    ) -> Result<Self, String> {
        let of = issuers.iter().map(|issuer| {
            let of_issuer = OfIssuer {
                configured: issuer.clone(),
                history: History::default(),
                own: History::default(),
                current: Current::new(Lifetimes::new(issuer.longest_life())),
                kept: kept(keep, &issuer.issuer)?,
            };
            Ok((issuer.issuer.clone(), of_issuer))
        });
        let histories = Self {
            of: of.collect::<Result<_, String>>()?,
            retention,
            floor,
            spread,
            lacking: Vec::new(),
            ours: Vec::new(),
            is_prepared: false,
        };
        histories.set_terms();
        Ok(histories)
    }

    /// By issuer: what `verify` must hold tokens against.
    #[must_use]
    pub fn current(&self) -> HashMap<String, Current> {
        let of = self.of.iter();
        of.map(|(issuer, of)| (issuer.clone(), of.current.clone()))
            .collect()
    }

    /// Takes in what a record of the log says about bounds, if it does.
    pub fn learn(&mut self, record: &View<'_>) {
        let Some(bounds) = record.bounds else { return };
        for unwritten in [&mut self.lacking, &mut self.ours] {
            unwritten.retain(|own| own.id != record.id || own.target.issuer != record.issuer);
        }
        let change = Change {
            at: record.occurred_at,
            bounds,
        };
        if self.add(record.issuer, change) {
            self.set_terms();
        }
    }

    fn add(&mut self, issuer: &str, change: Change) -> bool {
        let mut is_news = false;
        // A tenant may have been configured by itself before its provider was, or the reverse. Its
        // tokens and revocations of that time are judged by both.
        let all = self.of.iter_mut();
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

    /// Compares what the log says with our configuration. Later calls only date anew what could not
    /// be written in time: replicas that do not know of a raise forget revocations by the shorter
    /// life. `now` must not lie before the horizon: tokens that were issued before it may have lost
    /// their revocations.
    pub fn prepare(&mut self, now: UnixMillis) {
        if self.is_prepared {
            return self.date_anew(now);
        }
        self.is_prepared = true;
        let mut ours = Vec::new();
        for (issuer, of) in &self.of {
            let missing = of.kept.iter().filter(|change| !of.history.contains(change));
            let missing = missing.map(|change| record(issuer, *change));
            self.lacking.extend(missing);
            ours.extend(of.own_change(now, self.spread));
        }
        self.ours = ours;
    }

    fn date_anew(&mut self, now: UnixMillis) {
        let (late, others) = std::mem::take(&mut self.ours)
            .into_iter()
            .partition::<Vec<_>, _>(|own| own.occurred_at <= now && self.is_raise(own));
        self.ours = others;
        for own in late {
            let of = self.of.get(&own.target.issuer);
            let change = of.and_then(|of| of.own_change(now, self.spread));
            self.ours.extend(change);
        }
    }

    /// Whether it lets tokens live longer than what the log says.
    fn is_raise(&self, own: &Revocation) -> bool {
        let of = self.of.get(&own.target.issuer);
        let latest = of.and_then(|of| of.history.latest());
        let (Some(bounds), Some(latest)) = (own.bounds, latest) else {
            return false;
        };
        bounds.longest_life > latest.longest_life || bounds.leeway > latest.leeway
    }

    /// Returns what the log has to be told; nothing once it has it.
    #[must_use]
    pub fn unwritten(&self) -> Vec<Arc<Revocation>> {
        self.lacking.iter().chain(&self.ours).cloned().collect()
    }

    /// The log begins anew and may lack what is known here: all of it is written again, but for what
    /// turns out to be there.
    pub fn write_again(&mut self) {
        let of = self.of.iter();
        let known =
            of.flat_map(|(issuer, of)| of.history.iter().map(|change| record(issuer, *change)));
        let known: Vec<_> = known.collect();
        self.lacking.retain(|own| {
            known
                .iter()
                .all(|one| one.id != own.id || one.target != own.target)
        });
        self.lacking.extend(known);
    }

    /// Judges by our own changes although the log does not have them: it cannot be reached. A raise
    /// waits until it is written, since the others forget revocations by the shorter life until then.
    pub fn assume_ours(&mut self) {
        for known in self.lacking.clone() {
            self.assume(&known);
        }
        for own in self.ours.clone() {
            if !self.is_raise(&own) {
                self.assume(&own);
            }
        }
        self.set_terms();
    }

    fn assume(&mut self, own: &Revocation) {
        if let Some(bounds) = own.bounds {
            let at = own.occurred_at;
            self.add(&own.target.issuer, Change { at, bounds });
        }
    }

    /// Says for which issuers another replica has another configuration.
    pub fn warn_of_differences(&self) {
        for (issuer, of) in &self.of {
            if of
                .history
                .latest()
                .is_some_and(|latest| latest != of.bounds())
            {
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
        let terms = self.of.iter();
        let terms = terms.map(|(issuer, of)| (issuer.clone(), of.terms()));
        self.retention.set(terms.collect(), self.floor);
    }
}

impl OfIssuer {
    fn bounds(&self) -> Bounds {
        Bounds::new(self.configured.longest_life(), self.configured.leeway)
    }

    /// Returns what the log has to be told to bring our configuration into force, if anything.
    fn own_change(&self, now: UnixMillis, spread: Duration) -> Option<Arc<Revocation>> {
        let (mut history, mut own) = (self.history.clone(), self.own.clone());
        for change in &self.kept {
            history.add(*change);
            own.add(*change);
        }
        // What is in force already is said again under this name if it was only said under another:
        // whoever shares this name but not the other has to learn of it.
        let again = || own.change_to(self.bounds(), now, spread);
        let change = history
            .change_to(self.bounds(), now, spread)
            .or_else(again)?;
        Some(record(&self.configured.issuer, change))
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
