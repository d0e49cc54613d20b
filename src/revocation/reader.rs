//! The reader: what the request path may ask.

use std::sync::Arc;

use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::verify::claims::Claims;

use super::feed::FeedState;
use super::index::{Index, Match, Matched};
use super::patience::Patience;
use super::{Config, Issuer, Revocation};

/// What the revocations say about a token. [`Standing::Clear`] carries a witness that only this
/// module can make, so nothing can be permitted that was not looked up.
#[derive(Debug)]
pub enum Standing {
    /// Looked up, and nothing matches.
    Clear(Clear),
    Revoked(Match),
    /// The log was not replayed to its end yet.
    NotReady,
    /// The feed is older than the issuer's `max_staleness`, and its `when_stale` is `deny`.
    Stale,
}

/// The proof of a look-up that found nothing.
#[derive(Debug)]
pub struct Clear(());

/// Answers from the index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) index: Arc<Index>,
    pub(super) feed: Arc<FeedState>,
    pub(super) patience: Arc<Patience>,
}

impl Reader {
    /// Looks a token up: a few hash look-ups, and no waiting.
    #[must_use]
    pub fn standing(&self, claims: &Claims) -> Standing {
        if !self.feed.is_replayed() {
            return Standing::NotReady;
        }
        // The age is read first: the record that makes the feed young again may be the very revocation
        // that the index lacks.
        let is_stale = self.patience.is_over(&claims.issuer, || self.feed.age());
        if let Some(found) = self.index.matching(claims) {
            // Also if the feed is stale: a known revocation stands.
            Standing::Revoked(found)
        } else if is_stale {
            Standing::Stale
        } else {
            Standing::Clear(Clear(()))
        }
    }

    /// Returns whether a token is revoked, as far as this replica knows.
    #[must_use]
    pub fn is_revoked(&self, claims: &Claims) -> bool {
        self.index.is_revoked(claims)
    }

    /// Returns what is known about the revocation that refused a token. See [`Index::describe`].
    #[must_use]
    pub fn describe(&self, found: &Match) -> Option<Matched> {
        self.index.describe(found)
    }
}

impl Reader {
    /// Returns a reader of these records alone, for a trial: nothing is kept, and nothing follows.
    ///
    /// # Errors
    /// If the records match on too many sets of claims.
    pub(crate) fn of(
        records: &[Revocation],
        config: &Config,
        issuers: &[Issuer],
        clock: &Clock,
    ) -> Result<Self, String> {
        let index = Index::new(Horizon::default());
        let kept = records.iter().map(|record| (record, record.forget_after));
        index.apply_all(kept).map_err(|error| error.to_string())?;
        let feed = FeedState::new(clock.clone());
        feed.was_in_sync(clock.moment());
        Ok(Self {
            index: Arc::new(index),
            feed: Arc::new(feed),
            patience: Arc::new(Patience::new(config, issuers)),
        })
    }
}

#[cfg(test)]
impl Clear {
    /// For tests of the doors, which need a permit but no index.
    pub(crate) const fn for_tests() -> Self {
        Self(())
    }
}
