//! The follower: the only writer of the index. It tails the log, also for events that this very
//! replica received, so that every replica learns of a revocation in the same way.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::core::clock::{Clock, Moment, UnixMillis};
use crate::core::readiness::Readiness;

use super::feed::FeedState;
use super::log::{Cursor, Feed, Log, Records};
use super::patience::Patience;
use super::retention::Retention;
use super::steady::Steady;
use super::{Histories, Index, Metrics};

/// The name under which the replay is awaited.
pub(super) const AWAITED: &str = "revocations";

/// The names under which trouble is told.
const CLOCKS: &str = "clocks";
const WRITING: &str = "revocations_write";

const TICK: Duration = Duration::from_millis(100);

/// Once through the index in 51 seconds: a revocation that is over does no harm but takes room.
const SHARDS_PER_TICK: usize = 2;

/// See [`Follower::make_room`].
const PART_THAT_TELLS: usize = 32;

/// Follows the log until it is told to stop.
pub struct Follower {
    pub(super) log: Arc<dyn Log>,
    pub(super) index: Arc<Index>,
    pub(super) retention: Retention,
    pub(super) clock: Clock,
    pub(super) steady: Steady,
    pub(super) feed: Arc<FeedState>,
    pub(super) applied: watch::Sender<Option<Cursor>>,
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
    pub(super) warn_live_per_shape: usize,
    pub(super) warned: BTreeSet<String>,
    pub(super) patience: Arc<Patience>,
    pub(super) histories: Histories,
    /// Writes to the log what our configuration changes.
    pub(super) writing: Option<JoinHandle<()>>,
    /// Whether proxies were told to go elsewhere because the feed is stale.
    pub(super) withdrawn: bool,
    /// Records that the replay has delivered.
    pub(super) replayed_so_far: usize,
    pub(super) made_room: bool,
}

impl Follower {
    /// Runs until `shutdown`, and until what it enforces is on this replica's own disk.
    ///
    /// # Errors
    /// When the log ended or failed. Nothing is enforced any more that comes from now on, so the
    /// process must end.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), String> {
        let mut feed = self.log.follow(None);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = tick.tick() => self.sweep(),
                next = feed.next() => match next {
                    Some(next) => self.take(next)?,
                    None => return Err(self.why_it_ended()),
                },
            }
        }
        let applied = *self.applied.borrow();
        // What is not replayed yet comes from the disk.
        if let Some(at) = applied
            && self.feed.is_replayed()
        {
            self.log.kept(at).await;
        }
        Ok(())
    }

    fn take(&mut self, feed: Feed) -> Result<(), String> {
        match feed {
            Feed::Records(records, cursor) => {
                self.apply(&records)?;
                self.applied.send_replace(Some(cursor));
            }
            Feed::InSync(cursor, asked) => {
                self.applied.send_replace(Some(cursor));
                if !self.agree_on_bounds() {
                    return Ok(());
                }
                self.feed_reaches(asked);
                self.readiness.recover(AWAITED);
                self.offer_or_withdraw();
            }
            Feed::Restored(at) => {
                self.histories.prepare(self.now_or_horizon());
                self.histories.assume_ours();
                let now = self.clock.moment();
                self.feed_reaches(now.minus(self.age_of(at)));
            }
            Feed::Lost(why) => {
                tracing::warn!(why, "the log of revocations is out of reach");
                self.readiness.degrade(AWAITED, why);
            }
            Feed::Reset(cursor) => {
                tracing::warn!("the log has another history: replaying all of it");
                self.histories.write_again();
                self.applied.send_replace(Some(cursor));
            }
        }
        Ok(())
    }

    /// Whether the log knows of our configuration, or we judge tokens by it already. Has it told
    /// otherwise.
    fn agree_on_bounds(&mut self) -> bool {
        self.histories.prepare(self.now_or_horizon());
        let ours = self.histories.unwritten();
        if ours.is_empty() {
            return true;
        }
        if self.writing.as_ref().is_none_or(JoinHandle::is_finished) {
            let log = Arc::clone(&self.log);
            self.writing = Some(tokio::spawn(async move {
                if let Err(error) = log.append(ours).await {
                    tracing::warn!(%error, "max_token_lifetime and leeway cannot be written to the \
                        log of revocations, where other replicas learn of them; trying again");
                }
            }));
        }
        self.feed.is_replayed()
    }

    /// What was forgotten was forgotten under the old bounds, even if the clock stepped back since.
    fn now_or_horizon(&self) -> UnixMillis {
        self.clock.now().max(self.index.horizon())
    }

    fn apply(&mut self, records: &Records) -> Result<(), String> {
        // First: they say how long the others are remembered.
        if records.have_bounds() {
            records
                .iter()
                .for_each(|record| self.histories.learn(&record));
        }
        let forget_after = self.retention.judge();
        let with_times = records.iter().map(|record| {
            let forget_after = forget_after(&record);
            (record, forget_after)
        });
        let applied = self.index.apply_all(with_times);
        applied.map_err(|error| error.to_string())?;
        if !self.feed.is_replayed() {
            self.metrics.replayed(records.len());
            self.make_room(records);
            return Ok(());
        }
        let now = self.clock.now();
        for record in records {
            let since_receipt = now.since(record.received_at);
            self.metrics
                .applied(since_receipt, now.since(record.occurred_at));
        }
        Ok(())
    }

    /// The first part of a long log tells how much of it is live, and so what the rest will take.
    /// A log may well have many records that come to one entry.
    fn make_room(&mut self, records: &Records) {
        self.replayed_so_far += records.len();
        let so_far = self.replayed_so_far;
        let all = so_far + records.to_come();
        if self.made_room || so_far < all / PART_THAT_TELLS {
            return;
        }
        self.made_room = true;
        let live = self.index.len();
        self.index.reserve(live.saturating_mul(all) / so_far.max(1));
    }

    /// A moment that is still to come tells that the clock was set back since, and not how far.
    fn age_of(&self, at: UnixMillis) -> Duration {
        let now = self.clock.now();
        if at > now {
            return Duration::MAX;
        }
        now.since(at)
    }

    /// Notes that the index has everything that the log had at `then`. Takes the moment and not its
    /// age: this thread may stand still before it has written it down.
    fn feed_reaches(&self, then: Moment) {
        let first = !self.feed.is_replayed();
        self.feed.was_in_sync(then);
        if first {
            self.replayed();
        }
    }

    fn replayed(&self) {
        self.histories.warn_of_differences();
        let (live, age) = (self.index.len(), self.feed.age());
        tracing::info!(live, ?age, "the log of revocations is replayed");
        self.readiness.arrived(AWAITED);
    }

    fn sweep(&mut self) {
        let at = *self.applied.borrow();
        self.metrics.feed_lag(at.and_then(|at| self.log.behind(at)));
        self.watch_clocks();
        self.watch_writing();
        if !self.feed.is_replayed() {
            return;
        }
        self.offer_or_withdraw();
        let swept = self.index.sweep(self.steady.now(), SHARDS_PER_TICK);
        self.metrics.forgotten(swept.forgotten);
        if swept.round_is_over {
            self.warn_of_crowds();
        }
    }

    /// Says so when clocks disagree: nothing is forgotten by one that others contradict.
    fn watch_clocks(&mut self) {
        let jumped = self.steady.ahead();
        let apart = self.log.clock_apart().unwrap_or_default();
        self.metrics.clocks(self.index.horizon(), jumped, apart);
        let why = if jumped > Duration::ZERO {
            format!("the wall clock jumped forward by {} s", jumped.as_secs())
        } else if apart != 0 {
            let direction = if apart > 0 { "ahead of" } else { "behind" };
            let seconds = apart.unsigned_abs() / 1000;
            format!("the clock of the store's server is {seconds} s {direction} this machine's")
        } else {
            return self.readiness.recover(CLOCKS);
        };
        self.readiness
            .degrade(CLOCKS, format!("{why}; see docs/recovery.md"));
    }

    fn watch_writing(&self) {
        let trouble = self.log.unwritable();
        self.metrics.writable(trouble.is_none());
        match trouble {
            Some(why) => self.readiness.degrade(WRITING, why),
            None => self.readiness.recover(WRITING),
        }
    }

    /// A stale replica that refuses everybody is of no use to a proxy that has others. It still
    /// answers those who ask.
    fn offer_or_withdraw(&mut self) {
        let refuses = self.patience.is_over_for_all(self.feed.age());
        if refuses == self.withdrawn {
            return;
        }
        self.withdrawn = refuses;
        if refuses {
            let why = "the log of revocations was not heard for longer than max_staleness";
            tracing::error!("{why}: every request is refused");
            self.readiness.wait_for(AWAITED, why);
        } else {
            tracing::info!("the log of revocations is heard again");
            self.readiness.arrived(AWAITED);
        }
    }

    /// Once per shape and crossing of the level.
    fn warn_of_crowds(&mut self) {
        for (claims, live) in self.index.live() {
            if live <= self.warn_live_per_shape {
                self.warned.remove(&claims);
            } else if self.warned.insert(claims.clone()) {
                tracing::warn!(
                    claims,
                    live,
                    level = self.warn_live_per_shape,
                    "more revocations are live than expected; where whole groups are meant, one \
                     revocation for all of an issuer's tokens replaces many"
                );
            }
        }
    }

    fn why_it_ended(&self) -> String {
        let why = self.log.failure();
        why.unwrap_or_else(|| "the log of revocations ended its feed".to_owned())
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}
