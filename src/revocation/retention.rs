//! How long revocations are remembered: the terms of every issuer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::core::clock::UnixMillis;
use crate::core::issuer::ByIssuer;

use super::record::{Revocation, Terms};

/// What retention depends on in an issuer's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The token's `iss`, or a pattern of them.
    pub issuer: String,
    pub max_token_lifetime: Duration,
    pub leeway: Duration,
}

impl Issuer {
    /// Returns the longest accepted `exp − iat`. Issuers round, so the leeway counts for this difference
    /// as for each of the times.
    #[must_use]
    pub fn longest_life(&self) -> Duration {
        self.max_token_lifetime.saturating_add(self.leeway)
    }
}

/// Shared by everything that forgets. Nothing is forgotten before [`Retention::set`].
#[derive(Clone, Debug, Default)]
pub struct Retention(Arc<ArcSwapOption<Rules>>);

#[derive(Debug)]
struct Rules {
    terms: ByIssuer<Terms>,
    /// Remember for at least this long after the receipt.
    floor: Duration,
}

impl Retention {
    /// Puts the terms of every configured issuer in force. `floor` can only lengthen them.
    pub fn set(&self, terms: HashMap<String, Terms>, floor: Duration) {
        let terms = terms.into_iter().collect();
        self.0.store(Some(Arc::new(Rules { terms, floor })));
    }

    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load().is_some()
    }

    /// Returns the terms of an issuer; `None` if it is not configured.
    #[must_use]
    pub fn terms(&self, issuer: &str) -> Option<Terms> {
        let rules = self.0.load();
        rules.as_ref()?.terms.get(issuer).copied()
    }

    /// Returns when `record` may be forgotten: when the terms at its receipt, the terms of today and the
    /// floor all allow it. An issuer that is not configured has no terms of today.
    #[must_use]
    pub fn forget_after(&self, record: &Revocation) -> UnixMillis {
        let rules = self.0.load();
        let rules = rules.as_ref();
        rules.map_or(UnixMillis::MAX, |rules| rules.forget_after(record))
    }
}

impl Rules {
    fn forget_after(&self, record: &Revocation) -> UnixMillis {
        let terms = self.terms.get(&record.target.issuer);
        let today = terms.map_or(record.forget_after, |terms| terms.forget_after(record));
        let floor = record.received_at.plus(self.floor);
        record.forget_after.max(today).max(floor)
    }
}
