//! Applies a changed configuration file while the process runs.
//!
//! The whole file is read, checked and built beside the configuration in use, and then takes its place
//! in one step. If anything is wrong with it, the configuration in use stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::block_in_place;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::bounds::{Bounds, Wanted};
use super::generation::{Current, Generation, Shared};
use crate::admin::{Configuration, Failure, Question, Reload};
use crate::config::{self, Config};
use crate::core::metrics::add;
use crate::core::stamp::Stamp;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A file that cannot be applied is tried again after this time: a secret that it names may come late.
const RETRY: Duration = Duration::from_secs(10);

/// Applies the configuration file when it changes, at SIGHUP, and when the admin API asks.
pub(super) struct Reloader {
    path: PathBuf,
    stamp: Stamp,
    retry: Option<Instant>,
    /// The configuration in use.
    applied: Config,
    bounds: Bounds,
    shared: Shared,
    current: Current,
    state: watch::Sender<Configuration>,
    asked: mpsc::Receiver<Question>,
    hangup: Signal,
    metrics: Metrics,
}

impl Reloader {
    /// Returns the reloader and its end for the admin API.
    ///
    /// # Errors
    /// When the signal handler cannot be installed.
    pub(super) fn new(
        path: &Path,
        config: &Config,
        current: &Current,
        (shared, bounds): (Shared, Bounds),
        registry: &mut Registry,
    ) -> Result<(Self, Reload), String> {
        let hangup = signal(SignalKind::hangup());
        let hangup = hangup.map_err(|error| format!("cannot install signal handlers: {error}"))?;
        let first = Configuration {
            generation: 1,
            hash: config.hash.clone(),
            insecure: config.insecure.clone(),
            failure: None,
        };
        warn_of_insecurity(&first.insecure);
        let metrics = Metrics::register(registry);
        metrics.show(&first);
        current.load().applied();
        let (ask, asked) = mpsc::channel(1);
        let (state, watcher) = watch::channel(first);
        let reloader = Self {
            path: path.to_owned(),
            // The file may have changed since it was read.
            stamp: Stamp::default(),
            retry: None,
            bounds,
            applied: config.clone(),
            shared,
            current: Arc::clone(current),
            state,
            asked,
            hangup,
            metrics,
        };
        let state = watcher;
        Ok((reloader, Reload { state, ask }))
    }

    /// Runs until `shutdown`. Changes nothing before Portcullis is ready.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut states = self.shared.readiness.watch();
        let started = states.wait_for(|state| state.started);
        if shutdown.run_until_cancelled(started).await.is_none() {
            return;
        }
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let question = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {
                    if !self.is_due() {
                        continue;
                    }
                    None
                }
                Some(()) = self.hangup.recv() => None,
                Some(question) = self.asked.recv() => Some(question),
            };
            if shutdown.run_until_cancelled(self.reload()).await.is_none() {
                return;
            }
            if let Some(question) = question {
                // Who asked may have gone.
                let _ = question.send(self.state.borrow().clone());
            }
        }
    }

    fn is_due(&self) -> bool {
        let is_over = |at| Instant::now() >= at;
        self.stamp != Stamp::of(&self.path) || self.retry.is_some_and(is_over)
    }

    /// Reads the file and applies it, or notes why it cannot be applied.
    async fn reload(&mut self) {
        // Before the file is read, so that no later change is missed.
        self.stamp = Stamp::of(&self.path);
        let (result, failure) = match self.replace().await {
            Ok(true) => ("applied", None),
            Ok(false) => ("unchanged", None),
            Err(why) => ("failed", Some(why)),
        };
        self.metrics
            .reloads
            .get_or_create(&[("result", result)])
            .inc();
        self.retry = failure.as_ref().map(|_| Instant::now() + RETRY);
        if let Some(line) = self.line(result, failure.as_deref()) {
            self.shared.audit.write("reload", || line).await;
        }
        self.note(failure);
        self.metrics.show(&self.state.borrow());
    }

    /// Replaces the configuration in use, unless the file is the same. Returns whether it did.
    async fn replace(&mut self) -> Result<bool, String> {
        let Some(next) = block_in_place(|| self.build())? else {
            return Ok(false);
        };
        let Next {
            config,
            generation,
            wanted,
        } = next;
        // Until then the keys in use verify tokens.
        generation.gate.verifier.first_fetches().await;
        // Last, because it cannot be taken back: other replicas read it.
        self.bounds.agree(wanted).await?;
        self.bounds.judge_by(&generation.gate.revocations);
        self.apply(config, generation);
        Ok(true)
    }

    /// Builds the successor of the configuration in use; `None` if the file is the one in use.
    fn build(&self) -> Result<Option<Next>, String> {
        let config = config::load(&self.path).map_err(|report| report.to_string())?;
        if config.hash == self.applied.hash {
            return Ok(None);
        }
        let fixed = self.fixed(&config);
        if !fixed.is_empty() {
            let fixed = fixed.join(", ");
            return Err(format!("these changes need a restart: {fixed}"));
        }
        // A door keeps answers beside the tokens.
        let same_answers =
            config.answer == self.applied.answer && config.routes() == self.applied.routes();
        let same_answers = same_answers && config.token == self.applied.token;
        let in_use = self.current.load();
        let (verifier, wanted) = (&in_use.gate.verifier, self.bounds.wanted(&config));
        let verifier = verifier.succeed(&config.issuers, &wanted.lifetimes(), same_answers);
        let verifier = verifier.map_err(|errors| errors.messages().join("; "))?;
        let generation = self.shared.generation(&config, verifier)?;
        Ok(Some(Next {
            config,
            generation,
            wanted,
        }))
    }

    /// Returns the changed settings that cannot change while the process runs.
    fn fixed(&self, next: &Config) -> Vec<&'static str> {
        let [applied, next_outline] = self.applied.outline.side_by_side(&next.outline);
        config::at_start(&config::changes(&applied, &next_outline))
    }

    fn apply(&mut self, config: Config, generation: Generation) {
        generation.applied();
        self.current.store(Arc::new(generation));
        self.applied = config;
        let Config { hash, insecure, .. } = &self.applied;
        warn_of_insecurity(insecure);
        self.state.send_modify(|state| {
            state.generation += 1;
            state.hash.clone_from(hash);
            state.insecure.clone_from(insecure);
            tracing::info!(generation = state.generation, hash, "configuration applied");
        });
    }

    /// Returns the line of an attempt for the audit trail, unless it was like the one before.
    fn line(&self, result: &str, failure: Option<&str>) -> Option<Value> {
        let state = self.state.borrow();
        let before = state.failure.as_ref().map(|failure| &*failure.why);
        (result == "applied" || failure != before).then(|| {
            json!({
                "outcome": result,
                "generation": state.generation,
                "hash": state.hash,
                "why": failure,
            })
        })
    }

    fn note(&self, failure: Option<String>) {
        self.state.send_modify(|state| match failure {
            None => {
                if state.failure.take().is_some() {
                    tracing::info!("the configuration file is in use again");
                }
            }
            Some(why) => {
                let since = state.failure.as_ref().map(|failure| failure.since);
                if state
                    .failure
                    .as_ref()
                    .is_none_or(|failure| failure.why != why)
                {
                    let what = "the configuration file cannot be applied; the last good one stays";
                    tracing::error!(why, "{what}");
                }
                let since = since.unwrap_or_else(|| self.shared.clock.now());
                state.failure = Some(Failure { why, since });
            }
        });
    }
}

fn warn_of_insecurity(settings: &[String]) {
    for setting in settings {
        let what = "insecure: true: what it is for crosses the network in the clear";
        tracing::warn!(setting, "{what}");
    }
}

/// A configuration that is ready to be used.
struct Next {
    config: Config,
    generation: Generation,
    wanted: Wanted,
}

/// The metrics of the configuration.
struct Metrics {
    reloads: Family<[(&'static str, &'static str); 1], Counter>,
    generation: Gauge,
    failing_since: Gauge,
    info: Family<[(&'static str, String); 1], Gauge>,
    insecure: Family<[(&'static str, String); 1], Gauge>,
}

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reloads: add(
                registry,
                "config_reloads",
                "Attempts to apply the configuration file, by result: applied, unchanged, failed",
            ),
            generation: add(
                registry,
                "config_generation",
                "Configurations applied since the start, the first included",
            ),
            failing_since: add(
                registry,
                "config_failing_since_timestamp_seconds",
                "Since when the configuration file cannot be applied; 0 if it is in use",
            ),
            info: add(
                registry,
                "config_hash",
                "The SHA-256 of the configuration file in use, as a label",
            ),
            insecure: add(
                registry,
                "config_insecure",
                "1 for each setting in use that says `insecure: true`",
            ),
        };
        for result in ["applied", "unchanged", "failed"] {
            let _ = metrics.reloads.get_or_create(&[("result", result)]);
        }
        metrics
    }

    fn show(&self, state: &Configuration) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let since = state.failure.as_ref();
        let since = since.map_or(0, |failure| failure.since.seconds());
        self.generation.set(signed(state.generation));
        self.failing_since.set(signed(since));
        self.info.clear();
        let hash = [("hash", state.hash.clone())];
        self.info.get_or_create(&hash).set(1);
        self.insecure.clear();
        for setting in &state.insecure {
            let setting = [("setting", setting.clone())];
            self.insecure.get_or_create(&setting).set(1);
        }
    }
}
