//! The reader: what the request path may ask.

use std::net::IpAddr;
use std::sync::Arc;

use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::core::issuer::ByIssuer;
use crate::core::when_stale::WhenStale;
use crate::verify::claims::Claims;

use super::feed::FeedState;
use super::index::{Index, Match, Matched, Matching, UnknownAddress};
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
    /// The feed is older than the issuer's `max_staleness`, and `when_stale` is `deny`.
    Stale,
}

/// The proof of a look-up that found nothing that refuses.
#[derive(Debug)]
pub struct Clear {
    in_shadow: Option<Match>,
}

impl Clear {
    /// Returns a revocation in shadow that matches.
    #[must_use]
    pub fn in_shadow(&self) -> Option<&Match> {
        self.in_shadow.as_ref()
    }
}

/// Answers from the index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) index: Arc<Index>,
    pub(super) feed: Arc<FeedState>,
    pub(super) patience: Arc<Patience>,
    /// The issuers whose revocations are all in shadow.
    pub(super) in_shadow: Arc<ByIssuer<()>>,
}

impl Reader {
    pub(super) fn new(
        index: Arc<Index>,
        clock: &Clock,
        config: &Config,
        issuers: &[Issuer],
    ) -> Self {
        Self {
            index,
            feed: Arc::new(FeedState::new(clock.clone())),
            patience: Arc::new(Patience::new(config, issuers)),
            in_shadow: Arc::new(config.in_shadow()),
        }
    }

    /// Looks a token up, wherever it comes from: a few hash look-ups, and no waiting.
    #[must_use]
    pub fn standing(&self, claims: &Claims) -> Standing {
        self.standing_where(claims, None)
    }

    /// Looks a token up for a route whose policy has its own `when_stale`.
    #[must_use]
    pub fn standing_where(&self, claims: &Claims, when_stale: Option<WhenStale>) -> Standing {
        let judged = self.judged(claims, when_stale, || Ok(self.index.look_up(claims)));
        judged.unwrap_or(Standing::NotReady)
    }

    /// Looks up the token of a request. `from` knows its address, and is asked only if networks are revoked.
    ///
    /// # Errors
    /// When the address decides, and it is not known.
    pub fn standing_from(
        &self,
        claims: &Claims,
        when_stale: Option<WhenStale>,
        from: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Standing, UnknownAddress> {
        let look_up = || match self.index.look_up_from(claims, from) {
            // Whatever the address is, nothing is refused.
            Err(UnknownAddress) if self.in_shadow.get(&claims.issuer).is_some() => {
                Ok(self.index.look_up(claims))
            }
            found => found,
        };
        self.judged(claims, when_stale, look_up)
    }

    fn judged(
        &self,
        claims: &Claims,
        when_stale: Option<WhenStale>,
        look_up: impl FnOnce() -> Result<Matching, UnknownAddress>,
    ) -> Result<Standing, UnknownAddress> {
        if !self.feed.is_replayed() {
            return Ok(Standing::NotReady);
        }
        // The age is read first: the record that makes the feed young again may be the very revocation
        // that the index lacks.
        let age = || self.feed.age();
        let is_stale = self.patience.is_over(&claims.issuer, when_stale, age);
        let found = look_up()?;
        let in_shadow = match found.enforced {
            Some(found) if self.in_shadow.get(&claims.issuer).is_some() => Some(found),
            // Also if the feed is stale: a known revocation stands.
            Some(found) => return Ok(Standing::Revoked(found)),
            None => found.in_shadow,
        };
        Ok(if is_stale {
            Standing::Stale
        } else {
            Standing::Clear(Clear { in_shadow })
        })
    }

    /// Says whether a policy lets requests pass however old the feed is. Until then proxies are told to use other
    /// replicas while it is too old for every issuer.
    pub fn set_lenient(&self, is_lenient: bool) {
        self.patience.set_lenient(is_lenient);
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
    /// Returns the same reader, with the `max_staleness`, `when_stale` and `shadow` of another configuration.
    #[must_use]
    pub fn under(&self, config: &Config, issuers: &[Issuer]) -> Self {
        Self {
            patience: Arc::new(Patience::new(config, issuers)),
            in_shadow: Arc::new(config.in_shadow()),
            ..self.clone()
        }
    }

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
        let reader = Self::new(Arc::new(index), clock, config, issuers);
        reader.feed.was_in_sync(clock.moment());
        Ok(reader)
    }
}

#[cfg(test)]
impl Clear {
    /// For tests of the doors, which need a permit but no index.
    pub(crate) const fn for_tests() -> Self {
        Self { in_shadow: None }
    }
}
