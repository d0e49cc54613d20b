//! The in-memory index: every live revocation, found by a few hash look-ups.
//!
//! It is a pure function of the set of its records: order and repetition do not matter. A token is
//! revoked if and only if a revocation matches it that no lift of the same source, target and cause takes
//! back. Nothing is evicted to make room; only [`Index::sweep`] removes what no valid token can match.
//! `docs/decisions/0008-the-index-is-no-cache.md` says why.

mod longer;
mod look_up;
mod matched;
mod shapes;
mod slot;
mod testing;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{
    Arc, Mutex, MutexGuard, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use arc_swap::ArcSwap;
use hashbrown::HashTable;

use crate::core::clock::UnixMillis;
use crate::core::horizon::Horizon;
use crate::verify::claims::Claims;

use super::record::{Action, Revocation, Target};
use shapes::{ByIssuer, Register, Shape};
use slot::{Key, NAMELESS_CAUSE, Slot};

pub use matched::{Match, Matched, UnknownAddress};
pub use shapes::TooManyShapes;

/// Growth and sweeping lock one shard at a time, so no reader waits long: at ten million entries a shard
/// holds 0.1 % of them.
const SHARDS: usize = 1024;

/// A shard keeps at least this capacity, so that small ones do not shrink and grow in turns.
const SMALLEST_SHARD: usize = 28;

type Shard = HashTable<Slot>;

/// Shared by the follower, which writes, and the request path, which reads.
#[derive(Debug)]
pub struct Index {
    shards: Box<[RwLock<Shard>]>,
    shapes: ArcSwap<ByIssuer>,
    writing: Mutex<Writing>,
    horizon: Horizon,
    warned_of_combinations: Once,
}

/// The state that only writers use.
#[derive(Debug)]
struct Writing {
    register: Register,
    causes: Causes,
    next_to_sweep: usize,
}

/// Numbers each pair of a source and a cause. A lift matches revocations of the same number only, so one
/// sender cannot undo what another one revoked.
#[derive(Debug, Default)]
struct Causes {
    by_source: BTreeMap<Arc<str>, BTreeMap<Arc<str>, u16>>,
    /// By number.
    names: Vec<(Arc<str>, Arc<str>)>,
}

/// The result of [`Index::look_up`].
#[derive(Clone, Debug)]
pub struct Matching {
    pub enforced: Option<Match>,
    /// It refuses nothing.
    pub in_shadow: Option<Match>,
}

/// The result of [`Index::sweep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub forgotten: usize,
    /// Whether this call finished a round through the whole index.
    pub round_is_over: bool,
}

impl Index {
    /// Returns an empty index. It raises `horizon` before it forgets.
    #[must_use]
    pub fn new(horizon: Horizon) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            shapes: ArcSwap::default(),
            writing: Mutex::new(Writing {
                register: Register::new(),
                causes: Causes::default(),
                next_to_sweep: 0,
            }),
            horizon,
            warned_of_combinations: Once::new(),
        }
    }

    #[must_use]
    pub fn horizon(&self) -> UnixMillis {
        self.horizon.get()
    }

    /// Returns whether a revocation that is not lifted matches the token.
    #[must_use]
    pub fn is_revoked(&self, token: &Claims) -> bool {
        self.matching(token).is_some()
    }

    /// Returns what is known about a match. Waits for writers, so it is not for the request path.
    #[must_use]
    pub fn describe(&self, found: &Match) -> Option<Matched> {
        found.describe(&self.writing().causes.names)
    }

    /// Adds records in order, each with the time until which it is remembered.
    ///
    /// # Errors
    /// At the first record that cannot be represented. The caller must not go on without it.
    pub fn apply_all<'a>(
        &self,
        records: impl Iterator<Item = (&'a Revocation, UnixMillis)>,
    ) -> Result<(), TooManyShapes> {
        let mut writing = self.writing();
        let mut shapes = self.shapes.load();
        for (record, forget_after) in records {
            if !record.is_about_tokens() {
                continue;
            }
            let cause = writing.causes.number(&record.source, &record.cause);
            if cause == NAMELESS_CAUSE && record.action == Action::Lift {
                continue;
            }
            let issuer = &record.target.issuer;
            let names = record.target.matches.keys().map(String::as_str);
            let added;
            let shape = if let Some(known) = shapes::find(&shapes, issuer, &names) {
                known
            } else {
                added = writing.register.add(issuer, names)?;
                self.shapes.store(Arc::new(writing.register.by_issuer()));
                shapes = self.shapes.load();
                &added
            };
            let key = shape.key_of(record.target.matches.values());
            let new = Slot::new(key, shape.number, cause, record, forget_after);
            insert(&mut write(self.shard(key)), shape, new);
        }
        Ok(())
    }

    /// Reserves room for so many entries in all. Tables that grow with their entries touch twice the
    /// memory, and a replay mostly waits for memory.
    pub fn reserve(&self, entries: usize) {
        let each = entries / SHARDS;
        for shard in &self.shards {
            let mut shard = write(shard);
            let more = each.saturating_sub(shard.len());
            shard.reserve(more, |slot| hash(slot.key));
        }
    }

    /// Forgets what no valid token can match at `now`, in the next `shards` of [`SHARDS`] shards.
    /// Raises the horizon first.
    pub fn sweep(&self, now: UnixMillis, shards: usize) -> Swept {
        let mut writing = self.writing();
        let mut swept = Swept::default();
        for _ in 0..shards.min(SHARDS) {
            let shard = &self.shards[writing.next_to_sweep];
            swept.forgotten += self.sweep_shard(&writing.register, shard, now);
            writing.next_to_sweep = (writing.next_to_sweep + 1) % SHARDS;
            swept.round_is_over |= writing.next_to_sweep == 0;
        }
        if swept.forgotten > 0 && writing.register.drop_unused() {
            self.shapes.store(Arc::new(writing.register.by_issuer()));
        }
        swept
    }

    fn sweep_shard(&self, register: &Register, shard: &RwLock<Shard>, now: UnixMillis) -> usize {
        let now = now.seconds();
        // A forgotten lift lets nobody in, so it does not raise the horizon.
        let end = |slot: &Slot| {
            if slot.is_lift() {
                UnixMillis::default()
            } else {
                slot.forget_after()
            }
        };
        // Readers go on while this finds out whether there is anything to forget.
        let over = read(shard)
            .iter()
            .filter(|slot| slot.is_over(now))
            .map(end)
            .max();
        let Some(latest) = over else { return 0 };
        self.horizon.raise(latest);
        let mut shard = write(shard);
        let before = shard.len();
        shard.retain(|slot| {
            let stays = !slot.is_over(now);
            if !stays && let Some(shape) = register.shape(slot.shape) {
                shape.shrank_by(slot);
            }
            stays
        });
        if shard.len() < shard.capacity() / 4 {
            let room = (shard.len() * 2).max(SMALLEST_SHARD);
            shard.shrink_to(room, |slot| hash(slot.key));
        }
        before - shard.len()
    }

    /// Returns the number of entries: live revocations and remembered lifts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sum(Shape::entries)
    }

    /// Returns the number of remembered lifts.
    #[must_use]
    pub fn lifts(&self) -> usize {
        self.sum(Shape::lifts)
    }

    fn sum(&self, count: impl Fn(&Shape) -> usize) -> usize {
        let shapes = self.shapes.load();
        shapes.values().flatten().map(|shape| count(shape)).sum()
    }

    /// Returns the numbers of live revocations by the claim names of their shape, over all issuers.
    #[must_use]
    pub fn live(&self) -> BTreeMap<String, usize> {
        let mut live = BTreeMap::new();
        for shape in self.shapes.load().values().flatten() {
            let revocations = shape.entries().saturating_sub(shape.lifts());
            if revocations > 0 {
                *live.entry(shape.label()).or_default() += revocations;
            }
        }
        live
    }

    /// Returns the number of shapes of the issuer, and whether the shape of `target` is one of them.
    #[must_use]
    pub fn shapes_of(&self, target: &Target) -> (usize, bool) {
        let shapes = self.shapes.load();
        let count = shapes.get(target.issuer.as_str()).map_or(0, Vec::len);
        let names = target.matches.keys().map(String::as_str);
        let known = shapes::find(&shapes, &target.issuer, &names);
        (count, known.is_some())
    }

    /// Returns the bytes that the tables take, with what is allocated and free.
    #[must_use]
    pub fn memory(&self) -> usize {
        let shards = self.shards.iter();
        let tables: usize = shards.map(|shard| read(shard).allocation_size()).sum();
        tables + SHARDS * size_of::<RwLock<Shard>>()
    }

    fn shard(&self, key: Key) -> &RwLock<Shard> {
        // The table hashes by the first half of the key, so shards are chosen by the second.
        let number = usize::try_from(key[1] % SHARDS as u64).expect("less than SHARDS");
        &self.shards[number]
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Causes {
    fn number(&mut self, source: &str, cause: &str) -> u16 {
        let known = self.by_source.get(source);
        if let Some(number) = known.and_then(|causes| causes.get(cause)) {
            return *number;
        }
        let number = u16::try_from(self.names.len()).unwrap_or(NAMELESS_CAUSE);
        if number < NAMELESS_CAUSE {
            let (source, cause) = (Arc::<str>::from(source), Arc::<str>::from(cause));
            let causes = self.by_source.entry(Arc::clone(&source)).or_default();
            causes.insert(Arc::clone(&cause), number);
            self.names.push((source, cause));
        }
        number
    }
}

/// Returns whether the times of a token are within the cut-off of a revocation that matches its
/// claims.
pub(super) fn is_within_cut_off(record: &Revocation, token: &Claims) -> bool {
    Slot::new(Key::default(), 0, 0, record, UnixMillis::MAX).covers(token)
}

fn insert(shard: &mut Shard, shape: &Shape, mut new: Slot) {
    let hash_of_key = hash(new.key);
    // Lifted already, or known already: it is enough to remember that for as long.
    let known = |slot: &Slot| slot.lifts(&new) || slot.stands_for(&new);
    if let Some(slot) = shard.find_mut(hash_of_key, known) {
        return slot.remember_like(&new);
    }
    // First, so that no moment has too few.
    shape.grew_by(&new);
    let replaced = |new: &Slot, slot: &Slot| new.lifts(slot) || new.stands_for(slot);
    while let Ok(entry) = shard.find_entry(hash_of_key, |slot| replaced(&new, slot)) {
        let gone = entry.remove().0;
        new.remember_like(&gone);
        shape.shrank_by(&gone);
    }
    shard.insert_unique(hash_of_key, new, |slot| hash(slot.key));
}

/// Returns a part of the key, which is a keyed hash already.
const fn hash(key: Key) -> u64 {
    key[0]
}

/// Goes on after a panic of a writer: no step in between leaves the shard half written.
fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}
