//! The in-memory index: every live revocation, found by a few hash look-ups.
//!
//! It is a pure function of the set of records it was given: order and repetition do not matter.
//! A token is revoked if and only if a revocation matches it that no lift of the same source,
//! target and cause takes back. Nothing is ever evicted to make room; what cannot matter any more leaves
//! through [`Index::sweep`]. `docs/decisions/0008-the-index-is-no-cache.md` says why.

mod shapes;
mod slot;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arc_swap::ArcSwap;
use hashbrown::HashTable;

use crate::core::clock::UnixMillis;
use crate::verify::claims::Claims;

use super::record::{Action, Revocation, Target, View};
use shapes::{ByIssuer, Register, Shape};
use slot::{Key, NAMELESS_CAUSE, Slot};

pub use shapes::TooManyShapes;

/// Growth and sweeping touch one shard at a time: at ten million entries that is 0.1 % of them,
/// so no reader waits long.
const SHARDS: usize = 1024;

/// A shard keeps at least this much room, so that small ones do not shrink and grow in turns.
const SMALLEST_SHARD: usize = 28;

type Shard = HashTable<Slot>;

/// Shared by the follower, which writes, and the request path, which reads.
#[derive(Debug)]
pub struct Index {
    shards: Box<[RwLock<Shard>]>,
    shapes: ArcSwap<ByIssuer>,
    writing: Mutex<Writing>,
    /// Milliseconds. See [`Index::horizon`].
    horizon: Arc<AtomicU64>,
    told_of_combinations: AtomicBool,
}

/// What only writers use.
#[derive(Debug)]
struct Writing {
    register: Register,
    causes: Causes,
    next_to_sweep: usize,
}

/// Numbers what lifts are matched by: a source and, within it, a cause. A lift never reaches across
/// sources, so that one sender cannot undo what another one revoked.
#[derive(Debug, Default)]
struct Causes {
    by_source: BTreeMap<Box<str>, BTreeMap<Box<str>, u16>>,
    taken: u16,
}

/// What a call of [`Index::sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub forgotten: usize,
    /// Whether this call finished a round through the whole index.
    pub round_is_over: bool,
}

impl Index {
    /// An empty index that raises `horizon` before it forgets.
    #[must_use]
    pub fn new(horizon: Arc<AtomicU64>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            shapes: ArcSwap::default(),
            writing: Mutex::new(Writing {
                register: Register::new(),
                causes: Causes::default(),
                next_to_sweep: 0,
            }),
            horizon,
            told_of_combinations: AtomicBool::new(false),
        }
    }

    /// The moment, in milliseconds, up to which revocations were forgotten. A token that was good
    /// until before it (`exp` + leeway) must be refused even if the clock says that it is still
    /// valid: the clock stepped back, and the revocation of that token may be gone.
    #[must_use]
    pub fn horizon(&self) -> UnixMillis {
        UnixMillis(self.horizon.load(Ordering::Acquire))
    }

    /// Whether any revocation that is not lifted matches the token. A few hash look-ups per live
    /// shape of its issuer; independent of the number of revocations.
    #[must_use]
    pub fn is_revoked(&self, token: &Claims) -> bool {
        let shapes = self.shapes.load();
        let Some(of_issuer) = shapes.get(&*token.issuer) else {
            return false;
        };
        of_issuer.iter().any(|shape| self.matches(shape, token))
    }

    fn matches(&self, shape: &Shape, token: &Claims) -> bool {
        let revoked = shape.any_key(token, |key| {
            let shard = read(self.shard(key));
            let mut same_hash = shard.iter_hash(hash(key));
            same_hash.any(|slot| slot.key == key && slot.covers(token))
        });
        revoked.unwrap_or_else(|_| {
            if !self.told_of_combinations.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    issuer = &*token.issuer,
                    claims = shape.label(),
                    "a token carries too many combinations of array values to look up; such \
                     tokens are refused as revoked (told once)"
                );
            }
            true
        })
    }

    /// Takes a record in. It is remembered at least until `forget_after`.
    ///
    /// # Errors
    /// When the record cannot be represented. The caller must not go on without it.
    pub fn apply(
        &self,
        record: &Revocation,
        forget_after: UnixMillis,
    ) -> Result<(), TooManyShapes> {
        self.apply_all(std::iter::once((record.into(), forget_after)))
    }

    /// Takes records in one after the other, each with the time until which it is remembered.
    ///
    /// # Errors
    /// At the first one that cannot be represented. The caller must not go on without it.
    pub fn apply_all<'a>(
        &self,
        records: impl Iterator<Item = (View<'a>, UnixMillis)>,
    ) -> Result<(), TooManyShapes> {
        let mut writing = self.writing();
        let mut shapes = self.shapes.load();
        for (record, forget_after) in records {
            if record.bounds.is_some() {
                continue;
            }
            let cause = writing.causes.number(record.source, record.cause);
            if cause == NAMELESS_CAUSE && record.action == Action::Lift {
                continue;
            }
            let added;
            let shape = if let Some(known) = shapes::find(&shapes, record.issuer, &names(&record)) {
                known
            } else {
                added = writing.register.add(record.issuer, names(&record))?;
                self.shapes.store(Arc::new(writing.register.by_issuer()));
                shapes = self.shapes.load();
                &added
            };
            self.take(shape, cause, &record, forget_after);
        }
        Ok(())
    }

    fn take(&self, shape: &Shape, cause: u16, record: &View<'_>, forget_after: UnixMillis) {
        let key = shape.key_of(&record.matches);
        let new = Slot::new(key, shape.number, cause, record, forget_after);
        let mut shard = write(self.shard(key));
        match record.action {
            Action::Revoke => revoke(&mut shard, shape, new),
            Action::Lift => lift(&mut shard, shape, new),
        }
    }

    /// Makes room for so many entries in all. Tables that grow as entries come touch twice the
    /// memory, and that is what a replay waits for.
    pub fn reserve(&self, entries: usize) {
        let each = entries / SHARDS;
        for shard in &self.shards {
            let mut shard = write(shard);
            let more = each.saturating_sub(shard.len());
            shard.reserve(more, |slot| hash(slot.key));
        }
    }

    /// Looks through the next `shards` of the index (of [`Index::SHARDS`]) and forgets what cannot
    /// match a valid token any more. The horizon is raised first.
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

    /// Into how many parts the index is cut: what [`Index::sweep`] counts by.
    pub const SHARDS: usize = SHARDS;

    fn sweep_shard(&self, register: &Register, shard: &RwLock<Shard>, now: UnixMillis) -> usize {
        let now = now.seconds();
        // Readers may go on while it is found out whether there is anything to do.
        let over = read(shard).iter().filter(|slot| slot.is_over(now)).fold(
            None,
            |latest: Option<UnixMillis>, slot| {
                // A lift that is forgotten lets nobody in.
                let at = if slot.is_lift() {
                    UnixMillis::default()
                } else {
                    slot.forget_after()
                };
                Some(latest.map_or(at, |latest| latest.max(at)))
            },
        );
        let Some(latest) = over else { return 0 };
        self.horizon.fetch_max(latest.0, Ordering::AcqRel);
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

    /// Entries: revocations that are live, and lifts that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let shapes = self.shapes.load();
        shapes.values().flatten().map(|shape| shape.entries()).sum()
    }

    /// Lifts that are remembered.
    #[must_use]
    pub fn lifts(&self) -> usize {
        let shapes = self.shapes.load();
        shapes.values().flatten().map(|shape| shape.lifts()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Live revocations by the claim names of their shape, over all issuers.
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

    /// How many shapes the issuer's revocations have, and whether one of them is `target`'s.
    #[must_use]
    pub fn shapes_of(&self, target: &Target) -> (usize, bool) {
        let shapes = self.shapes.load();
        let count = shapes.get(target.issuer.as_str()).map_or(0, Vec::len);
        let names = target.matches.keys().map(String::as_str);
        (
            count,
            shapes::find(&shapes, &target.issuer, &names).is_some(),
        )
    }

    /// The bytes that the entries take, allocated but free places included.
    #[must_use]
    pub fn memory(&self) -> usize {
        let shards = self.shards.iter();
        let tables: usize = shards.map(|shard| read(shard).allocation_size()).sum();
        tables + SHARDS * size_of::<RwLock<Shard>>()
    }

    fn shard(&self, key: Key) -> &RwLock<Shard> {
        // The table uses the first half of the key, the shard the second: they stay independent.
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
        let number = self.taken;
        if number < NAMELESS_CAUSE {
            let causes = self.by_source.entry(source.into()).or_default();
            causes.insert(cause.into(), number);
            self.taken += 1;
        }
        number
    }
}

/// The claim names, in their order.
fn names<'a>(record: &View<'a>) -> impl ExactSizeIterator<Item = &'a str> + Clone {
    record.matches.iter().map(|(claim, _)| *claim)
}

fn revoke(shard: &mut Shard, shape: &Shape, mut new: Slot) {
    let hash_of_key = hash(new.key);
    // Lifted already, or no news: it is enough to remember that for as long.
    let known = |slot: &Slot| slot.lifts(&new) || slot.stands_for(&new);
    if let Some(slot) = shard.find_mut(hash_of_key, known) {
        return slot.remember_like(&new);
    }
    while let Ok(entry) = shard.find_entry(hash_of_key, |slot| new.stands_for(slot)) {
        let gone = entry.remove().0;
        new.remember_like(&gone);
        shape.shrank_by(&gone);
    }
    shard.insert_unique(hash_of_key, new, |slot| hash(slot.key));
    shape.grew_by(&new);
}

fn lift(shard: &mut Shard, shape: &Shape, mut new: Slot) {
    let hash_of_key = hash(new.key);
    if let Some(slot) = shard.find_mut(hash_of_key, |slot| slot.stands_for(&new)) {
        return slot.remember_like(&new);
    }
    let gone = |slot: &Slot| new.stands_for(slot) || new.lifts(slot);
    let mut forgotten = Vec::new();
    while let Ok(entry) = shard.find_entry(hash_of_key, gone) {
        let gone = entry.remove().0;
        shape.shrank_by(&gone);
        forgotten.push(gone);
    }
    for slot in &forgotten {
        new.remember_like(slot);
    }
    shard.insert_unique(hash_of_key, new, |slot| hash(slot.key));
    shape.grew_by(&new);
}

/// A key is a keyed hash already.
const fn hash(key: Key) -> u64 {
    key[0]
}

/// A panic while a shard is written leaves it whole: nothing in between can panic. Going on is
/// safer than refusing every look-up.
fn read(shard: &RwLock<Shard>) -> std::sync::RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> std::sync::RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}
