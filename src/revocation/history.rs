//! The history of every issuer's bounds, as the log tells it.
//!
//! Each replica whose configuration says something new writes that to the log before it judges any
//! token, and judges by everything that the log says. So a replica that begins with an empty
//! directory decides as the others do, and replicas with different configurations keep to the
//! safest: tokens are held to the shorter life, revocations are kept for the longer one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::keep::{Keep, Kind};
use crate::lifetime::{Bounds, Change, Current, History, Lifetimes};

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
    history: History,
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
        keep: &dyn Keep,
        retention: Retention,
        floor: Duration,
        spread: Duration,
    ) -> Result<Self, String> {
        let of = issuers.iter().map(|issuer| {
            let of_issuer = OfIssuer {
                configured: issuer.clone(),
                history: History::default(),
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
        let Some(of) = self.of.get_mut(issuer) else {
            return false;
        };
        let is_news = of.history.add(change);
        if is_news && let Some(lifetimes) = of.history.lifetimes() {
            of.current.store(lifetimes);
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
            let mut history = of.history.clone();
            for change in &of.kept {
                history.add(*change);
            }
            let change = history.change_to(of.bounds(), now, self.spread);
            ours.extend(change.map(|change| record(issuer, change)));
        }
        self.ours = ours;
    }

    fn date_anew(&mut self, now: UnixMillis) {
        let (late, others) = std::mem::take(&mut self.ours)
            .into_iter()
            .partition::<Vec<_>, _>(|own| own.occurred_at <= now && self.is_raise(own));
        self.ours = others;
        for own in late {
            let issuer = &own.target.issuer;
            let Some(of) = self.of.get(issuer) else {
                continue;
            };
            let mut history = of.history.clone();
            for change in &of.kept {
                history.add(*change);
            }
            let change = history.change_to(of.bounds(), now, self.spread);
            self.ours
                .extend(change.map(|change| record(issuer, change)));
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
        for own in self.unwritten() {
            let Some(bounds) = own.bounds else { continue };
            let is_known = self.lacking.iter().any(|lacking| lacking.id == own.id);
            if is_known || !self.is_raise(&own) {
                let at = own.occurred_at;
                self.add(&own.target.issuer, Change { at, bounds });
            }
        }
        self.set_terms();
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

fn kept(keep: &dyn Keep, issuer: &str) -> Result<Vec<Change>, String> {
    let bytes = keep.load(Kind::Lifetimes, issuer).map_err(|error| {
        format!("the lifetimes of {issuer} cannot be read: {error}; see docs/recovery.md")
    })?;
    let Some(bytes) = bytes else {
        return Ok(Vec::new());
    };
    Ok(Lifetimes::of_version_0_1(&bytes)?.changes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::Memory;

    const ISSUER: &str = "https://id.example.com";
    const HOUR: Duration = Duration::from_hours(1);
    const LEEWAY: Duration = Duration::from_secs(30);

    fn histories(hours: u32, keep: &Memory) -> Histories {
        let issuer = Issuer {
            issuer: ISSUER.to_owned(),
            max_token_lifetime: HOUR * hours,
            leeway: LEEWAY,
        };
        let retention = Retention::default();
        Histories::new(&[issuer], keep, retention, Duration::ZERO, Duration::ZERO).unwrap()
    }

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis::from_seconds(seconds)
    }

    fn learn_all(histories: &mut Histories, log: &[Arc<Revocation>]) {
        for record in log {
            histories.learn(&View::from(&**record));
        }
    }

    /// What it writes to the log at a start.
    fn started(histories: &mut Histories, seconds: u64) -> Vec<Arc<Revocation>> {
        histories.prepare(at(seconds));
        let written = histories.unwritten();
        learn_all(histories, &written);
        assert!(histories.unwritten().is_empty());
        written
    }

    fn of(histories: &Histories) -> Lifetimes {
        let current = histories.current().remove(ISSUER).unwrap();
        Lifetimes::clone(&current.load())
    }

    #[test]
    fn who_reads_the_log_judges_as_those_who_wrote_it() {
        let keep = Memory::default();
        let mut first = histories(1, &keep);
        let mut log = started(&mut first, 10_000);
        let mut raised = histories(3, &keep);
        learn_all(&mut raised, &log);
        log.extend(started(&mut raised, 20_000));
        assert_eq!(log.len(), 2);

        let mut fresh = histories(3, &Memory::default());
        learn_all(&mut fresh, &log);
        assert!(started(&mut fresh, 30_000).is_empty());
        assert_eq!(of(&fresh), of(&raised));
        assert_eq!(of(&fresh).of_token(20_000), HOUR + LEEWAY);
        assert_eq!(of(&fresh).of_token(20_001), HOUR * 3 + LEEWAY);

        // One that still has the lower bound keeps revocations for the higher one.
        let mut behind = histories(1, &Memory::default());
        learn_all(&mut behind, &log);
        assert_eq!(
            behind.retention.terms(ISSUER).unwrap().longest_life,
            HOUR * 3 + LEEWAY
        );
    }

    #[test]
    fn a_raise_that_could_not_be_written_in_time_is_dated_anew() {
        let mut first = histories(1, &Memory::default());
        let log = started(&mut first, 10_000);
        let mut raised = histories(3, &Memory::default());
        learn_all(&mut raised, &log);
        raised.prepare(at(20_000));
        assert_eq!(raised.unwritten()[0].occurred_at, at(20_000));
        raised.assume_ours();
        assert_eq!(
            of(&raised).of_token(30_000),
            HOUR + LEEWAY,
            "not before the others know"
        );
        raised.prepare(at(40_000));
        let late = raised.unwritten();
        assert_eq!(late.len(), 1);
        learn_all(&mut raised, &late);
        assert_eq!(of(&raised).of_token(40_000), HOUR + LEEWAY);
        assert_eq!(of(&raised).of_token(40_001), HOUR * 3 + LEEWAY);
        raised.prepare(at(50_000));
        assert!(raised.unwritten().is_empty());
    }

    #[test]
    fn a_lowering_that_is_judged_by_already_is_written_all_the_same() {
        let mut first = histories(3, &Memory::default());
        let log = started(&mut first, 10_000);
        for log in [log, Vec::new()] {
            let mut lowered = histories(1, &Memory::default());
            learn_all(&mut lowered, &log);
            lowered.prepare(at(20_000));
            lowered.assume_ours();
            lowered.prepare(at(40_000));
            assert_eq!(lowered.unwritten().len(), 1);
            assert_eq!(lowered.unwritten()[0].occurred_at, at(20_000));
        }
    }

    #[test]
    fn a_log_that_begins_anew_does_not_make_us_forget_our_own_change() {
        let mut unheard = histories(2, &Memory::default());
        unheard.prepare(at(10_000));
        assert_eq!(unheard.unwritten().len(), 1);
        unheard.write_again();
        assert_eq!(unheard.unwritten().len(), 1);
    }

    #[test]
    fn a_log_that_begins_anew_is_told_what_it_lacks() {
        let mut known = histories(1, &Memory::default());
        let log = started(&mut known, 10_000);
        known.write_again();
        assert_eq!(known.unwritten(), log);
        known.learn(&View::from(&*log[0]));
        assert!(known.unwritten().is_empty());
    }

    #[test]
    fn what_an_earlier_version_kept_is_written_and_an_unreadable_history_is_an_error() {
        let keep = Memory::default();
        let kept = br#"{"bounds":[{"since":0,"lifetime":3600},{"since":50000,"lifetime":7200}],
            "cuts":[],"leeway":30000,"dead_before":0}"#;
        keep.save(Kind::Lifetimes, ISSUER, kept).unwrap();
        let mut later = histories(2, &keep);
        // The leeway did not count for a life then, so that it does now is one more raise.
        assert_eq!(started(&mut later, 90_000).len(), 3);
        assert_eq!(of(&later).of_token(90_001), HOUR * 2 + LEEWAY);
        assert_eq!(of(&later).of_token(50_000), HOUR);
        assert_eq!(of(&later).of_token(50_001), HOUR * 2);

        keep.save(Kind::Lifetimes, ISSUER, b"{").unwrap();
        let retention = Retention::default();
        let issuer = later.of[ISSUER].configured.clone();
        let unreadable =
            Histories::new(&[issuer], &keep, retention, Duration::ZERO, Duration::ZERO);
        assert!(unreadable.is_err());
    }
}
