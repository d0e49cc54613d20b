//! The parts together, over a log that the test plays.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::log::{AppendError, Cursor, Feed, Log, Records};
use super::*;
use crate::keep::Memory;
use crate::lifetime::{Bounds, Change};
use crate::verify::claims::Claims;

const ISSUER: &str = "https://id.example.com";
const NOW: UnixMillis = UnixMillis::from_seconds(1_800_000_000);

/// Takes every append, and delivers only what the test says.
#[derive(Debug)]
struct Played {
    feed: Mutex<Option<mpsc::Receiver<Feed>>>,
    appended: mpsc::UnboundedSender<Vec<Arc<Revocation>>>,
}

impl Log for Played {
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        let end = at(batch.len() as u128);
        drop(self.appended.send(batch));
        Box::pin(async move { Ok(end) })
    }

    fn follow(&self, _from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let feed = self.feed.lock().unwrap().take().expect("followed once");
        Box::pin(ReceiverStream::new(feed))
    }

    fn behind(&self, at: Cursor) -> Option<u64> {
        u64::try_from(at.position).ok()
    }

    fn failure(&self) -> Option<String> {
        Some("the tape broke".to_owned())
    }
}

fn at(position: u128) -> Cursor {
    Cursor {
        epoch: [7; 16],
        position,
    }
}

struct Stage {
    feed: mpsc::Sender<Feed>,
    appended: mpsc::UnboundedReceiver<Vec<Arc<Revocation>>>,
    writer: Writer,
    reader: Reader,
    readiness: Readiness,
    index: Arc<Index>,
    clock: Clock,
    applied: watch::Receiver<Option<Cursor>>,
    follower: JoinHandle<Result<(), String>>,
    shutdown: CancellationToken,
}

impl Stage {
    fn new(when_stale: WhenStale) -> Self {
        Self::with(when_stale, Duration::from_hours(1))
    }

    /// The log knows of a bound of one hour.
    fn with(when_stale: WhenStale, max_token_lifetime: Duration) -> Self {
        let (feed, played) = mpsc::channel(8);
        let known = Change {
            at: NOW,
            bounds: Bounds::new(Duration::from_hours(1), Duration::from_mins(1)),
        };
        let known = Records::from(vec![history::record(ISSUER, known)]).before(100);
        feed.try_send(Feed::Records(known, at(0))).unwrap();
        let (sender, appended) = mpsc::unbounded_channel();
        let log: Arc<dyn Log> = Arc::new(Played {
            feed: Mutex::new(Some(played)),
            appended: sender,
        });
        let issuer = Issuer {
            issuer: ISSUER.to_owned(),
            max_token_lifetime,
            leeway: Duration::from_mins(1),
        };
        let config = Config {
            when_stale,
            ..Config::default()
        };
        let readiness = Readiness::default();
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        let retention = Retention::default();
        let histories = Histories::new(
            std::slice::from_ref(&issuer),
            &Memory::default(),
            retention.clone(),
            Duration::ZERO,
            Duration::ZERO,
        );
        let histories = histories.unwrap();
        let clock = Clock::manual(NOW);
        let base = Base {
            log,
            horizon: Arc::default(),
            histories,
            retention,
            clock: clock.clone(),
            readiness: readiness.clone(),
            metrics,
        };
        let core = Core::new(&config, std::slice::from_ref(&issuer), base);
        let applied = core.writer.applied.clone();
        let shutdown = CancellationToken::new();
        Self {
            feed,
            appended,
            index: Arc::clone(&core.writer.index),
            clock,
            writer: core.writer,
            reader: core.reader,
            readiness,
            applied,
            follower: tokio::spawn(core.follower.run(shutdown.clone())),
            shutdown,
        }
    }

    async fn play(&mut self, feed: Feed) {
        let (Feed::Records(_, cursor) | Feed::InSync(cursor, _)) = feed else {
            panic!("nothing to wait for")
        };
        self.feed.send(feed).await.unwrap();
        self.applied
            .wait_for(|at| *at == Some(cursor))
            .await
            .unwrap();
    }

    /// The log says that all up to `position` was delivered.
    async fn in_sync(&mut self, position: u128) {
        let asked = self.clock.moment();
        self.play(Feed::InSync(at(position), asked)).await;
    }

    fn standing(&self) -> Standing {
        self.reader.standing(&Claims {
            issuer: ISSUER.into(),
            subject: None,
            client: None,
            token_id: None,
            issued_at: Some(NOW.seconds()),
            counts_as_issued_at: NOW.seconds(),
            expires_at: NOW.seconds() + 60,
            all: json!({ "sub": "a" }).as_object().unwrap().into(),
        })
    }
}

fn draft(issuer: &str, claim: &str) -> Draft {
    Draft {
        id: "1".to_owned(),
        target: Target {
            issuer: issuer.to_owned(),
            matches: BTreeMap::from([(claim.to_owned(), "a".to_owned())]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(NOW),
        expires_at_or_before: None,
        occurred_at: NOW,
        source: "test".to_owned(),
        cause: "lock".to_owned(),
    }
}

fn record(claim: &str) -> Arc<Revocation> {
    let terms = Terms {
        longest_life: Duration::from_hours(1),
        leeway: Duration::ZERO,
        not_before: UnixMillis(0),
    };
    Arc::new(draft(ISSUER, claim).receive(NOW, &terms))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_clear_before_the_replay_is_over() {
    let mut stage = Stage::new(WhenStale::Deny);
    assert!(matches!(stage.standing(), Standing::NotReady));
    stage
        .play(Feed::Records(vec![record("other")].into(), at(1)))
        .await;
    assert!(matches!(stage.standing(), Standing::NotReady));
    assert!(!stage.readiness.state().is_ready());
    stage.in_sync(1).await;
    stage.readiness.reached().await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

/// Before that it might judge by bounds that no other replica will ever hear of.
#[tokio::test(start_paused = true)]
async fn nothing_is_judged_before_the_log_knows_of_our_bounds() {
    let mut stage = Stage::with(WhenStale::Deny, Duration::from_hours(2));
    stage.in_sync(0).await;
    let bounds = stage.appended.recv().await.unwrap();
    assert_eq!(bounds.len(), 1);
    assert!(matches!(stage.standing(), Standing::NotReady));
    stage.play(Feed::Records(bounds.into(), at(1))).await;
    stage.in_sync(2).await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));

    // A log that is out of reach cannot be told, and what is known of it serves.
    let stage = Stage::with(WhenStale::Deny, Duration::from_hours(2));
    stage.feed.send(Feed::Restored(NOW)).await.unwrap();
    stage.readiness.reached().await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_feed_denies_and_what_is_revoked_stays_so() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(0).await;
    stage.clock.advance(Duration::from_secs(30));
    assert!(matches!(stage.standing(), Standing::Clear(_)));
    stage.clock.advance(Duration::from_millis(1));
    assert!(matches!(stage.standing(), Standing::Stale));
    stage
        .play(Feed::Records(vec![record("sub")].into(), at(1)))
        .await;
    assert!(matches!(stage.standing(), Standing::Revoked));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_ends_the_silence() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(0).await;
    stage.clock.advance(Duration::from_mins(1));
    assert!(matches!(stage.standing(), Standing::Stale));
    stage.in_sync(1).await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waited_to_be_read_is_as_old_as_its_question() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(0).await;
    let asked = stage.clock.moment();
    stage.clock.advance(Duration::from_secs(31));
    stage.play(Feed::InSync(at(1), asked)).await;
    assert!(matches!(stage.standing(), Standing::Stale));
    stage.in_sync(2).await;
    // One that was asked before and answered after takes nothing back.
    stage.play(Feed::InSync(at(3), asked)).await;
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

#[tokio::test(start_paused = true)]
async fn what_was_restored_is_as_old_as_it_says_unless_the_clock_was_set_back() {
    let cases = [
        (NOW.minus(Duration::from_secs(30)), false),
        (NOW.minus(Duration::from_secs(31)), true),
        (NOW.plus(Duration::from_hours(1)), true),
    ];
    for (known, is_stale) in cases {
        let mut stage = Stage::new(WhenStale::Deny);
        stage.feed.send(Feed::Restored(known)).await.unwrap();
        stage
            .play(Feed::Records(vec![record("other")].into(), at(1)))
            .await;
        let standing = stage.standing();
        assert_eq!(matches!(standing, Standing::Stale), is_stale, "{known:?}");
        assert_eq!(matches!(standing, Standing::Clear(_)), !is_stale);
    }
}

/// Neither moves the monotonic clock: the process knows nothing of the time that passed.
#[tokio::test(start_paused = true)]
async fn a_feed_is_stale_after_a_suspend_and_after_a_restored_snapshot() {
    let suspend = |clock: &Clock| clock.advance(Duration::from_mins(1));
    let restore = |clock: &Clock| clock.set(NOW.plus(Duration::from_mins(1)));
    for gap in [suspend as fn(&Clock), restore] {
        let mut stage = Stage::new(WhenStale::Deny);
        stage.in_sync(0).await;
        let asked = stage.clock.moment();
        assert!(matches!(stage.standing(), Standing::Clear(_)));
        gap(&stage.clock);
        assert!(matches!(stage.standing(), Standing::Stale));
        // An answer that was under way during the gap tells nothing of what came in it.
        stage.play(Feed::InSync(at(1), asked)).await;
        assert!(matches!(stage.standing(), Standing::Stale));
        stage.in_sync(2).await;
        assert!(matches!(stage.standing(), Standing::Clear(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_feed_is_tolerated_where_that_is_configured() {
    let mut stage = Stage::new(WhenStale::Allow);
    stage.in_sync(0).await;
    stage.clock.advance(Duration::from_hours(1));
    assert!(matches!(stage.standing(), Standing::Clear(_)));
}

#[tokio::test(start_paused = true)]
async fn proxies_are_sent_elsewhere_only_while_everybody_is_refused() {
    for (when_stale, offered) in [(WhenStale::Deny, false), (WhenStale::Allow, true)] {
        let mut stage = Stage::new(when_stale);
        stage.in_sync(0).await;
        stage.readiness.reached().await;
        assert!(stage.readiness.state().is_ready());
        stage.clock.advance(Duration::from_secs(31));
        // The follower looks at the age every tenth of a second; time flies here.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stage.readiness.state().is_ready(), offered);
        assert!(stage.readiness.knows(), "it still answers those who ask");
        stage.in_sync(1).await;
        assert!(stage.readiness.state().is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn another_history_drops_nothing() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage
        .play(Feed::Records(vec![record("sub")].into(), at(1)))
        .await;
    stage.in_sync(1).await;
    stage.feed.send(Feed::Lost("cut".to_owned())).await.unwrap();
    stage.feed.send(Feed::Reset(at(0))).await.unwrap();
    stage.in_sync(5).await;
    assert!(matches!(stage.standing(), Standing::Revoked));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_feed_is_an_error_and_shutdown_is_none() {
    let stage = Stage::new(WhenStale::Deny);
    drop(stage.feed);
    assert_eq!(
        stage.follower.await.unwrap(),
        Err("the tape broke".to_owned())
    );
    let stage = Stage::new(WhenStale::Deny);
    stage.shutdown.cancel();
    assert_eq!(stage.follower.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_not_configured_is_rejected() {
    let stage = Stage::new(WhenStale::Deny);
    let other = "https://other.example.com";
    let drafts = vec![draft(ISSUER, "sub"), draft(other, "sub")];
    let rejected = stage.writer.record(drafts).await;
    assert!(matches!(rejected, Err(AppendError::Rejected(_))));
}

#[tokio::test(start_paused = true)]
async fn too_many_shapes_and_too_long_records_are_rejected() {
    let mut stage = Stage::new(WhenStale::Deny);
    let crowd: Vec<_> = (0..128).map(|i| record(&format!("claim-{i}"))).collect();
    stage.play(Feed::Records(crowd.into(), at(1))).await;
    assert_eq!(stage.index.live().len(), 128);
    let known = stage.writer.record(vec![draft(ISSUER, "claim-5")]).await;
    assert_eq!(known, Ok(1));
    let one_more = stage.writer.record(vec![draft(ISSUER, "claim-128")]).await;
    assert!(matches!(one_more, Err(AppendError::Rejected(_))));
    let mut long = draft(ISSUER, "claim-5");
    long.id = "x".repeat(70_000);
    let long = stage.writer.record(vec![long]).await;
    assert!(matches!(long, Err(AppendError::Rejected(_))));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_waits_for_enforcement_but_not_for_ever() {
    let mut stage = Stage::new(WhenStale::Deny);
    stage.in_sync(0).await;
    let before = tokio::time::Instant::now();
    // The log took it, but the feed is silent.
    let recorded = stage.writer.record(vec![draft(ISSUER, "sub")]).await;
    assert_eq!(recorded, Ok(1));
    let patience = super::Config::default().sync_timeout.0;
    assert_eq!(before.elapsed(), patience);
    let writer = stage.writer.clone();
    let sender = tokio::spawn(async move { writer.record(vec![draft(ISSUER, "sub")]).await });
    tokio::task::yield_now().await;
    assert!(!sender.is_finished());
    stage
        .play(Feed::Records(vec![record("sub")].into(), at(1)))
        .await;
    assert_eq!(sender.await.unwrap(), Ok(1));
    assert!(before.elapsed() < 2 * patience);
}

#[tokio::test(start_paused = true)]
async fn a_replay_makes_room_for_what_is_live_and_not_for_every_record() {
    const SEEN: usize = 40_000;
    const TO_COME: usize = 960_000;
    let one_entry = vec![record("sub"); SEEN];
    let of_another = |number: usize| {
        let mut record = (*record("sub")).clone();
        record
            .target
            .matches
            .insert("sub".to_owned(), number.to_string());
        Arc::new(record)
    };
    let many_entries: Vec<_> = (0..SEEN).map(of_another).collect();
    for (records, room) in [
        (one_entry, 0..500_000),
        (many_entries, 40_000_000..100_000_000),
    ] {
        let mut stage = Stage::new(WhenStale::Deny);
        let records = Records::from(records).before(TO_COME);
        stage.play(Feed::Records(records, at(1))).await;
        let memory = stage.index.memory();
        assert!(room.contains(&memory), "{memory} bytes");
    }
}
