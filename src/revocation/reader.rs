//! The reading end: what the request path may ask.

use std::fmt;
use std::sync::Arc;

use crate::verify::claims::Claims;

use super::Index;
use super::feed::FeedState;
use super::patience::Patience;

/// What the revocations say about a token. [`Standing::Clear`] carries a witness that only this
/// module can make, so nothing can be permitted that was not looked up.
#[derive(Debug)]
pub enum Standing {
    /// Looked up, and nothing matches.
    Clear(Clear),
    Revoked,
    /// The log was not replayed to its head yet.
    NotReady,
    /// The feed is older than the issuer's `max_staleness`, and its `when_stale` is `deny`.
    Stale,
}

/// Proof of a look-up that found nothing.
#[derive(Debug)]
pub struct Clear(());

/// Answers from the index. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    index: Arc<Index>,
    feed: Arc<FeedState>,
    patience: Arc<Patience>,
}

impl Reader {
    pub(super) fn new(index: Arc<Index>, feed: Arc<FeedState>, patience: Arc<Patience>) -> Self {
        Self {
            index,
            feed,
            patience,
        }
    }

    /// Looks a token up. A few hash look-ups, no allocation to speak of, no waiting.
    #[must_use]
    pub fn standing(&self, claims: &Claims) -> Standing {
        if !self.feed.is_replayed() {
            return Standing::NotReady;
        }
        // The age first: what makes an old feed young again may bring the very revocation that is not in
        // the index yet.
        let is_stale = self.patience.is_over(&claims.issuer, || self.feed.age());
        if self.index.is_revoked(claims) {
            // Also when the feed is stale: what is known to be revoked stays so.
            Standing::Revoked
        } else if is_stale {
            Standing::Stale
        } else {
            Standing::Clear(Clear(()))
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("feed", &self.feed)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Clear {
    /// For tests of the doors, which need a permit but no index.
    pub(crate) const fn for_tests() -> Self {
        Self(())
    }
}
