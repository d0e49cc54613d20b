//! The follower: the only writer of the index. It tails the log, also for events that this replica
//! received itself, so every replica learns of revocations in the same way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::core::clock::{Clock, Moment, UnixMillis};
use crate::core::readiness::Readiness;

use super::agree::Agreement;
use super::effects::Effects;
use super::feed::FeedState;
use super::log::{AppendError, Cursor, Feed, Log, Records};
use super::notes;
use super::retention::Retention;
use super::turns::Known;
use super::{Config, Histories, Index, Metrics, Reader, SPREAD, Writer};

/// The name of the replay in the readiness.
pub(super) const AWAITED: &str = "revocations";

/// The names of what is degraded.
const CLOCKS: &str = "clocks";
const WRITING: &str = "revocations_write";

const TICK: Duration = Duration::from_millis(100);

/// Once through the index in 51 seconds. A revocation that is over takes room and does no harm.
const SHARDS_PER_TICK: usize = 2;

/// See [`Follower::make_room`].
const PART_THAT_TELLS: usize = 32;

/// Follows the log until the shutdown.
#[derive(Debug)]
pub struct Follower {
    log: Arc<dyn Log>,
    index: Arc<Index>,
    retention: Retention,
    clock: Clock,
    feed: Arc<FeedState>,
    applied: watch::Sender<Option<Cursor>>,
    /// See [`Writer::history`].
    begun: Arc<AtomicU64>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    histories: Histories,
    agreement: Agreement,
    turns: Known,
    effects: Effects,
    notes: notes::Known,
    /// Appends our own changes of bounds.
    writing: Option<JoinHandle<()>>,
    /// Whether proxies were told to go elsewhere because the feed is stale.
    withdrawn: bool,
    /// Records that the replay has delivered; `None` once room was made for the rest.
    replayed_so_far: Option<usize>,
    warn_live_per_shape: usize,
    warned: BTreeSet<String>,
}

impl Follower {
    /// Follows the log that `writer` writes, and fills the index that `reader` reads.
    pub(super) fn new(
        config: &Config,
        writer: &Writer,
        reader: &Reader,
        applied: watch::Sender<Option<Cursor>>,
        readiness: &Readiness,
        (turns, notes): (Known, notes::Known),
        (histories, agreement): (Histories, Agreement),
    ) -> Self {
        Self {
            log: Arc::clone(&writer.log),
            index: Arc::clone(&writer.index),
            retention: writer.retention.clone(),
            clock: writer.clock.clone(),
            feed: Arc::clone(&reader.feed),
            applied,
            begun: Arc::clone(&writer.histories),
            readiness: readiness.clone(),
            metrics: Arc::clone(&writer.metrics),
            histories,
            agreement,
            turns,
            effects: Effects::new(&writer.retention),
            notes,
            writing: None,
            withdrawn: false,
            replayed_so_far: Some(0),
            warn_live_per_shape: config.warn_live_per_shape,
            warned: BTreeSet::new(),
        }
    }

    /// Returns what takes effect from now on.
    pub(super) fn effects(&self) -> Effects {
        self.effects.clone()
    }

    /// Runs until `shutdown`, and until everything that it enforces is on this replica's own disk.
    ///
    /// # Errors
    /// When the log ended or failed. The process must end, because nothing new is enforced.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), String> {
        let mut feed = self.log.follow(None);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = tick.tick() => self.sweep(),
                next = feed.next() => {
                    let Some(next) = next else {
                        let why = self.log.failure();
                        let unknown = || "the log of revocations ended its feed".to_owned();
                        return Err(why.unwrap_or_else(unknown));
                    };
                    self.take(next)?;
                    self.agreement.settle(&mut self.histories);
                }
                Some(asked) = self.agreement.question() => {
                    self.agreement.begin(asked, &mut self.histories);
                    self.keep_for_longer();
                }
            }
        }
        let applied = *self.applied.borrow();
        // Before the replay is over, everything comes from the disk.
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
                self.histories.assume_ours(self.now_or_horizon());
                // A time in the future shows that the clock was set back, and not how far.
                let now = self.clock.now();
                let age = if at > now {
                    Duration::MAX
                } else {
                    now.since(at)
                };
                self.feed_reaches(self.clock.moment().minus(age));
            }
            Feed::Lost(why) => {
                tracing::warn!(why, "the log of revocations cannot be reached");
                self.readiness.degrade(AWAITED, why);
            }
            Feed::Reset(cursor) => {
                tracing::warn!("the log of revocations was created anew: replaying all of it");
                self.begun.fetch_add(1, Ordering::Relaxed);
                self.histories.write_again();
                self.turns.forget();
                self.notes.write_again();
                self.applied.send_replace(Some(cursor));
            }
        }
        Ok(())
    }

    /// Returns whether tokens may be judged: the log has our configuration, or did before it began anew.
    /// Otherwise has it written.
    fn agree_on_bounds(&mut self) -> bool {
        let is_replayed = self.feed.is_replayed();
        if let Some(writing) = &self.writing
            && !writing.is_finished()
        {
            return is_replayed || self.histories.is_written();
        }
        let unwritten = self.histories.unwritten(self.now_or_horizon());
        if unwritten.is_empty() {
            return true;
        }
        let log = Arc::clone(&self.log);
        self.writing = Some(tokio::spawn(async move {
            // A raise begins one `SPREAD` after this attempt did.
            let appended = timeout(SPREAD / 2, log.append(unwritten)).await;
            if let Err(error) = appended
                .unwrap_or_else(|_| Err(AppendError::Unknown("no answer in time".to_owned())))
            {
                tracing::warn!(%error, "max_token_lifetime and leeway cannot be written to the log \
                    of revocations, where other replicas learn of them; trying again");
            }
        }));
        is_replayed
    }

    /// Everything up to the horizon was forgotten under the old bounds, even if the clock was set back.
    fn now_or_horizon(&self) -> UnixMillis {
        self.clock.now().max(self.index.horizon())
    }

    fn apply(&mut self, records: &Records) -> Result<(), String> {
        // Bounds first: they decide how long the others are remembered.
        for record in records.iter() {
            self.histories.learn(record);
            self.turns.learn(record, &self.clock);
            self.notes.learn(record);
        }
        self.keep_for_longer();
        let with_times = records.iter().map(|record| {
            let forget_after = self.retention.forget_after(record);
            (&**record, forget_after)
        });
        let applied = self.index.apply_all(with_times);
        applied.map_err(|error| error.to_string())?;
        if !self.feed.is_replayed() {
            self.metrics.replayed.inc_by(records.len() as u64);
            self.make_room(records);
            return Ok(());
        }
        let now = self.clock.now();
        self.effects.add(now, records);
        for record in records.iter() {
            let (receipt, event) = (record.received_at, record.occurred_at);
            self.metrics.enforced(now.since(receipt), now.since(event));
        }
        Ok(())
    }

    /// Remembers what the index holds already for as long as raised terms say. The new terms hold for
    /// records that come later.
    fn keep_for_longer(&mut self) {
        if let Some(raised) = self.histories.take_raised() {
            self.index
                .remember_longer(|issuer| raised.get(issuer).copied());
        }
    }

    /// Reserves room for the whole log after its first part, by the share of that part that is live: many
    /// records may share an entry.
    fn make_room(&mut self, records: &Records) {
        let Some(so_far) = &mut self.replayed_so_far else {
            return;
        };
        *so_far += records.len();
        let all = *so_far + records.to_come;
        if *so_far >= all / PART_THAT_TELLS {
            let live = self.index.len();
            self.index
                .reserve(live.saturating_mul(all) / (*so_far).max(1));
            self.replayed_so_far = None;
        }
    }

    /// Notes that the index has everything that the log had at `then`. Takes a moment instead of an age,
    /// because this thread may be suspended before it has noted it.
    fn feed_reaches(&self, then: Moment) {
        let is_first = !self.feed.is_replayed();
        self.feed.was_in_sync(then);
        if is_first {
            self.histories.warn_of_differences();
            let (live, age) = (self.index.len(), self.feed.age());
            tracing::info!(live, ?age, "the log of revocations is replayed");
            self.readiness.arrived(AWAITED);
        }
    }

    fn sweep(&mut self) {
        let at = *self.applied.borrow();
        self.metrics
            .set_feed_lag(at.and_then(|at| self.log.behind(at)));
        self.watch_clocks();
        self.watch_writing();
        self.agreement.settle(&mut self.histories);
        if !self.feed.is_replayed() {
            return;
        }
        self.offer_or_withdraw();
        let swept = self.index.sweep(self.clock.steady_now(), SHARDS_PER_TICK);
        self.metrics.forgotten.inc_by(swept.forgotten as u64);
        if swept.round_is_over {
            self.warn_of_crowds();
        }
    }

    /// Reports clocks that disagree.
    fn watch_clocks(&mut self) {
        let jumped = self.clock.jumped();
        let apart = self.log.clock_apart().unwrap_or_default();
        self.metrics.clocks(self.index.horizon(), jumped, apart);
        let why = if jumped != 0 {
            let direction = if jumped > 0 { "forward" } else { "back" };
            let seconds = jumped.unsigned_abs() / 1000;
            format!("the wall clock jumped {direction} by {seconds} s")
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
        self.metrics.writable.set(trouble.is_none().into());
        match trouble {
            Some(why) => self.readiness.degrade(WRITING, why),
            None => self.readiness.recover(WRITING),
        }
    }

    /// Tells proxies to use other replicas while this one refuses everybody because its feed is stale. It
    /// still answers those that ask.
    fn offer_or_withdraw(&mut self) {
        let refuses = self
            .agreement
            .patience
            .load()
            .is_over_for_all(self.feed.age());
        if refuses == self.withdrawn {
            return;
        }
        self.withdrawn = refuses;
        if refuses {
            let why = "the log of revocations was silent for longer than max_staleness";
            tracing::error!("{why}: every request is refused");
            self.readiness.wait_for(AWAITED, why);
        } else {
            tracing::info!("the log of revocations can be read again");
            self.readiness.arrived(AWAITED);
        }
    }

    /// Warns once for each shape that crosses the level.
    fn warn_of_crowds(&mut self) {
        for (claims, live) in self.index.live() {
            if live <= self.warn_live_per_shape {
                self.warned.remove(&claims);
            } else if self.warned.insert(claims.clone()) {
                tracing::warn!(
                    claims,
                    live,
                    level = self.warn_live_per_shape,
                    "more revocations are live than warn_live_per_shape; one revocation for all tokens \
                     of an issuer can replace many"
                );
            }
        }
    }
}
