//! Search: finds live revocations with their values, which the index does not have, by reading this
//! replica's copy of the log.
//!
//! A search reads the whole log twice: first its lifts, then its revocations. So it takes time in
//! proportion to the log, and memory in proportion to the lifts and to what it finds.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};
use tokio::sync::Semaphore;

use super::log::{self, embedded};
use super::record::{Action, Revocation};
use super::retention::Retention;
use super::{Config, Writer, index};
use crate::core::clock::{Clock, UnixMillis};
use crate::core::network::{self, CLIENT_IP};
use crate::verify::claims::{ClaimPath, Claims};

/// Searches this replica's copy of the log. Clones share the one place for a search.
#[derive(Clone, Debug)]
pub struct Search {
    copy: embedded::Config,
    retention: Retention,
    clock: Clock,
    place: Arc<Semaphore>,
}

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

/// Why a search failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    #[error("another search is under way")]
    Busy,
    #[error("this replica's copy of the log cannot be read: {0}")]
    Unreadable(String),
}

/// Which revocations a search returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Live,
    /// Also those that were lifted.
    LiftedToo,
}

impl Search {
    /// Searches the log that `writer` writes, or the local copy of it.
    pub(super) fn new(config: &Config, writer: &Writer) -> Self {
        let copy = match &config.store {
            log::Config::Embedded(place) => place,
            log::Config::Nats(_) | log::Config::Redis(_) => &config.local,
        };
        Self {
            copy: copy.clone(),
            retention: writer.retention.clone(),
            clock: writer.clock.clone(),
            place: Arc::new(Semaphore::new(1)),
        }
    }

    /// Returns the newest `limit` revocations that `filter` accepts and that are not forgotten. Reads on
    /// a blocking thread.
    ///
    /// # Errors
    /// When another search is under way, or the copy cannot be read.
    pub async fn find(
        &self,
        scope: Scope,
        limit: usize,
        filter: impl FnMut(&Revocation) -> bool + Send + 'static,
    ) -> Result<Results, SearchError> {
        let place = Arc::clone(&self.place).try_acquire_owned();
        let place = place.map_err(|_| SearchError::Busy)?;
        let search = self.clone();
        let searched = tokio::task::spawn_blocking(move || {
            let _place = place;
            search.run(scope, limit, filter)
        });
        searched
            .await
            .map_err(|died| SearchError::Unreadable(died.to_string()))?
    }

    fn run(
        &self,
        scope: Scope,
        limit: usize,
        mut filter: impl FnMut(&Revocation) -> bool,
    ) -> Result<Results, SearchError> {
        let mut lifts = Lifts::default();
        self.each(|record| lifts.learn(record))?;
        let now = self.clock.steady_now();
        let mut newest = Newest::new(limit);
        self.each(|record| {
            let until = self.retention.forget_after(record);
            if record.action == Action::Revoke && until >= now && filter(record) {
                let is_lifted = lifts.lift(record);
                if scope == Scope::LiftedToo || !is_lifted {
                    newest.add(record, until, is_lifted);
                }
            }
        })?;
        Ok(newest.into_results())
    }

    fn each(&self, mut visit: impl FnMut(&Arc<Revocation>)) -> Result<(), SearchError> {
        let read = embedded::read_all(&self.copy, |record| {
            visit(&record);
            Ok(())
        });
        read.map_err(SearchError::Unreadable)
    }
}

/// The latest lift of each source, target and cause.
#[derive(Default)]
struct Lifts {
    secret: Secret,
    latest: HashMap<u128, UnixMillis>,
}

impl Lifts {
    fn learn(&mut self, record: &Revocation) {
        if record.action == Action::Lift && record.is_about_tokens() {
            let latest = self.latest.entry(self.secret.subject(record));
            let latest = latest.or_default();
            *latest = record.occurred_at.max(*latest);
        }
    }

    /// Returns whether a lift takes the revocation back.
    fn lift(&self, record: &Revocation) -> bool {
        let lift = self.latest.get(&self.secret.subject(record));
        lift.is_some_and(|lifted_at| *lifted_at >= record.occurred_at)
    }
}

/// The newest records by receipt, each once however often the log has it.
struct Newest {
    limit: usize,
    secret: Secret,
    /// By the time of receipt and the place in the log.
    kept: BTreeMap<(UnixMillis, usize), (u128, Found)>,
    known: HashMap<u128, (UnixMillis, usize)>,
    seen: usize,
    more: bool,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            secret: Secret::default(),
            kept: BTreeMap::new(),
            known: HashMap::new(),
            seen: 0,
            more: false,
        }
    }

    fn add(&mut self, record: &Arc<Revocation>, forget_after: UnixMillis, is_lifted: bool) {
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

    fn into_results(self) -> Results {
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

    /// Hashes what makes two records one revocation.
    fn identity(&self, record: &Revocation) -> u128 {
        let times = (
            record.issued_at_or_before,
            record.expires_at_or_before,
            record.occurred_at,
        );
        self.hash((&record.id, self.subject(record), times))
    }

    fn hash(&self, value: impl Hash) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        value.hash(&mut hasher);
        hasher.finish128().as_u128()
    }
}

/// Accepts the revocations that refuse a token with these claims, in a request from this address.
pub fn that_refuse(
    token: Claims,
    from: Option<IpAddr>,
) -> impl FnMut(&Revocation) -> bool + Send + 'static {
    let mut values: HashMap<String, Vec<String>> = HashMap::new();
    let networks = from.map(network::around).unwrap_or_default();
    values.insert(CLIENT_IP.to_owned(), networks);
    move |record| {
        if *record.target.issuer != *token.issuer || !index::is_within_cut_off(record, &token) {
            return false;
        }
        record.target.matches.iter().all(|(claim, value)| {
            if !values.contains_key(claim) {
                let of_token = token.values(&ClaimPath::of_record(claim));
                let of_token = of_token.iter().map(|value| (*value).to_owned());
                values.insert(claim.clone(), of_token.collect());
            }
            values[claim].iter().any(|own| own == value)
        })
    }
}

#[cfg(test)]
mod tests;
