//! The writer: what the event path may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch::{self, error::RecvError};
use tokio::time::{Instant, timeout};

use crate::core::clock::Clock;
use crate::core::network::{self, CLIENT_IP};

use super::log::{AppendError, Cursor, Log};
use super::record::{Action, Draft, Revocation};
use super::retention::Retention;
use super::{Index, Metrics};

/// A look-up costs one hash per set of claim names, so their number is limited.
const MOST_SHAPES_PER_ISSUER: usize = 128;

/// Bytes on the wire. Nobody writes a longer revocation on purpose.
const LONGEST_RECORD: usize = 64 * 1024;

/// Records events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    pub(super) log: Arc<dyn Log>,
    pub(super) index: Arc<Index>,
    pub(super) retention: Retention,
    pub(super) clock: Clock,
    pub(super) applied: watch::Receiver<Option<Cursor>>,
    /// How many histories of the log have begun since the start; the follower counts them.
    pub(super) histories: Arc<AtomicU64>,
    pub(super) sync_timeout: Duration,
    pub(super) metrics: Arc<Metrics>,
}

impl Writer {
    /// Makes all of an event's drafts durable, or none. Then waits, up to `sync_timeout`, until this
    /// replica enforces them and has them on its own disk. Returns how many were recorded: a lift from
    /// the future is dropped.
    ///
    /// # Errors
    /// [`AppendError::Rejected`] if another attempt would fail too, for example because the issuer is
    /// not configured. After any other error the sender must try again.
    pub async fn record(&self, drafts: Vec<Draft>) -> Result<usize, AppendError> {
        self.record_within(drafts, self.sync_timeout).await
    }

    /// Does the same for a sender that waits `within` at most for everything.
    ///
    /// # Errors
    /// Those of [`Writer::record`].
    pub async fn record_within(
        &self,
        drafts: Vec<Draft>,
        within: Duration,
    ) -> Result<usize, AppendError> {
        let latest = Instant::now() + within;
        let batch = self.receive_all(drafts)?;
        let recorded = batch.len();
        self.append(batch, latest).await?;
        Ok(recorded)
    }

    /// Does what [`Writer::record`] does, and returns the records.
    ///
    /// # Errors
    /// Those of [`Writer::record`].
    pub async fn record_whole(
        &self,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Arc<Revocation>>, AppendError> {
        let latest = Instant::now() + self.sync_timeout;
        let batch = self.receive_all(drafts)?;
        self.append(batch.clone(), latest).await?;
        Ok(batch)
    }

    /// Returns a number that changes when the log begins anew: it may then lack what it had before.
    #[must_use]
    pub fn history(&self) -> u64 {
        self.histories.load(Ordering::Relaxed)
    }

    pub(super) fn receive_all(
        &self,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Arc<Revocation>>, AppendError> {
        let received = drafts.into_iter().map(|draft| self.receive(draft));
        received.filter_map(Result::transpose).collect()
    }

    pub(super) async fn append(
        &self,
        batch: Vec<Arc<Revocation>>,
        latest: Instant,
    ) -> Result<(), AppendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let cursor = self.log.append(batch).await?;
        let left = latest.saturating_duration_since(Instant::now());
        self.enforced(cursor, left.min(self.sync_timeout)).await
    }

    /// Returns the record of a draft; `None` for one that is dropped.
    fn receive(&self, draft: Draft) -> Result<Option<Arc<Revocation>>, AppendError> {
        let issuer = &draft.target.issuer;
        let Some(terms) = self.retention.terms(issuer) else {
            let message = format!("the issuer {issuer:?} is not configured");
            return Err(AppendError::Rejected(message));
        };
        let (shapes, known) = self.index.shapes_of(&draft.target);
        if !known && shapes >= MOST_SHAPES_PER_ISSUER {
            let message = format!(
                "revocations of {issuer:?} already match on {shapes} different sets of claims; \
                 each one makes every check dearer"
            );
            return Err(AppendError::Rejected(message));
        }
        // It would match nothing, and the sender would take the tokens for revoked.
        if draft.action == Action::Revoke
            && let Some(Err(why)) = draft
                .target
                .matches
                .get(CLIENT_IP)
                .map(|text| network::canonical(text))
        {
            return Err(AppendError::Rejected(format!(
                "the value of {CLIENT_IP} {why}"
            )));
        }
        let now = self.clock.now();
        if draft.action == Action::Lift && draft.occurred_at > now.plus(terms.leeway) {
            // Nobody knows when it happened. With its time clamped to now, it would take back later
            // revocations, and even later ones each time it is sent again.
            self.metrics.lifts_dropped.inc();
            tracing::warn!(
                source = draft.source,
                "dropped a lift from the future: the sender's clock is wrong, or this replica's"
            );
            return Ok(None);
        }
        let said = draft.occurred_at;
        let record = draft.receive(now, &terms);
        if said > record.occurred_at {
            tracing::warn!(
                source = record.source,
                ahead = ?said.since(now),
                "an event is in the future: the sender's clock is wrong, or this replica's; tokens \
                 issued up to its time are refused, for one token lifetime at most"
            );
        }
        let length = record.encode().len();
        if length > LONGEST_RECORD {
            let message = format!("the record has {length} bytes, {LONGEST_RECORD} are allowed");
            return Err(AppendError::Rejected(message));
        }
        Ok(Some(Arc::new(record)))
    }

    /// Waits until the follower has passed `cursor`. If that takes too long, the records are durable all
    /// the same, and the age of the feed shows the trouble. Fails if the follower has ended, because
    /// this replica then enforces nothing new.
    pub(super) async fn enforced(
        &self,
        cursor: Cursor,
        patience: Duration,
    ) -> Result<(), AppendError> {
        let mut applied = self.applied.clone();
        let enforced = async {
            let past = |at: &Option<Cursor>| at.is_some_and(|at| at.has_passed(cursor));
            applied.wait_for(past).await?;
            self.log.kept(cursor).await;
            Ok::<_, RecvError>(())
        };
        match timeout(patience, enforced).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(AppendError::Unknown(
                "this replica no longer follows the log".to_owned(),
            )),
            Err(_) => {
                tracing::warn!("an event is durable, but this replica does not enforce it yet");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prometheus_client::registry::Registry;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::core::clock::UnixMillis;
    use crate::core::readiness::Readiness;
    use crate::revocation::{self, Issuer, Metrics, Parts, Reader, Standing, Target};
    use crate::verify::Claims;

    const ISSUER: &str = "https://id.example.com";
    const NOW: UnixMillis = UnixMillis::from_seconds(1_800_000_000);
    const LEEWAY: Duration = Duration::from_secs(30);

    fn open(directory: &tempfile::TempDir, clock: &Clock) -> (Parts, Registry) {
        let config = json!({
            "store": { "embedded": { "path": directory.path() } },
            "sync_timeout": "5m",
        });
        let config: revocation::Config = serde_saphyr::from_str(&config.to_string()).unwrap();
        let issuer = Issuer {
            issuer: ISSUER.to_owned(),
            max_token_lifetime: Duration::from_hours(1),
            leeway: LEEWAY,
        };
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        let parts = revocation::open(&config, &[issuer], clock, &Readiness::default(), metrics);
        (parts.unwrap(), registry)
    }

    /// What a scrape says.
    fn scraped(refresh: &(dyn Fn() + Send + Sync), registry: &Registry) -> String {
        refresh();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    fn draft(action: Action, occurred_at: UnixMillis) -> Draft {
        Draft {
            id: format!("{action:?}"),
            target: Target {
                issuer: ISSUER.to_owned(),
                matches: BTreeMap::from([("sub".to_owned(), "ann".to_owned())]),
            },
            action,
            issued_at_or_before: (action == Action::Revoke).then_some(occurred_at),
            expires_at_or_before: None,
            occurred_at,
            source: "test".to_owned(),
            cause: "lock".to_owned(),
        }
    }

    async fn judged(reader: &Reader) -> Standing {
        loop {
            match reader.standing(&token()) {
                Standing::NotReady => tokio::task::yield_now().await,
                known => return known,
            }
        }
    }

    fn token() -> Claims {
        Claims {
            issuer: ISSUER.into(),
            subject: Some("ann".into()),
            client: None,
            token_id: None,
            issued_at: Some(NOW.seconds() - 60),
            counts_as_issued_at: NOW.seconds() - 60,
            expires_at: NOW.seconds() + 60,
            all: json!({ "sub": "ann" }).as_object().unwrap().into(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lift_from_the_future_does_not_take_back_what_came_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOW);
        let (parts, registry) = open(&directory, &clock);
        let shutdown = CancellationToken::new();
        let follower = tokio::spawn(parts.follower.run(shutdown.clone()));
        let writer = parts.writer.clone();
        let ahead = Duration::from_mins(10);
        let lift = draft(Action::Lift, NOW.plus(ahead));
        assert_eq!(writer.record(vec![lift.clone()]).await, Ok(0));
        clock.advance(Duration::from_secs(10));
        let revoke = draft(Action::Revoke, clock.now().plus(ahead));
        assert_eq!(writer.record(vec![revoke]).await, Ok(1));
        // The sender tries the lift again.
        clock.advance(Duration::from_secs(10));
        assert_eq!(writer.record(vec![lift]).await, Ok(0));
        let standing = judged(&parts.reader).await;
        assert!(matches!(standing, Standing::Revoked(_)), "{standing:?}");
        let metrics = scraped(&*parts.refresh, &registry);
        assert!(
            metrics.contains("revocations_lifts_dropped_total 2"),
            "{metrics}"
        );

        let honest = draft(Action::Lift, clock.now().plus(LEEWAY));
        writer.record(vec![honest]).await.unwrap();
        let standing = judged(&parts.reader).await;
        assert!(matches!(standing, Standing::Clear(_)), "{standing:?}");
        shutdown.cancel();
        follower.await.unwrap().unwrap();
    }

    /// Nothing but the scrape itself may set it: the follower may be what stands still.
    #[tokio::test]
    async fn the_age_of_the_feed_is_taken_when_the_metrics_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOW);
        let (parts, registry) = open(&directory, &clock);
        for seconds in [7, 9] {
            clock.advance(Duration::from_secs(seconds));
            let metrics = scraped(&*parts.refresh, &registry);
            let age = clock.now().since(NOW).as_secs();
            let sample = format!("revocations_feed_age_seconds {age}.0\n");
            assert!(metrics.contains(&sample), "{metrics}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn enforcement_is_awaited_no_longer_than_the_deadline_of_the_sender() {
        let directory = tempfile::tempdir().unwrap();
        let (parts, _registry) = open(&directory, &Clock::manual(NOW));
        // The follower is there and does not get on; `sync_timeout` is five minutes.
        let drafts = vec![draft(Action::Revoke, NOW)];
        let within = Duration::from_millis(10);
        let recorded = parts.writer.record_within(drafts, within);
        let recorded = timeout(Duration::from_secs(30), recorded).await;
        assert_eq!(recorded.expect("it waits too long").unwrap(), 1);
        drop(parts.follower);
    }

    #[tokio::test]
    async fn what_is_no_network_is_not_recorded_as_one() {
        let directory = tempfile::tempdir().unwrap();
        let (parts, _registry) = open(&directory, &Clock::manual(NOW));
        for value in ["alice", "10.0.0.0/7", "10.0.0.1/8", ""] {
            let mut bad = draft(Action::Revoke, NOW);
            bad.target.matches = BTreeMap::from([(CLIENT_IP.to_owned(), value.to_owned())]);
            let recorded = parts
                .writer
                .record(vec![draft(Action::Revoke, NOW), bad])
                .await;
            assert!(
                matches!(recorded, Err(AppendError::Rejected(_))),
                "{value}: {recorded:?}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_follower_nothing_is_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let (parts, _) = open(&directory, &Clock::manual(NOW));
        drop(parts.follower);
        let recorded = parts.writer.record(vec![draft(Action::Revoke, NOW)]).await;
        assert!(
            matches!(recorded, Err(AppendError::Unknown(_))),
            "{recorded:?}"
        );
    }
}
