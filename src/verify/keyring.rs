//! The keys of one issuer as they are now: replaced as a whole, read without a lock.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::algorithm::Algorithm;
use super::jwks::{Candidates, KeySet, Missing};
use super::key::{Lease, Terms};
use crate::core::clock::UnixMillis;

/// The current set, and until when it may be used.
#[derive(Debug)]
pub(super) struct Keyring {
    set: ArcSwap<KeySet>,
    lease: Arc<Lease>,
    terms: Terms,
    /// The issuers whose tokens the keys may sign.
    names: Vec<String>,
}

impl Keyring {
    pub(super) fn new(terms: Terms, names: Vec<String>) -> Self {
        Self {
            set: ArcSwap::default(),
            lease: Lease::none(),
            terms,
            names,
        }
    }

    /// Returns the keys that may have signed a token; `None` if no set was loaded yet, or the last good
    /// one is too old.
    pub(super) fn find(
        &self,
        issuer: &str,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> Option<Result<Candidates, Missing>> {
        let is_loaded = self.is_loaded(now);
        is_loaded.then(|| self.set.load().find(issuer, kid, algorithm))
    }

    pub(super) fn is_loaded(&self, now: UnixMillis) -> bool {
        self.lease.holds(now)
    }

    /// Puts a new set in place of the old one; one that cannot be read changes nothing. One caller at a time.
    ///
    /// # Errors
    /// What is wrong with the set, for people.
    pub(super) fn replace(&self, text: &[u8], until: UnixMillis) -> Result<Arc<KeySet>, String> {
        let mut set = KeySet::parse(text, self.terms, &self.names, &self.lease)?;
        let retire = set.succeed(&self.set.load());
        let set = Arc::new(set);
        self.set.store(Arc::clone(&set));
        retire.now();
        self.lease.extend(until);
        Ok(set)
    }
}
