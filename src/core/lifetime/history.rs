//! The changes of an issuer's bounds, from which its lifetimes follow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use serde::{Deserialize, Serialize};

use crate::core::clock::UnixMillis;

use super::{CLOCKS_DIFFER, Lifetimes};

/// What the configuration says about the lives of an issuer's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// `max_token_lifetime` plus `leeway`, in seconds.
    pub longest_life: u64,
    /// Milliseconds.
    pub leeway: u64,
}

impl Bounds {
    /// Cuts the life to whole seconds.
    #[must_use]
    pub fn new(longest_life: Duration, leeway: Duration) -> Self {
        Self {
            longest_life: longest_life.as_secs(),
            leeway: u64::try_from(leeway.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A replica started with a new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub at: UnixMillis,
    pub bounds: Bounds,
}

/// All changes that replicas made to an issuer's bounds. The lifetimes follow from the set of changes, so
/// replicas agree in whatever order they read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(BTreeSet<Change>);

impl History {
    /// Adds a change. Returns whether it is news.
    pub fn add(&mut self, change: Change) -> bool {
        self.0.insert(change)
    }

    /// Returns the changes, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }

    /// Returns the bounds that came into force last.
    #[must_use]
    pub fn latest(&self) -> Option<Bounds> {
        self.0.last().map(|change| change.bounds)
    }

    /// Returns the change that brings `bounds` into force; `None` if they are. A raise begins `spread` after
    /// `now`: until all replicas know of it, they may keep revocations for the shorter life only.
    #[must_use]
    pub fn change_to(&self, bounds: Bounds, now: UnixMillis, spread: Duration) -> Option<Change> {
        let Some(latest) = self.0.last() else {
            return Some(Change { at: now, bounds });
        };
        let is_raise = latest.bounds.longest_life < bounds.longest_life;
        let begins = if is_raise { now.plus(spread) } else { now };
        let at = begins.max(latest.at.plus(Duration::from_millis(1)));
        (latest.bounds != bounds).then_some(Change { at, bounds })
    }

    /// Returns the lifetimes that follow from the changes; `None` without any.
    #[must_use]
    pub fn lifetimes(&self) -> Option<Lifetimes> {
        let first = self.0.first()?;
        let seconds = |bounds: Bounds| Duration::from_secs(bounds.longest_life);
        let mut lifetimes = Lifetimes::new(seconds(first.bounds));
        for Change { at, bounds } in &self.0 {
            lifetimes.adopt(seconds(*bounds), *at);
            lifetimes.adopt_leeway(Duration::from_millis(bounds.leeway), *at);
        }
        Some(lifetimes)
    }
}

impl Lifetimes {
    /// Returns changes that lead to these bounds.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let leeway = self.leeway.unwrap_or(0);
        let change = |seconds: u64, longest_life| Change {
            at: UnixMillis::from_seconds(seconds),
            bounds: Bounds {
                longest_life,
                leeway,
            },
        };
        let bounds = self.bounds.iter();
        let bounds = bounds.map(|bound| change(bound.since, bound.lifetime));
        let mut changes: Vec<_> = bounds.collect();
        for cut in &self.cuts {
            let at = cut.until.saturating_sub(cut.lifetime + CLOCKS_DIFFER);
            let lowered = self.of_token(at);
            changes.push(change(at.saturating_sub(1), cut.lifetime));
            changes.push(change(at, lowered.as_secs()));
        }
        if self.dead_before > 0 {
            // A leeway of zero was raised then.
            let mut before = change(self.dead_before, self.of_token(self.dead_before).as_secs());
            changes.push(before);
            before.at.0 -= 1;
            before.bounds.leeway = 0;
            changes.push(before);
        }
        changes
    }
}

/// The lifetimes of an issuer as of now. Clones share them.
#[derive(Clone, Debug)]
pub struct Current(Arc<ArcSwap<Lifetimes>>);

impl Current {
    #[must_use]
    pub fn new(lifetimes: Lifetimes) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(lifetimes)))
    }

    #[must_use]
    pub fn load(&self) -> Guard<Arc<Lifetimes>> {
        self.0.load()
    }

    pub fn store(&self, lifetimes: Lifetimes) {
        self.0.store(Arc::new(lifetimes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const SPREAD: Duration = Duration::from_mins(1);

    fn bounds(hours: u32) -> Bounds {
        Bounds::new(HOUR * hours, Duration::from_secs(30))
    }

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis::from_seconds(seconds)
    }

    #[test]
    fn replicas_agree_in_whatever_order_they_learn() {
        let changes = [(1, 0), (3, 5000), (2, 6000), (4, 9000)].map(|(hours, seconds)| Change {
            at: at(seconds),
            bounds: bounds(hours),
        });
        let fold = |order: &[Change]| {
            let mut history = History::default();
            for change in order {
                history.add(*change);
            }
            history.lifetimes().unwrap()
        };
        let expected = fold(&changes);
        assert_eq!(expected.of_token(5001), HOUR * 2);
        assert_eq!(expected.of_token(9001), HOUR * 4);
        assert!(expected.may_date_from(6000 + 3 * 3600).is_some());
        let mut order = changes.to_vec();
        for _ in 0..changes.len() {
            order.rotate_left(1);
            let twice = [&order[..], &order[..]].concat();
            assert_eq!(fold(&twice), expected);
        }
        assert_eq!(History::default().lifetimes(), None);
    }

    /// A token whose life only the new leeway admits may have lost its revocation under the old one.
    #[test]
    fn a_raised_leeway_holds_for_later_tokens_only() {
        let of = |leeway| Bounds::new(HOUR + leeway, leeway);
        let (short, long) = (Duration::from_secs(30), Duration::from_mins(10));
        let mut history = History::default();
        history.add(history.change_to(of(short), at(100), SPREAD).unwrap());
        history.add(history.change_to(of(long), at(1000), SPREAD).unwrap());
        let lifetimes = history.lifetimes().unwrap();
        assert_eq!(lifetimes.of_token(1060), HOUR + short);
        assert_eq!(lifetimes.of_token(1061), HOUR + long);
    }

    #[test]
    fn only_a_raise_is_dated_ahead_and_changes_are_in_order() {
        let mut history = History::default();
        let first = history.change_to(bounds(1), at(100), SPREAD).unwrap();
        assert_eq!(first.at, at(100), "there is nothing to raise");
        assert!(history.add(first));
        assert_eq!(history.change_to(bounds(1), at(200), SPREAD), None);
        let raise = history.change_to(bounds(2), at(200), SPREAD).unwrap();
        assert_eq!(raise.at, at(260));
        assert!(history.add(raise));
        // The clock of the next one is behind.
        let cut = history.change_to(bounds(1), at(150), SPREAD).unwrap();
        assert_eq!(cut.at, UnixMillis(260_001));
        assert!(history.add(cut));
        assert_eq!(history.latest(), Some(bounds(1)));
    }
}
