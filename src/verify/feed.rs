//! Keeps one issuer's keys fresh: fetches them, puts them in use, stores them on disk, and waits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::fetch::Obtained;
use super::jwks::KeySet;
use super::kept::Kept;
use super::key_config::KeysConfig;
use super::keyring::Keyring;
use super::metrics::OfKeys;
use super::origin::Origin;
use super::refresh::Refresh;
use super::shared::{LatestFeeds, Shared};
use crate::core::clock::{Clock, UnixMillis};
use crate::core::kv::KeyValueStore;
use crate::core::readiness::Readiness;
use crate::net::Backoff;

/// How often a key file is read again.
const FILE_POLL: Duration = Duration::from_secs(1);
const BACKOFF: Backoff = Backoff::between(Duration::from_secs(1), Duration::from_mins(1));

/// The source of one issuer's keys, and the state of fetching them.
pub(super) struct Feed {
    issuer: String,
    /// Its name in readiness reports.
    name: String,
    origin: Origin,
    keyring: Arc<Keyring>,
    metrics: OfKeys,
    keys: KeysConfig,
    keep: Arc<dyn KeyValueStore>,
    clock: Clock,
    readiness: Readiness,
    latest: Arc<LatestFeeds>,
    mark: Arc<()>,
    pub refresh: Refresh,
}

/// What the loop remembers between two fetches, so that the log says each thing once.
#[derive(Default)]
struct Past {
    /// While fetches fail.
    backoff: Option<Backoff>,
    failure: Option<String>,
    /// Why keys of the last set were skipped.
    skipped: Option<String>,
    /// Whether the last set had no usable key.
    is_empty: bool,
    /// The last good text of a file, which is read far more often than it changes.
    file: Option<Vec<u8>>,
}

impl Feed {
    /// Restores the stored key set. Without one, readiness waits for the first fetch if the process is
    /// starting.
    pub(super) fn new(
        issuer: &str,
        origin: Origin,
        keyring: Arc<Keyring>,
        metrics: OfKeys,
        shared: &Shared,
    ) -> Self {
        let parts = &shared.parts;
        let feed = Self {
            issuer: issuer.to_owned(),
            name: format!("keys {issuer}"),
            origin,
            keyring,
            metrics,
            refresh: Refresh::new(
                parts.keys.cooldown.0,
                parts.keys.timeout.0,
                Arc::clone(&shared.places),
            ),
            keys: parts.keys.clone(),
            keep: Arc::clone(&parts.keep),
            clock: parts.clock.clone(),
            readiness: parts.readiness.clone(),
            latest: Arc::clone(&shared.latest_feeds),
            mark: Arc::new(()),
        };
        let (name, mark) = (feed.name.clone(), Arc::clone(&feed.mark));
        feed.latest().insert(name, mark);
        if !feed.origin.is_file()
            && let Err(why) = feed.restore()
        {
            warn!(issuer, "{why}");
        }
        if !feed.is_loaded() && !feed.readiness.knows() {
            let why = format!("its keys are being loaded from {}", feed.origin.shown());
            feed.readiness.wait_for(&feed.name, why);
        }
        feed
    }

    fn latest(&self) -> MutexGuard<'_, HashMap<String, Arc<()>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restore(&self) -> Result<(), String> {
        let (keep, now) = (&*self.keep, self.clock.now());
        let Some(kept) = Kept::load(keep, &self.issuer, &self.origin.name(), now)? else {
            return Ok(());
        };
        self.adopt(kept.set.as_bytes(), UnixMillis(kept.fetched_at))
            .map_err(|why| format!("the stored keys cannot be used: {why}"))?;
        info!(
            issuer = self.issuer,
            "keys restored from the last good copy"
        );
        Ok(())
    }

    /// Returns how many keys can be used, and when the set was loaded, if it ever was.
    pub(super) fn state(&self) -> (u64, Option<UnixMillis>) {
        self.metrics.state()
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.keyring.is_loaded(self.clock.now())
    }

    /// Fetches for ever. After `startup_timeout` readiness no longer waits for these keys, so that
    /// the tokens of other issuers are served.
    pub(super) async fn run(self: Arc<Self>) -> Infallible {
        let waiting = async {
            sleep(self.keys.startup_timeout.0).await;
            if !self.is_loaded() {
                warn!(issuer = self.issuer, "serving without this issuer's keys");
                self.readiness.arrived(&self.name);
            }
            std::future::pending().await
        };
        tokio::select! {
            never = self.keep_fetching() => never,
            never = waiting => never,
        }
    }

    async fn keep_fetching(&self) -> Infallible {
        let mut past = Past::default();
        let mut next = Instant::now();
        loop {
            self.until(next).await;
            let fetch = self.refresh.begin(self.clock.now());
            let began = Instant::now();
            let outcome = self.load(&mut past, fetch.is_asked_for).await;
            if !self.origin.is_file() {
                self.metrics.fetch_ended(began.elapsed(), outcome.is_err());
            }
            self.refresh.end(fetch, outcome.is_ok());
            next = Instant::now()
                + match outcome {
                    Ok(loaded) => self.succeeded(loaded, &mut past).await,
                    Err(why) => self.failed(why, &mut past),
                };
        }
    }

    /// Waits until `next`, or earlier if somebody asks for a fetch.
    async fn until(&self, mut next: Instant) {
        loop {
            tokio::select! {
                () = sleep_until(next) => return,
                earlier = self.refresh.woken() => next = next.min(earlier),
            }
        }
    }

    /// Fetches the keys and puts them in use. Returns `None` if a file did not change.
    async fn load(
        &self,
        past: &mut Past,
        is_asked_for: bool,
    ) -> Result<Option<(Obtained, UnixMillis)>, String> {
        let failed = |why| {
            self.metrics.failed.inc();
            why
        };
        let obtained = self.origin.obtain(is_asked_for).await.map_err(failed)?;
        if self.origin.is_file() && past.file.as_ref() == Some(&obtained.text) {
            return Ok(None);
        }
        let now = self.clock.now();
        let set = self.adopt(&obtained.text, now).map_err(|why| {
            self.metrics.broken.inc();
            format!("{}: {why}; the keys stay as they were", self.origin.shown())
        })?;
        self.report(&set, past);
        Ok(Some((obtained, now)))
    }

    /// Counts the new set, and logs what is wrong with it unless the log says so already.
    fn report(&self, set: &KeySet, past: &mut Past) {
        const EMPTY: &str = "its key set has no usable key: the old keys are withdrawn, and every token of this issuer is refused";
        let complaint = set.complaint();
        let is_new = past.skipped != complaint;
        let was_empty = std::mem::replace(&mut past.is_empty, set.len() == 0);
        if past.is_empty {
            self.metrics.emptied.inc();
            self.readiness.degrade(&self.name, EMPTY.to_owned());
        } else {
            self.metrics.fetched.inc();
        }
        if past.is_empty && (is_new || !was_empty) {
            let why = complaint.as_deref().unwrap_or("it is empty");
            warn!(issuer = self.issuer, "{EMPTY} ({why})");
        } else if let Some(why) = complaint.as_deref().filter(|_| is_new) {
            warn!(issuer = self.issuer, "some keys cannot be used: {why}");
        }
        past.skipped = complaint;
    }

    fn adopt(&self, text: &[u8], fetched_at: UnixMillis) -> Result<Arc<KeySet>, String> {
        let until = if self.origin.is_file() {
            UnixMillis::MAX
        } else {
            fetched_at.plus(self.keys.max_stale.0)
        };
        let set = self.keyring.replace(text, until)?;
        self.metrics.loaded(&set, fetched_at);
        Ok(set)
    }

    /// Returns how long to wait before the next fetch.
    async fn succeeded(&self, loaded: Option<(Obtained, UnixMillis)>, past: &mut Past) -> Duration {
        self.readiness.arrived(&self.name);
        if !past.is_empty {
            self.readiness.recover(&self.name);
        }
        past.backoff = None;
        past.failure = None;
        let fresh_for = loaded.as_ref().and_then(|(obtained, _)| obtained.fresh_for);
        match loaded {
            Some((obtained, _)) if self.origin.is_file() => past.file = Some(obtained.text),
            Some((obtained, at)) => self.save(obtained.text, at).await,
            None => {}
        }
        if self.origin.is_file() {
            return FILE_POLL;
        }
        let keys = &self.keys;
        let (least, most) = (
            keys.min_refresh.0,
            keys.max_refresh.0.max(keys.min_refresh.0),
        );
        let span = fresh_for.map_or(keys.refresh.0, |span| span.clamp(least, most));
        span.mul_f64(rand::random_range(0.9..=1.0)).max(least)
    }

    /// Stores the set as it was fetched, so that a later version can read more out of it. A failure
    /// harms only a restart.
    async fn save(&self, text: Vec<u8>, at: UnixMillis) {
        let Ok(set) = String::from_utf8(text) else {
            return;
        };
        let kept = Kept {
            origin: self.origin.name(),
            fetched_at: at.0,
            set,
        };
        let (keep, issuer) = (Arc::clone(&self.keep), self.issuer.clone());
        let saved = tokio::task::spawn_blocking(move || kept.save(&*keep, &issuer)).await;
        if let Err(error) = saved.map_err(std::io::Error::other).flatten() {
            warn!(
                issuer = self.issuer,
                "its keys cannot be stored on disk: {error}"
            );
        }
    }

    /// Waits until the first fetch ended, well or badly, or took too long.
    pub(super) async fn first_fetch(&self) {
        if !self.is_loaded() {
            let waiting = self.refresh.first();
            let _ = tokio::time::timeout(self.keys.startup_timeout.0, waiting).await;
        }
    }

    fn failed(&self, why: String, past: &mut Past) -> Duration {
        if past.failure.as_ref() != Some(&why) {
            warn!(issuer = self.issuer, "its keys cannot be loaded: {why}");
        }
        self.readiness.degrade(&self.name, why.clone());
        past.failure = Some(why);
        if self.origin.is_file() {
            return FILE_POLL;
        }
        past.backoff.get_or_insert(BACKOFF).pause()
    }
}

/// The reports on a feed that is gone go with it, unless a later one reports under its name.
impl Drop for Feed {
    fn drop(&mut self) {
        {
            let mut latest = self.latest();
            if latest
                .get(&self.name)
                .is_some_and(|last| !Arc::ptr_eq(last, &self.mark))
            {
                return;
            }
            latest.remove(&self.name);
        }
        self.readiness.arrived(&self.name);
        self.readiness.recover(&self.name);
    }
}
