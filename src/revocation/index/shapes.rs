//! Shapes: the sets of claim names that revocations match. A look-up asks once for each live shape of
//! the token's issuer, however many revocations there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use siphasher::sip128::{Hasher128, SipHasher13};
use smallvec::SmallVec;
use std::hash::Hasher;

use crate::core::network::CLIENT_IP;
use crate::verify::claims::{ClaimPath, Claims, Values};

use super::slot::{Key, Slot};

/// The most combinations of array values that are looked up for a token and a shape. A token with more
/// is refused.
const MOST_COMBINATIONS: usize = 4096;

/// The shapes in use, by issuer. Issuers are few, so comparing is cheaper than hashing.
pub(super) type ByIssuer = BTreeMap<Box<str>, Vec<Arc<Shape>>>;

#[derive(Debug)]
pub(super) struct Shape {
    pub(super) number: u16,
    pub(super) issuer: Box<str>,
    pub(super) claims: Box<[ClaimPath]>,
    /// Whether it names a network of clients.
    pub(super) has_network: bool,
    /// Has hashed the issuer and the names. The values follow in the order of the names.
    seeded: SipHasher13,
    entries: AtomicUsize,
    lifts: AtomicUsize,
    /// Of the entries: those that are neither lifts nor in shadow.
    enforced: AtomicUsize,
}

/// A token has more than [`MOST_COMBINATIONS`].
#[derive(Debug)]
pub(super) struct TooManyCombinations;

impl Shape {
    /// Returns the key of the values of a record of this shape, in the order of its names.
    pub(super) fn key_of<'a>(&self, values: impl Iterator<Item = &'a String>) -> Key {
        let mut hasher = self.seeded;
        for value in values {
            feed(&mut hasher, value);
        }
        finish(&hasher)
    }

    /// Returns the claim names, joined by commas; empty for the shape that means the whole issuer.
    pub(super) fn label(&self) -> String {
        let names: Vec<_> = self.claims.iter().map(ClaimPath::as_str).collect();
        names.join(",")
    }

    /// Returns the number of revocations and lifts.
    pub(super) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    pub(super) fn lifts(&self) -> usize {
        self.lifts.load(Ordering::Relaxed)
    }

    /// Returns whether an entry refuses anything.
    pub(super) fn refuses(&self) -> bool {
        self.enforced.load(Ordering::Relaxed) > 0
    }

    pub(super) fn grew_by(&self, slot: &Slot) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.enforced
            .fetch_add(slot.refuses().into(), Ordering::Relaxed);
        self.lifts
            .fetch_add(slot.is_lift().into(), Ordering::Relaxed);
    }

    pub(super) fn shrank_by(&self, slot: &Slot) {
        self.enforced
            .fetch_sub(slot.refuses().into(), Ordering::Relaxed);
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.lifts
            .fetch_sub(slot.is_lift().into(), Ordering::Relaxed);
    }

    /// Returns whether `found` accepts the key of any combination of the token's values. `networks` are those
    /// that the request comes from.
    pub(super) fn any_key(
        &self,
        token: &Claims,
        networks: &[String],
        mut found: impl FnMut(Key) -> bool,
    ) -> Result<bool, TooManyCombinations> {
        let mut values = SmallVec::<[Values<'_>; 4]>::new();
        let mut combinations = 1_usize;
        for claim in &self.claims {
            let of_claim = if self.has_network && claim.as_str() == CLIENT_IP {
                networks.iter().map(String::as_str).collect()
            } else {
                token.values(claim)
            };
            combinations = combinations.saturating_mul(of_claim.len());
            if combinations == 0 {
                return Ok(false);
            }
            values.push(of_claim);
        }
        if combinations > MOST_COMBINATIONS {
            return Err(TooManyCombinations);
        }
        Ok(any_combination(self.seeded, &values, &mut found))
    }
}

fn any_combination(
    hasher: SipHasher13,
    values: &[Values<'_>],
    found: &mut impl FnMut(Key) -> bool,
) -> bool {
    let Some((first, rest)) = values.split_first() else {
        return found(finish(&hasher));
    };
    first.iter().any(|value| {
        let mut hasher = hasher;
        feed(&mut hasher, value);
        any_combination(hasher, rest, found)
    })
}

/// Hashes the length first, so that no two lists of texts hash the same bytes.
fn feed(hasher: &mut SipHasher13, text: &str) {
    hasher.write(&(text.len() as u64).to_le_bytes());
    hasher.write(text.as_bytes());
}

fn finish(hasher: &SipHasher13) -> Key {
    let hash = hasher.finish128();
    [hash.h1, hash.h2]
}

/// Numbers shapes. Only the writing side of the index uses it.
#[derive(Debug)]
pub(super) struct Register {
    /// Random, so that nobody can choose colliding keys.
    secret: (u64, u64),
    by_number: Vec<Option<Arc<Shape>>>,
}

/// All numbers of shapes are in use.
#[derive(Debug, thiserror::Error)]
#[error("the revocations in the log use more than 65536 sets of claim names")]
pub struct TooManyShapes;

impl Register {
    pub(super) fn new() -> Self {
        Self {
            secret: (rand::random(), rand::random()),
            by_number: Vec::new(),
        }
    }

    pub(super) fn shape(&self, number: u16) -> Option<&Arc<Shape>> {
        self.by_number.get(usize::from(number))?.as_ref()
    }

    /// Adds a shape for the issuer and the claim names, which are in order.
    pub(super) fn add<'a>(
        &mut self,
        issuer: &str,
        names: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<Arc<Shape>, TooManyShapes> {
        let free = self.by_number.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.by_number.len());
        let number = u16::try_from(slot).map_err(|_| TooManyShapes)?;
        let mut seeded = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        feed(&mut seeded, issuer);
        seeded.write(&(names.len() as u64).to_le_bytes());
        let claims: Box<[ClaimPath]> = names.map(ClaimPath::of_record).collect();
        claims
            .iter()
            .for_each(|claim| feed(&mut seeded, claim.as_str()));
        let shape = Arc::new(Shape {
            number,
            issuer: issuer.into(),
            has_network: claims.iter().any(|claim| claim.as_str() == CLIENT_IP),
            claims,
            seeded,
            entries: AtomicUsize::new(0),
            lifts: AtomicUsize::new(0),
            enforced: AtomicUsize::new(0),
        });
        if free.is_none() {
            self.by_number.push(None);
        }
        self.by_number[slot] = Some(Arc::clone(&shape));
        Ok(shape)
    }

    /// Returns a value for each number of a shape that has one.
    pub(super) fn each<T>(&self, of: impl Fn(&Shape) -> Option<T>) -> Vec<Option<T>> {
        let shapes = self.by_number.iter();
        shapes.map(|shape| of(shape.as_deref()?)).collect()
    }

    /// Frees the numbers of unused shapes. Returns whether there were any.
    pub(super) fn drop_unused(&mut self) -> bool {
        let mut dropped = false;
        for slot in &mut self.by_number {
            dropped |= slot.take_if(|shape| shape.entries() == 0).is_some();
        }
        dropped
    }

    pub(super) fn by_issuer(&self) -> ByIssuer {
        let mut by_issuer = ByIssuer::new();
        for shape in self.by_number.iter().flatten() {
            let shapes = by_issuer.entry(shape.issuer.clone()).or_default();
            shapes.push(Arc::clone(shape));
        }
        by_issuer
    }
}

/// Returns the issuer's shape with exactly these claim names, which are in order.
pub(super) fn find<'a, 'b>(
    shapes: &'a ByIssuer,
    issuer: &str,
    names: &(impl Iterator<Item = &'b str> + Clone),
) -> Option<&'a Arc<Shape>> {
    let of_issuer = shapes.get(issuer)?;
    let has = |shape: &&Arc<Shape>| shape.claims.iter().map(ClaimPath::as_str).eq(names.clone());
    of_issuer.iter().find(has)
}
