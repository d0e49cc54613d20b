//! What a search keeps of what it reads.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::core::clock::UnixMillis;
use crate::revocation::record::{Action, Revocation};

/// A revocation that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub record: Arc<Revocation>,
    /// When it may be forgotten, by the terms of today.
    pub forget_after: UnixMillis,
    /// Whether a lift took it back.
    pub is_lifted: bool,
}

/// What a search found, newest first by the time of receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    pub found: Vec<Found>,
    /// Whether there are older ones beyond the limit.
    pub more: bool,
}

/// The latest lift of each source, target and cause.
#[derive(Default)]
pub(super) struct Lifts {
    secret: Secret,
    latest: HashMap<u128, UnixMillis>,
}

impl Lifts {
    pub(super) fn learn(&mut self, record: &Revocation) {
        if record.action == Action::Lift && record.is_about_tokens() {
            let latest = self.latest.entry(self.secret.subject(record));
            let latest = latest.or_default();
            *latest = record.occurred_at.max(*latest);
        }
    }

    /// Returns whether a lift takes the revocation back.
    pub(super) fn lift(&self, record: &Revocation) -> bool {
        let lift = self.latest.get(&self.secret.subject(record));
        lift.is_some_and(|lifted_at| *lifted_at >= record.occurred_at)
    }
}

/// The newest records by receipt, each once however often the log has it.
pub(super) struct Newest {
    limit: usize,
    secret: Secret,
    /// By the time of receipt and the place in the log.
    kept: BTreeMap<(UnixMillis, usize), (u128, Found)>,
    known: HashMap<u128, (UnixMillis, usize)>,
    seen: usize,
    more: bool,
}

impl Newest {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            secret: Secret::default(),
            kept: BTreeMap::new(),
            known: HashMap::new(),
            seen: 0,
            more: false,
        }
    }

    pub(super) fn add(
        &mut self,
        record: &Arc<Revocation>,
        forget_after: UnixMillis,
        is_lifted: bool,
    ) {
        let identity = self.secret.identity(record);
        if let Some(place) = self.known.get(&identity) {
            let (_, known) = self.kept.get_mut(place).expect("both maps agree");
            known.forget_after = known.forget_after.max(forget_after);
            return;
        }
        let place = (record.received_at, self.seen);
        self.seen += 1;
        let found = Found {
            record: Arc::clone(record),
            forget_after,
            is_lifted,
        };
        self.kept.insert(place, (identity, found));
        self.known.insert(identity, place);
        if self.kept.len() > self.limit
            && let Some((_, (oldest, _))) = self.kept.pop_first()
        {
            self.known.remove(&oldest);
            self.more = true;
        }
    }

    pub(super) fn into_results(self) -> Results {
        let newest_first = self.kept.into_values().rev();
        Results {
            found: newest_first.map(|(_, found)| found).collect(),
            more: self.more,
        }
    }
}

/// Random, so that nobody can choose colliding hashes.
struct Secret(u64, u64);

impl Default for Secret {
    fn default() -> Self {
        Self(rand::random(), rand::random())
    }
}

impl Secret {
    /// Hashes what a lift and the revocations that it takes back have in common.
    fn subject(&self, record: &Revocation) -> u128 {
        self.hash((&record.source, &record.cause, &record.target))
    }

    fn identity(&self, record: &Revocation) -> u128 {
        self.hash(identity(record))
    }

    fn hash(&self, value: impl Hash) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        value.hash(&mut hasher);
        hasher.finish128().as_u128()
    }
}

/// Returns what makes two records one revocation.
pub(super) fn identity(record: &Revocation) -> impl Hash + Eq + '_ {
    let of = (&record.id, &record.source, &record.cause, &record.target);
    let times = (record.issued_at_or_before, record.expires_at_or_before);
    (of, times, record.occurred_at)
}
