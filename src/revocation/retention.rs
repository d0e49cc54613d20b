//! How long revocations are remembered: the terms of every issuer, and the history behind them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::clock::UnixMillis;
use crate::keep::{Keep, Kind};
use crate::lifetime::Lifetimes;

use super::record::{Revocation, Terms, View};

/// What retention depends on, as one issuer's configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The token's `iss`.
    pub issuer: String,
    pub max_token_lifetime: Duration,
    pub leeway: Duration,
}

/// Shared by everything that forgets. Until [`Retention::set`] was called nothing is forgotten.
#[derive(Clone, Debug, Default)]
pub struct Retention(Arc<ArcSwapOption<Rules>>);

#[derive(Debug)]
struct Rules {
    /// By issuer. There are few: to compare is cheaper than to hash.
    terms: BTreeMap<String, Terms>,
    /// Remember for at least this long after the receipt.
    floor: Duration,
}

impl Retention {
    /// Puts the terms of every configured issuer in force. `floor` lengthens what they ask for.
    pub fn set(&self, terms: HashMap<String, Terms>, floor: Duration) {
        let terms = terms.into_iter().collect();
        self.0.store(Some(Arc::new(Rules { terms, floor })));
    }

    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load().is_some()
    }

    /// The terms of an issuer; `None` when it is not configured.
    #[must_use]
    pub fn terms(&self, issuer: &str) -> Option<Terms> {
        let rules = self.0.load();
        rules.as_ref()?.terms.get(issuer).copied()
    }

    /// When `record` may be forgotten: never before the terms at its receipt, those of today, and
    /// the floor allow it. Of an issuer that is not configured only the first and the last are
    /// known.
    #[must_use]
    pub fn forget_after(&self, record: &Revocation) -> UnixMillis {
        self.judge()(&record.into())
    }

    /// [`Retention::forget_after`] for many records, by the rules of this moment.
    pub(super) fn judge(&self) -> impl Fn(&View<'_>) -> UnixMillis + use<> {
        let rules = self.0.load();
        move |record| match rules.as_deref() {
            Some(rules) => rules.forget_after(record),
            None => UnixMillis::MAX,
        }
    }
}

impl Rules {
    fn forget_after(&self, record: &View<'_>) -> UnixMillis {
        let terms = self.terms.get(record.issuer);
        let today = terms.map_or(record.forget_after, |terms| terms.forget_view_after(record));
        let floor = record.received_at.plus(self.floor);
        record.forget_after.max(today).max(floor)
    }
}

/// Loads the history of an issuer's bounds, takes the configured values over, and saves the history before anything is judged by it. Blocks on the disk. `now` must not lie before
/// the horizon: tokens that were issued before it may have lost their revocations.
///
/// # Errors
/// When the history cannot be read or saved. Going on without it could let a revoked token in.
pub fn adopt_lifetimes(
    keep: &dyn Keep,
    issuer: &Issuer,
    now: UnixMillis,
) -> Result<Lifetimes, String> {
    let name = &*issuer.issuer;
    let kept = keep.load(Kind::Lifetimes, name).map_err(|error| {
        format!("the lifetimes of {name} cannot be read: {error}; see docs/recovery.md")
    })?;
    let (mut lifetimes, mut changed) = match kept {
        None => (Lifetimes::new(issuer.max_token_lifetime), true),
        Some(bytes) => {
            let mut lifetimes = Lifetimes::from_bytes(&bytes)?;
            let changed = lifetimes.adopt(issuer.max_token_lifetime, now);
            (lifetimes, changed)
        }
    };
    changed |= lifetimes.adopt_leeway(issuer.leeway, now);
    if changed {
        keep.save(Kind::Lifetimes, name, &lifetimes.to_bytes())
            .map_err(|error| format!("the lifetimes of {name} cannot be saved: {error}"))?;
    }
    Ok(lifetimes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::Memory;

    const ISSUER: &str = "https://id.example.com";
    const HOUR: Duration = Duration::from_hours(1);

    fn issuer(max_token_lifetime: Duration) -> Issuer {
        Issuer {
            issuer: ISSUER.to_owned(),
            max_token_lifetime,
            leeway: Duration::from_secs(30),
        }
    }

    #[test]
    fn a_raise_is_remembered_across_restarts() {
        let keep = Memory::default();
        let at = UnixMillis::from_seconds;
        adopt_lifetimes(&keep, &issuer(HOUR), at(10)).unwrap();
        adopt_lifetimes(&keep, &issuer(HOUR * 2), at(1000)).unwrap();
        let later = adopt_lifetimes(&keep, &issuer(HOUR * 2), at(9000)).unwrap();
        assert_eq!(later.of_token(1000), HOUR);
        assert_eq!(later.of_token(1001), HOUR * 2);
    }

    #[test]
    fn an_unreadable_history_is_an_error() {
        let keep = Memory::default();
        keep.save(Kind::Lifetimes, ISSUER, b"{").unwrap();
        assert!(adopt_lifetimes(&keep, &issuer(HOUR), UnixMillis(0)).is_err());
    }
}
