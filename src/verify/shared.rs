//! What outlives a configuration: the verified tokens, and the tasks that keep keys fresh.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::cache::KnownTokens;
use super::config::CacheConfig;
use super::key_config::KeysConfig;
use super::metrics::Metrics;
use super::refresh::PLACES_IN_ALL;
use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::core::kv::KeyValueStore;
use crate::core::lifetime::Current;
use crate::core::readiness::Readiness;

/// What the verifiers of successive configurations share.
pub struct Shared {
    pub(super) parts: Parts,
    /// Limits how many requests wait for keys, over all issuers.
    pub(super) places: Arc<Semaphore>,
    pub(super) tokens: KnownTokens,
    pub(super) latest_feeds: Arc<LatestFeeds>,
    tasks: mpsc::UnboundedSender<Task>,
    begun: Mutex<mpsc::UnboundedReceiver<Task>>,
}

type Task = BoxFuture<'static, ()>;

/// By name: a mark of the feed that was made last and reports under it.
pub(super) type LatestFeeds = std::sync::Mutex<HashMap<String, Arc<()>>>;

/// The parts of the program that verification needs.
pub struct Parts {
    pub keys: KeysConfig,
    /// By issuer of the first configuration: the history of its `max_token_lifetime`.
    pub lifetimes: HashMap<String, Current>,
    pub keep: Arc<dyn KeyValueStore>,
    pub clock: Clock,
    pub readiness: Readiness,
    pub horizon: Horizon,
    pub metrics: Metrics,
}

impl Shared {
    #[must_use]
    pub fn new(cache: &CacheConfig, parts: Parts) -> Arc<Self> {
        let (tasks, begun) = mpsc::unbounded_channel();
        Arc::new(Self {
            places: Arc::new(Semaphore::new(PLACES_IN_ALL)),
            tokens: KnownTokens::new(cache, parts.clock.clone()),
            latest_feeds: Arc::default(),
            parts,
            tasks,
            begun: Mutex::new(begun),
        })
    }

    /// Keeps the keys and secrets of every issuer fresh until the shutdown.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut begun = self.begun.lock().await;
        let mut running = FuturesUnordered::new();
        let work = async {
            loop {
                tokio::select! {
                    Some(task) = begun.recv() => running.push(task),
                    Some(()) = running.next() => {}
                }
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    /// Lets [`Shared::run`] run a task until the guard is dropped.
    pub(super) fn begin<T>(&self, task: impl Future<Output = T> + Send + 'static) -> DropGuard {
        let stop = CancellationToken::new();
        let until = stop.clone();
        let task = async move { drop(until.run_until_cancelled(task).await) };
        // It is received as long as `self` lives.
        let _ = self.tasks.send(Box::pin(task));
        stop.drop_guard()
    }
}
