//! The history of one issuer.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::core::issuer::overlap;
use crate::core::lifetime::{Bounds, Change, Current, History};
use crate::revocation::record::Terms;
use crate::revocation::retention::Issuer;

#[derive(Debug)]
pub(super) struct OfIssuer {
    pub(super) configured: Issuer,
    /// The changes of every issuer that this name stands for.
    pub(super) history: History,
    /// The changes under this very name.
    pub(super) own: History,
    pub(super) current: Current,
    pub(super) ours: Ours,
}

/// How far the log has our configuration. Once it has, the change of another replica is not undone: two
/// configurations would be written in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    /// The log was not read to its end yet.
    Unknown,
    /// The log lacked it, and was asked to append it.
    Asked,
    /// The log has or had it.
    Written,
}

impl OfIssuer {
    /// Begins with the changes that were learned before it was configured.
    pub(super) fn new(
        configured: Issuer,
        current: Current,
        seen: &BTreeSet<(String, Change)>,
    ) -> Self {
        let name = &configured.issuer;
        let (mut history, mut own) = (History::default(), History::default());
        for (issuer, change) in seen.iter().filter(|(issuer, _)| overlap(name, issuer)) {
            history.add(*change);
            if issuer == name {
                own.add(*change);
            }
        }
        if let Some(lifetimes) = history.lifetimes() {
            current.store(lifetimes);
        }
        Self {
            configured,
            history,
            own,
            current,
            ours: Ours::Unknown,
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds::new(self.configured.longest_life(), self.configured.leeway)
    }

    /// Returns whether our configuration is the latest change.
    pub(super) fn is_latest(&self) -> bool {
        let ours = Some(self.bounds());
        self.history.latest() == ours && self.own.latest() == ours
    }

    pub(super) fn terms(&self) -> Terms {
        let lifetimes = self.current.load();
        let leeway = self.history.latest().map_or(0, |latest| latest.leeway);
        Terms {
            longest_life: lifetimes.longest().max(self.configured.longest_life()),
            leeway: self.configured.leeway.max(Duration::from_millis(leeway)),
            not_before: lifetimes.remember_until(),
        }
    }
}
