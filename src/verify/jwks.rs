//! A JWK set (RFC 7517 §5): the keys of one issuer, and which of them may have signed a token.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::algorithm::{Algorithm, Algorithms};
use super::json::{self, Json};
use super::key::{Key, Lease, Unusable};

/// More keys than this under one `kid` are skipped: each costs a signature check per token.
const MOST_PER_KID: usize = 4;

/// The usable keys of a set.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Arc<Key>>,
    skipped: BTreeMap<Unusable, usize>,
}

/// The keys to try, in the set's order. Nearly always one.
pub(super) type Candidates = SmallVec<[Arc<Key>; 1]>;

/// Why no key may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// No key has this `kid`, or none fits a token without one.
    Key,
    /// Keys have this `kid`, and none is for this algorithm.
    Algorithm,
    /// A token without `kid`, and more than one key would fit.
    Ambiguous,
}

impl KeySet {
    /// Reads a set. Keys that cannot be used are skipped and counted.
    ///
    /// # Errors
    /// When the text is no JWK set, or none of its keys can be used: what is wrong, for people.
    pub(super) fn parse(
        text: &[u8],
        allowed: Algorithms,
        lease: &Arc<Lease>,
    ) -> Result<Self, String> {
        let members = json::object(text).map_err(|error| format!("the key set is {error}"))?;
        let Some(Json::List(items)) = members.get("keys") else {
            return Err("the key set has no list `keys`".to_owned());
        };
        let mut set = Self::default();
        for item in items {
            if let Err(unusable) = set.take(item, allowed, lease) {
                *set.skipped.entry(unusable).or_default() += 1;
            }
        }
        if set.keys.is_empty() {
            return Err(format!(
                "the key set has no usable key ({})",
                set.why_skipped()
            ));
        }
        Ok(set)
    }

    fn take(
        &mut self,
        item: &Json<'_>,
        allowed: Algorithms,
        lease: &Arc<Lease>,
    ) -> Result<(), Unusable> {
        let Json::Object(jwk) = item else {
            return Err("it is no object");
        };
        let key = Key::from_jwk(jwk, allowed, lease)?;
        let same_name = |held: &&Arc<Key>| held.kid() == key.kid();
        if key.kid().is_some() && self.keys.iter().filter(same_name).count() >= MOST_PER_KID {
            return Err("too many keys have its kid");
        }
        self.keys.push(Arc::new(key));
        Ok(())
    }

    /// A set of one key.
    pub(super) fn of(key: Key) -> Self {
        Self {
            keys: vec![Arc::new(key)],
            ..Self::default()
        }
    }

    /// The keys that may have signed a token with this header. Where a set names several keys
    /// alike, each that fits the algorithm is tried. A token without `kid` needs a set in which
    /// exactly one key fits.
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Candidates, Missing> {
        let mut named = self
            .keys
            .iter()
            .filter(|key| kid.is_none() || key.kid() == kid);
        let Some(first) = named.next() else {
            return Err(Missing::Key);
        };
        let fitting: Candidates = std::iter::once(first)
            .chain(named)
            .filter(|key| key.fits(algorithm))
            .cloned()
            .collect();
        match (fitting.len(), kid) {
            (0, Some(_)) => Err(Missing::Algorithm),
            (0, None) => Err(Missing::Key),
            (1, _) | (_, Some(_)) => Ok(fitting),
            (_, None) => Err(Missing::Ambiguous),
        }
    }

    /// Keeps the keys of an earlier set that are in this one too, so that what they verified stays
    /// good, and retires the others.
    pub(super) fn succeed(&mut self, earlier: &Self) -> Retire {
        let mut gone = earlier.keys.clone();
        for key in &mut self.keys {
            if let Some(at) = gone.iter().position(|held| held.is_same(key)) {
                *key = gone.swap_remove(at);
            }
        }
        Retire(gone)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn skipped(&self) -> usize {
        self.skipped.values().sum()
    }

    /// For people: why keys were skipped, and how many for each reason.
    pub(super) fn why_skipped(&self) -> String {
        let reasons: Vec<_> = self
            .skipped
            .iter()
            .map(|(reason, count)| format!("{count} skipped: {reason}"))
            .collect();
        if reasons.is_empty() {
            return "it is empty".to_owned();
        }
        reasons.join("; ")
    }
}

/// The keys that left. They are retired after the new set is in place, so that no token is
/// verified by one of them and cached in between.
#[must_use]
pub(super) struct Retire(Vec<Arc<Key>>);

impl Retire {
    pub(super) fn now(self) {
        for key in self.0 {
            key.retire();
        }
    }
}
