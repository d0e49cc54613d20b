//! Revocations: the record, the durable log, the follower that tails it and the index that the
//! request path reads.
//!
//! [`open`] builds all of it. [`Writer`] is for the event path, [`Reader`] for the request path;
//! neither sees the other. Between them lie the log and the [`Follower`], which alone writes the
//! [`Index`].

pub mod config;
mod feed;
pub mod follow;
pub mod history;
pub mod index;
pub mod log;
mod metrics;
mod patience;
pub mod reader;
pub mod record;
pub mod retention;
mod steady;
pub mod transfer;
pub mod writer;

#[cfg(test)]
mod tests;

pub use config::{Config, Exception, WhenStale};
pub use follow::Follower;
pub use history::Histories;
pub use index::Index;
pub use metrics::Metrics;
pub use reader::{Clear, Reader, Standing};
pub use record::{Action, Draft, Revocation, Target, Terms, View};
pub use retention::{Issuer, Retention};
pub use writer::Writer;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;

use crate::core::clock::{Clock, UnixMillis};
use crate::core::kv::KeyValueStore;
use crate::core::lifetime::Current;
use crate::core::readiness::Readiness;

use log::Log;
use patience::Patience;

/// How long it takes at most until every replica has learned of what is in an engine's log.
const SPREAD: Duration = Duration::from_mins(1);

/// Everything that the rest of the program needs of revocations.
pub struct Parts {
    /// For the event path.
    pub writer: Writer,
    /// For the request path.
    pub reader: Reader,
    /// To be run as a task.
    pub follower: Follower,
    /// To be called before the metrics are read: what the index holds is counted then, and the age
    /// of the feed is taken.
    pub refresh: Box<dyn Fn() + Send + Sync>,
    pub keep: Arc<dyn KeyValueStore>,
    /// Milliseconds since the epoch: tokens that were good until before it (`exp` + leeway) must
    /// be refused, whatever the clock says. See [`Index::horizon`].
    pub horizon: Arc<AtomicU64>,
    /// By issuer: what `verify` must hold tokens against.
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

/// Builds the parts around a store that is open; it forgets by `retention`. See [`open`].
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
    let histories = Histories::new(
        issuers,
        &*store.keep,
        retention.clone(),
        config.retention.map_or(Duration::ZERO, |floor| floor.0),
        match config.store {
            log::Config::Embedded(_) => Duration::ZERO,
            _ => SPREAD,
        },
    );
    let histories = histories.map_err(OpenError::Lifetimes)?;
    let lifetimes = histories.current();
    let core = Core::new(
        config,
        issuers,
        Base {
            log: store.log,
            horizon: Arc::clone(&store.horizon),
            retention,
            histories,
            clock: clock.clone(),
            readiness: readiness.clone(),
            metrics: Arc::clone(&metrics),
        },
    );
    let (index, feed) = (
        Arc::clone(&core.writer.index),
        Arc::clone(&core.follower.feed),
    );
    Ok(Parts {
        refresh: Box::new(move || {
            metrics.index(&index);
            metrics.feed_age(feed.age());
        }),
        writer: core.writer,
        reader: core.reader,
        follower: core.follower,
        keep: store.keep,
        horizon: store.horizon,
        lifetimes,
    })
}

/// What the moving parts stand on.
struct Base {
    log: Arc<dyn Log>,
    horizon: Arc<AtomicU64>,
    retention: Retention,
    histories: Histories,
    clock: Clock,
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

/// The moving parts, over any log.
struct Core {
    writer: Writer,
    reader: Reader,
    follower: Follower,
}

impl Core {
    fn new(config: &Config, issuers: &[Issuer], base: Base) -> Self {
        base.readiness
            .wait_for(follow::AWAITED, "the log of revocations is being replayed");
        let index = Arc::new(Index::new(base.horizon));
        let feed = Arc::new(feed::FeedState::new(base.clock.clone()));
        let patience = Arc::new(Patience::new(config, issuers));
        let (applied, watcher) = watch::channel(None);
        Self {
            writer: Writer {
                log: Arc::clone(&base.log),
                index: Arc::clone(&index),
                retention: base.retention.clone(),
                clock: base.clock.clone(),
                applied: watcher,
                sync_timeout: config.sync_timeout.0,
                metrics: Arc::clone(&base.metrics),
            },
            reader: Reader::new(Arc::clone(&index), Arc::clone(&feed), Arc::clone(&patience)),
            follower: Follower {
                log: base.log,
                index,
                retention: base.retention,
                steady: steady::Steady::new(base.clock.clone()),
                clock: base.clock,
                feed,
                applied,
                readiness: base.readiness,
                metrics: base.metrics,
                warn_live_per_shape: config.warn_live_per_shape,
                warned: BTreeSet::new(),
                patience,
                histories: base.histories,
                writing: None,
                withdrawn: false,
                replayed_so_far: 0,
                made_room: false,
            },
        }
    }
}

/// The terms that follow from the issuers' configuration alone.
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
