//! Revocations: the record, the durable log, the follower that tails it, and the index that the
//! request path reads.
//!
//! [`open`] builds all of them. The event path gets a [`Writer`], the request path a [`Reader`]; neither
//! sees the other. The [`Follower`] reads the log and is the only writer of the [`Index`].

mod agree;
pub(crate) mod config;
mod effects;
mod feed;
pub(crate) mod follow;
pub(crate) mod history;
pub(crate) mod index;
pub mod log;
mod metrics;
pub mod notes;
mod patience;
mod reach;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod retention;
pub(crate) mod search;
mod status;
pub(crate) mod transfer;
pub(crate) mod turns;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

pub use agree::Agree;
pub use config::{Config, Exception, WhenStale};
pub use effects::{Effect, Position, Unwatched, Watcher};
pub use follow::Follower;
pub use history::{Histories, provisional};
pub use index::{Index, Match, Matched, UnknownAddress};
pub use metrics::Metrics;
pub use notes::Notes;
pub use reach::refused_by;
pub use reader::{Clear, Reader, Standing};
pub use record::{Action, Draft, Revocation, SHADOW, Target, Terms};
pub use retention::{Issuer, Retention};
pub use search::Search;
pub use status::{Monitor, Status};
pub(crate) use turns::Turns;
pub use writer::Writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::core::clock::{Clock, UnixMillis};
use crate::core::horizon::Horizon;
use crate::core::kv::KeyValueStore;
use crate::core::lifetime::Current;
use crate::core::readiness::Readiness;

use history::SPREAD;

/// What the rest of the program needs.
pub struct Parts {
    /// For the event path.
    pub writer: Writer,
    /// For the request path.
    pub reader: Reader,
    /// For operators.
    pub search: Search,
    pub monitor: Monitor,
    /// For those that ask providers for events.
    pub(crate) turns: Turns,
    /// For those that keep something in the log.
    pub notes: Arc<Notes>,
    /// For those who change the configuration.
    pub agree: Agree,
    /// To be run as a task.
    pub follower: Follower,
    /// To be called at a scrape: sets the metrics of the index and the age of the feed.
    pub refresh: Box<dyn Fn() + Send + Sync>,
    pub keep: Arc<dyn KeyValueStore>,
    pub horizon: Horizon,
    /// By issuer: what `verify` holds tokens against.
    pub lifetimes: HashMap<String, Current>,
}

/// Why revocations cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] log::OpenError),
    #[error("{0}")]
    Lifetimes(String),
}

/// Opens the store and builds the parts around it. Blocks on the disk; must be called within a
/// tokio runtime. Readiness waits for the follower from here on.
///
/// # Errors
/// When the store cannot be opened, or its history cannot be read.
pub fn open(
    config: &Config,
    issuers: &[Issuer],
    clock: &Clock,
    readiness: &Readiness,
    metrics: Arc<Metrics>,
) -> Result<Parts, OpenError> {
    let retention = Retention::default();
    let store = log::open(&config.store, &config.local, clock, readiness, &retention)?;
    over(store, retention, config, issuers, clock, readiness, metrics)
}

/// Builds the parts around an open store, which forgets by `retention`. See [`open`].
///
/// # Errors
/// When the store's history cannot be read.
pub fn over(
    store: log::Store,
    retention: Retention,
    config: &Config,
    issuers: &[Issuer],
    clock: &Clock,
    readiness: &Readiness,
    metrics: Arc<Metrics>,
) -> Result<Parts, OpenError> {
    readiness.wait_for(follow::AWAITED, "the log of revocations is being replayed");
    let is_alone = matches!(config.store, log::Config::Embedded(_));
    let floor = config.retention.map_or(Duration::ZERO, |floor| floor.0);
    let spread = if is_alone { Duration::ZERO } else { SPREAD };
    let histories = Histories::new(issuers, &*store.keep, retention.clone(), floor, spread);
    let histories = histories.map_err(OpenError::Lifetimes)?;
    let lifetimes = histories.current();
    let index = Arc::new(Index::new(store.horizon.clone()));
    let reader = Reader::new(Arc::clone(&index), clock, config, issuers);
    let refresh = refresher(&reader, &metrics);
    let (applied, watcher) = watch::channel(None);
    let writer = Writer {
        log: store.log,
        index,
        retention,
        clock: clock.clone(),
        applied: watcher,
        histories: Arc::default(),
        sync_timeout: config.sync_timeout.0,
        metrics,
    };
    let known = (turns::Known::default(), notes::Known::default());
    let turns = Turns::new(&writer, known.0.clone(), is_alone);
    let notes = Notes::new(&writer, &reader, known.1.clone(), is_alone);
    let (agree, agreement) = agree::channel(&reader, Arc::clone(&store.keep));
    let bounds = (histories, agreement);
    let follower = Follower::new(config, &writer, &reader, applied, readiness, known, bounds);
    Ok(Parts {
        turns,
        notes: Arc::new(notes),
        search: Search::new(config, &writer),
        monitor: Monitor::new(&writer, &reader, follower.effects()),
        follower,
        agree,
        refresh,
        writer,
        reader,
        keep: store.keep,
        horizon: store.horizon,
        lifetimes,
    })
}

/// Returns what sets the metrics of the index and the age of the feed.
fn refresher(reader: &Reader, metrics: &Arc<Metrics>) -> Box<dyn Fn() + Send + Sync> {
    let (index, feed) = (Arc::clone(&reader.index), Arc::clone(&reader.feed));
    let metrics = Arc::clone(metrics);
    Box::new(move || {
        metrics.index(&index);
        metrics.feed_age.set(feed.age().as_secs_f64());
    })
}

/// Returns the terms that follow from the issuers' configuration alone.
fn terms_of(issuers: &[Issuer]) -> HashMap<String, Terms> {
    let terms = |issuer: &Issuer| {
        let terms = Terms {
            longest_life: issuer.longest_life(),
            leeway: issuer.leeway,
            not_before: UnixMillis::default(),
        };
        (issuer.issuer.clone(), terms)
    };
    issuers.iter().map(terms).collect()
}
