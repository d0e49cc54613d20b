//! Search: finds live revocations with their values, which the index does not have, by reading this
//! replica's copy of the log.
//!
//! With a catalogue ([`catalogue`]), a search for names reads the records that have them, the newest first, until it
//! has enough, and any other reads the log like this. Without one, a search reads the whole log twice: first its lifts, then its
//! revocations. So it takes time in proportion to the log, and memory in proportion to the lifts and to what it
//! finds.

mod catalogue;
mod newest;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::log::{self, embedded, embedded::View};
use super::record::{Action, Revocation};
use super::retention::Retention;
use super::{Config, Writer, index};
use crate::core::clock::{Clock, UnixMillis};
use crate::core::network::{self, CLIENT_IP};
use crate::core::readiness::Readiness;
use crate::verify::claims::{ClaimPath, Claims};
pub use catalogue::Name;
use catalogue::{Catalogue, stop_if};
pub use newest::{Found, Results};
use newest::{Lifts, Newest, identity};

/// How often the catalogue learns what is new, if nobody searches.
const PAUSE: Duration = Duration::from_mins(1);

/// Searches this replica's copy of the log. Clones share the one place for a search.
#[derive(Clone, Debug)]
pub struct Search {
    copy: embedded::Config,
    retention: Retention,
    clock: Clock,
    place: Arc<Semaphore>,
    catalogue: Option<Arc<Mutex<Catalogue>>>,
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
            catalogue: Some(Arc::default()),
        }
    }

    /// Returns a search with a catalogue, or one that keeps nothing in memory and reads the whole log each time.
    #[must_use]
    pub fn with_catalogue(self, has_one: bool) -> Self {
        let catalogue = has_one.then(Arc::default);
        Self { catalogue, ..self }
    }

    /// Keeps the catalogue ready, so that the first search is quick, from the time at which the log is replayed until
    /// `shutdown`.
    pub async fn keep_ready(self, readiness: Readiness, shutdown: CancellationToken) {
        if self.catalogue.is_none() {
            return shutdown.cancelled().await;
        }
        let work = async {
            readiness.reached().await;
            loop {
                let (search, stop) = (self.clone(), shutdown.clone());
                let learn = move || search.learn(|| stop.is_cancelled());
                match tokio::task::spawn_blocking(learn).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => tracing::debug!(why, "the log cannot be catalogued now"),
                    Err(died) => tracing::error!(%died, "the log cannot be catalogued"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(work).await;
    }

    fn learn(&self, is_over: impl Fn() -> bool) -> Result<(), String> {
        let Some(mut catalogue) = self.catalogue() else {
            return Ok(());
        };
        embedded::view(&self.copy, |view| catalogue.catch_up(view, is_over))
    }

    fn catalogue(&self) -> Option<MutexGuard<'_, Catalogue>> {
        let catalogue = self.catalogue.as_ref()?;
        Some(catalogue.lock().unwrap_or_else(PoisonError::into_inner))
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
        self.find_named(scope, limit, Vec::new(), filter).await
    }

    /// The same among the revocations that have one of these names; without names, among all.
    ///
    /// # Errors
    /// As [`Search::find`].
    pub async fn find_named(
        &self,
        scope: Scope,
        limit: usize,
        names: Vec<Name>,
        filter: impl FnMut(&Revocation) -> bool + Send + 'static,
    ) -> Result<Results, SearchError> {
        let place = Arc::clone(&self.place).try_acquire_owned();
        let place = place.map_err(|_| SearchError::Busy)?;
        let search = self.clone();
        let searched = tokio::task::spawn_blocking(move || {
            let _place = place;
            match search.catalogue() {
                Some(mut catalogue) => {
                    let look = |view: &View<'_>| {
                        search.look(view, &mut catalogue, (scope, limit), &names, filter)
                    };
                    embedded::view(&search.copy, look).map_err(SearchError::Unreadable)
                }
                None => search.run(scope, limit, filter),
            }
        });
        searched
            .await
            .map_err(|died| SearchError::Unreadable(died.to_string()))?
    }

    /// Searches with the help of the catalogue.
    fn look(
        &self,
        view: &View<'_>,
        catalogue: &mut Catalogue,
        (scope, limit): (Scope, usize),
        names: &[Name],
        mut filter: impl FnMut(&Revocation) -> bool,
    ) -> Result<Results, String> {
        catalogue.catch_up(view, || false)?;
        let catalogue = &*catalogue;
        let now = self.clock.steady_now();
        // Returns whether it is lifted, if it is wanted.
        let mut wanted = |record: &Revocation| {
            let until = self.retention.forget_after(record);
            if record.action != Action::Revoke || until < now || !filter(record) {
                return Ok(None);
            }
            let is_lifted = is_lifted(view, catalogue, record)?;
            let is_wanted = scope == Scope::LiftedToo || !is_lifted;
            Ok::<_, String>(is_wanted.then_some(is_lifted))
        };
        let mut found = Vec::new();
        let mut visit = |record: Arc<Revocation>, position| {
            if let Some(is_lifted) = wanted(&record)?
                && let Some(until) = self.first(view, catalogue, &record, position)?
            {
                found.push((record, until, is_lifted));
            }
            Ok(stop_if(found.len() > limit))
        };
        if names.is_empty() {
            view.backwards(&mut visit)?;
        }
        for position in catalogue.named(names).into_iter().rev() {
            if let Some(record) = view.at(position)?
                && visit(record, position)?.is_break()
            {
                break;
            }
        }
        let mut newest = Newest::new(limit);
        for (record, until, is_lifted) in found.iter().rev() {
            newest.add(record, *until, *is_lifted);
        }
        Ok(newest.into_results())
    }

    /// Returns when a revocation may be forgotten if this is the first live record of it, however often the log has it.
    fn first(
        &self,
        view: &View<'_>,
        catalogue: &Catalogue,
        record: &Revocation,
        position: u64,
    ) -> Result<Option<UnixMillis>, String> {
        let mut last = self.retention.forget_after(record);
        let now = self.clock.steady_now();
        for other in catalogue.copies(record) {
            if other == position {
                continue;
            }
            let Some(other_record) = view.at(other)? else {
                continue;
            };
            let is_same = other_record.action == Action::Revoke
                && identity(&other_record) == identity(record);
            let until = self.retention.forget_after(&other_record);
            if is_same && until >= now {
                if other < position {
                    return Ok(None);
                }
                last = last.max(until);
            }
        }
        Ok(Some(last))
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

/// Returns whether a lift takes the revocation back.
fn is_lifted(view: &View<'_>, catalogue: &Catalogue, record: &Revocation) -> Result<bool, String> {
    for position in catalogue.lifts(record) {
        if let Some(lift) = view.at(position)?
            && lift.action == Action::Lift
            && lift.occurred_at >= record.occurred_at
            && (&lift.source, &lift.cause, &lift.target)
                == (&record.source, &record.cause, &record.target)
        {
            return Ok(true);
        }
    }
    Ok(false)
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
