//! Asks all providers that can be asked, for ever.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::access::DynAccess;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ask::{Ask, Since, Trouble};
use super::metrics::Metrics;
use crate::core::clock::Clock;
use crate::core::readiness::Readiness;
use crate::events::answer::Failure;
use crate::events::receiver::Receiver;
use crate::events::serve::Current;
use crate::events::source::Source;
use crate::net::Backoff;
use crate::revocation::Turns;
use crate::revocation::log::AppendError;

/// The pauses after failures.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// How often a replica looks whether the turn is free.
const STAND_BY: Duration = Duration::from_secs(10);

/// A source that failed for this long is reported as degraded.
const LONG: Duration = Duration::from_mins(2);

/// How often it is looked whether the configuration was replaced.
const TICK: Duration = Duration::from_secs(1);

/// Asks providers for events.
#[derive(Debug)]
pub(crate) struct Pull {
    turns: Arc<Turns>,
    metrics: Arc<Metrics>,
}

impl Pull {
    /// Registers its metrics.
    #[must_use]
    pub(crate) fn new(turns: Turns, clock: Clock, registry: &mut Registry) -> Self {
        Self {
            turns: Arc::new(turns),
            metrics: Arc::new(Metrics::register(registry, clock)),
        }
    }

    /// Returns what brings the metrics up to date, to be called at a scrape.
    #[must_use]
    pub(crate) fn refresh(&self) -> Box<dyn Fn() + Send + Sync> {
        let metrics = Arc::clone(&self.metrics);
        Box::new(move || metrics.refresh())
    }

    /// Asks the providers of the configuration in use until `shutdown`. Begins once this replica is ready,
    /// because the log then has told the cursors.
    pub(crate) async fn run(
        self,
        current: Current,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) {
        let work = async {
            // The sender lives in `readiness`, so this cannot fail.
            let _ = readiness.watch().wait_for(|state| state.started).await;
            loop {
                let receiver = Arc::clone(&current.load());
                let mut asked = JoinSet::new();
                for source in receiver.sources().filter(|source| source.asker.is_some()) {
                    let poller = Poller {
                        receiver: Arc::clone(&receiver),
                        source: Arc::clone(source),
                        turns: Arc::clone(&self.turns),
                        readiness: readiness.clone(),
                        metrics: Arc::clone(&self.metrics),
                    };
                    asked.spawn(poller.run());
                }
                while Arc::ptr_eq(&current.load(), &receiver) {
                    tokio::time::sleep(TICK).await;
                }
                // What was asked for and not recorded is asked for again.
                asked.shutdown().await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }
}

struct Poller {
    receiver: Arc<Receiver>,
    source: Arc<Source>,
    turns: Arc<Turns>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

/// What follows a round without trouble.
enum Next {
    Again,
    Later,
    /// Another replica asks.
    StandBy,
}

impl Poller {
    async fn run(self) {
        let Some(asker) = self.source.asker.as_deref() else {
            return;
        };
        let name = &*self.source.name;
        let place = format!("pull of {name}");
        let mut pauses = Backoff::between(SHORTEST_PAUSE, LONGEST_PAUSE);
        loop {
            let pause = match self.round(asker).await {
                Ok((next, warning)) => {
                    match warning {
                        Some(why) => self.readiness.degrade(&place, why),
                        None => self.readiness.recover(&place),
                    }
                    pauses = Backoff::between(SHORTEST_PAUSE, LONGEST_PAUSE);
                    match next {
                        Next::Again => continue,
                        Next::Later => asker.every(),
                        Next::StandBy => STAND_BY,
                    }
                }
                Err(Trouble {
                    why, retry_after, ..
                }) => {
                    tracing::warn!(
                        source = name,
                        why,
                        "events cannot be asked for; trying again"
                    );
                    if self.metrics.failed(name) >= LONG {
                        self.readiness.degrade(&place, why);
                    }
                    pauses.pause().max(retry_after.unwrap_or_default())
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks once, and moves the cursor when everything in the answer is durable. Returns the warning of
    /// the answer too.
    async fn round(&self, asker: &dyn Ask) -> Result<(Next, Option<String>), Trouble> {
        let (name, issuer) = (&*self.source.name, &*self.source.issuer);
        let cannot = |error: AppendError| Trouble::from(error.to_string());
        if !self.turns.take(name, issuer).await.map_err(cannot)? {
            self.metrics.stands_by(name);
            return Ok((Next::StandBy, None));
        }
        let cursor = self.turns.cursor(name);
        let since = Since {
            cursor: cursor.as_deref(),
            earliest: self.turns.earliest(issuer),
            now: self.turns.now(),
        };
        let page = asker.ask(since).await?;
        let mut ended = Vec::with_capacity(page.events.len());
        for body in page.events {
            let result = self.receiver.take(&self.source, body).await;
            let label = match &result {
                Ok(ended) => ended.label(),
                Err(failure) => failure.ended().label(),
            };
            self.metrics.found(name, label);
            ended.push(result);
        }
        asker.settled(&ended);
        let mut failures = ended.iter().filter_map(|result| result.as_ref().err());
        if failures.any(Failure::passes) {
            let why = "an event that was found could not be recorded; it is asked for again";
            return Err(why.to_owned().into());
        }
        let advanced = self.turns.advance(name, issuer, page.cursor).await;
        advanced.map_err(cannot)?;
        self.metrics.answered(name, !page.more);
        let next = if page.more { Next::Again } else { Next::Later };
        Ok((next, page.warning))
    }
}
