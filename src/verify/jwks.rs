//! A JWK set (RFC 7517 §5): the keys of one issuer, and which of them may have signed a token.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::algorithm::Algorithm;
use super::json::{self, Json};
use super::key::{Key, Lease, Terms};
use super::public::Unusable;

/// How many keys are tried for one token: each costs a signature check. More under one `kid` are
/// skipped.
pub(super) const MOST_TRIED: usize = 4;

/// How many JSON values a set may hold. A thousand keys take a tenth of it.
const MOST_VALUES: usize = 100_000;

/// The usable keys of a set.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Arc<Key>>,
    skipped: BTreeMap<Unusable, usize>,
}

/// The keys that may be tried, in the set's order. Nearly always one; one more than
/// [`MOST_TRIED`] when there are too many.
pub(super) type Candidates = SmallVec<[Arc<Key>; 1]>;

/// Why no key may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// No key has this `kid`, or none fits a token without one.
    Key,
    /// Keys have this `kid`, and none is for this algorithm.
    Algorithm,
}

impl KeySet {
    /// Reads a set. Keys that cannot be used are skipped and counted. A set without a usable key is
    /// a set: it says that no signature is good.
    ///
    /// # Errors
    /// When the text is no JWK set: what is wrong, for people.
    pub(super) fn parse(text: &[u8], terms: Terms, lease: &Arc<Lease>) -> Result<Self, String> {
        let members = json::object_within(json::without_mark(text), MOST_VALUES)
            .map_err(|error| format!("the key set is {error}"))?;
        let Some(Json::List(items)) = members.get("keys") else {
            return Err("the key set has no list `keys`".to_owned());
        };
        let mut set = Self::default();
        for item in items {
            if let Err(unusable) = set.take(item, terms, lease) {
                *set.skipped.entry(unusable).or_default() += 1;
            }
        }
        Ok(set)
    }

    fn take(&mut self, item: &Json<'_>, terms: Terms, lease: &Arc<Lease>) -> Result<(), Unusable> {
        let Json::Object(jwk) = item else {
            return Err(Unusable::Malformed("it is no object"));
        };
        let key = Key::from_jwk(jwk, terms, lease)?;
        let same_name = |held: &&Arc<Key>| held.kid() == key.kid();
        if key.kid().is_some() && self.keys.iter().filter(same_name).count() >= MOST_TRIED {
            return Err(Unusable::Surplus("too many keys have its kid"));
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

    /// The keys that may have signed a token with this header: those of its `kid` that fit the
    /// algorithm, or every fitting one if it has none. A set's only key serves tokens of any `kid`
    /// if it has none itself.
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Candidates, Missing> {
        let lone = matches!(&*self.keys, [key] if key.kid().is_none());
        let kid = kid.filter(|_| !lone);
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
            .take(MOST_TRIED + 1)
            .cloned()
            .collect();
        match (fitting.is_empty(), kid) {
            (true, Some(_)) => Err(Missing::Algorithm),
            (true, None) => Err(Missing::Key),
            (false, _) => Ok(fitting),
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

    /// How many keys were skipped for this kind of reason.
    pub(super) fn skipped(&self, kind: &str) -> usize {
        let of_kind = self.skipped.iter().filter(|(why, _)| why.kind() == kind);
        of_kind.map(|(_, count)| count).sum()
    }

    /// For people: why keys were skipped, and how many for each reason. `None` when nothing is
    /// wrong with any of them.
    pub(super) fn complaint(&self) -> Option<String> {
        let reasons: Vec<_> = self
            .skipped
            .iter()
            .filter(|(reason, _)| !matches!(reason, Unusable::OtherPurpose(_)))
            .map(|(reason, count)| format!("{count} skipped: {}", reason.why()))
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
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
