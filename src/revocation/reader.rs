//! The reader: what the request path may ask.

use std::sync::Arc;

use crate::verify::claims::Claims;

use super::feed::FeedState;
use super::index::{Index, Match, Matched};
use super::patience::Patience;

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

#[cfg(test)]
impl Clear {
    /// For tests of the doors, which need a permit but no index.
    pub(crate) const fn for_tests() -> Self {
        Self(())
    }
}
