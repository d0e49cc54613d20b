//! A JWK set (RFC 7517 §5): the keys of one issuer, and which of them may have signed a token.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::algorithm::Algorithm;
use super::json::{self, Json};
use super::jwk::text;
use super::key::{Key, Lease, Terms};
use super::public::Unusable;
use crate::core::issuer::{TENANT, overlap};
use crate::core::reason::Reason;

/// How many keys are tried for one token: each costs a signature check. More under one `kid` are
/// skipped.
pub(super) const MOST_TRIED: usize = 4;

/// How many JSON values a set may hold. A thousand keys take a tenth of it.
const MOST_VALUES: usize = 100_000;

/// The usable keys of a set.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Published>,
    skipped: BTreeMap<Unusable, usize>,
}

/// A key, and the issuer whose tokens alone it may sign; a provider that serves many tenants from
/// one set says so by the member `issuer`, with a placeholder for the tenant.
#[derive(Debug)]
struct Published {
    key: Arc<Key>,
    issuer: Option<Box<str>>,
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

impl From<Missing> for Reason {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Key => Self::UnknownKey,
            Missing::Algorithm => Self::UnsupportedAlgorithm,
        }
    }
}

impl KeySet {
    /// Reads a set. Keys that cannot be used, or are for none of the issuers `names`, are skipped
    /// and counted. A set without a usable key is a set: it says that no signature is good.
    ///
    /// # Errors
    /// When the text is no JWK set: what is wrong, for people.
    pub(super) fn parse(
        text: &[u8],
        terms: Terms,
        names: &[String],
        lease: &Arc<Lease>,
    ) -> Result<Self, String> {
        let members = json::object_within(json::without_mark(text), MOST_VALUES)
            .map_err(|error| format!("the key set is {error}"))?;
        let Some(Json::List(items)) = members.get("keys") else {
            return Err("the key set has no list `keys`".to_owned());
        };
        let mut set = Self::default();
        for item in items {
            if let Err(unusable) = set.take(item, terms, names, lease) {
                *set.skipped.entry(unusable).or_default() += 1;
            }
        }
        Ok(set)
    }

    fn take(
        &mut self,
        item: &Json<'_>,
        terms: Terms,
        names: &[String],
        lease: &Arc<Lease>,
    ) -> Result<(), Unusable> {
        let Json::Object(jwk) = item else {
            return Err(Unusable::Malformed("it is no object"));
        };
        let issuer = text(jwk, "issuer")?.map(|issuer| issuer.replace("{tenantid}", TENANT));
        if issuer
            .as_ref()
            .is_some_and(|own| !names.iter().any(|name| overlap(own, name)))
        {
            return Err(Unusable::OtherIssuer("it is for another issuer"));
        }
        let key = Key::from_jwk(jwk, terms, lease)?;
        self.keys.push(Published {
            key: Arc::new(key),
            issuer: issuer.map(Into::into),
        });
        Ok(())
    }

    /// Returns the keys that may have signed a token of this issuer with this header: those with its `kid`
    /// that fit the algorithm, or all that fit if the token has no `kid`. If the set has a single key, and
    /// that has no `kid`, it serves tokens of any `kid`.
    pub(super) fn find(
        &self,
        issuer: &str,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Candidates, Missing> {
        let lone = matches!(&*self.keys, [only] if only.key.kid().is_none());
        let kid = kid.filter(|_| !lone);
        let is_named = |held: &&Published| {
            let is_for = held.issuer.as_ref().is_none_or(|own| overlap(own, issuer));
            is_for && (kid.is_none() || held.key.kid() == kid)
        };
        let mut named = self.keys.iter().filter(is_named).map(|held| &held.key);
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

    /// Takes over the keys of an earlier set that are also in this one, so that the tokens they verified
    /// stay cached. Returns the others, to be retired.
    pub(super) fn succeed(&mut self, earlier: &Self) -> Retire {
        let mut gone: Vec<&Published> = earlier.keys.iter().collect();
        for new in &mut self.keys {
            let is_same =
                |held: &&Published| held.issuer == new.issuer && held.key.is_same(&new.key);
            if let Some(at) = gone.iter().position(is_same) {
                new.key = Arc::clone(&gone.swap_remove(at).key);
            }
        }
        Retire(gone.into_iter().map(|held| Arc::clone(&held.key)).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns how many keys were skipped for this kind of reason.
    pub(super) fn skipped(&self, kind: &str) -> usize {
        let of_kind = self.skipped.iter().filter(|(why, _)| why.parts().0 == kind);
        of_kind.map(|(_, count)| count).sum()
    }

    /// For people: why keys were skipped, and how many for each reason. `None` when nothing is
    /// wrong with any of them. Keys for others are nothing wrong unless there are no more.
    pub(super) fn complaint(&self) -> Option<String> {
        let is_wrong = |reason: &Unusable| {
            !matches!(reason, Unusable::OtherPurpose(_) | Unusable::OtherIssuer(_))
        };
        let reasons: Vec<_> = self
            .skipped
            .iter()
            .filter(|(reason, _)| self.keys.is_empty() || is_wrong(reason))
            .map(|(reason, count)| format!("{count} skipped: {}", reason.parts().1))
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// A set of keys that were not published.
impl FromIterator<Key> for KeySet {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        let with_key = |key| Published {
            key: Arc::new(key),
            issuer: None,
        };
        Self {
            keys: keys.into_iter().map(with_key).collect(),
            ..Self::default()
        }
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
