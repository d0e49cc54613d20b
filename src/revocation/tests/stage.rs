//! The follower, the writer and the reader over a log that plays what the test says.

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::super::log::{AppendError, Cursor, Feed, Log, Records, Store};
use super::super::*;
use super::{ISSUER, NOW};
use crate::core::kv::InMemory;
use crate::core::lifetime::{Bounds, Change};
use crate::verify::claims::Claims;

/// Takes every append, and delivers only what the test says.
#[derive(Debug)]
struct Played {
    feed: Mutex<Option<mpsc::Receiver<Feed>>>,
    appended: mpsc::UnboundedSender<Vec<Arc<Revocation>>>,
    trouble: Arc<Trouble>,
}

/// What the log says besides its feed.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) apart: Mutex<Option<i64>>,
    pub(super) unwritable: Mutex<Option<String>>,
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

    fn clock_apart(&self) -> Option<i64> {
        *self.trouble.apart.lock().unwrap()
    }

    fn unwritable(&self) -> Option<String> {
        self.trouble.unwritable.lock().unwrap().clone()
    }

    fn failure(&self) -> Option<String> {
        Some("the tape broke".to_owned())
    }
}

pub(super) fn at(position: u128) -> Cursor {
    Cursor {
        epoch: [7; 16],
        position,
    }
}

pub(super) struct Stage {
    pub(super) feed: mpsc::Sender<Feed>,
    pub(super) appended: mpsc::UnboundedReceiver<Vec<Arc<Revocation>>>,
    pub(super) trouble: Arc<Trouble>,
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) agree: Agree,
    pub(super) readiness: Readiness,
    pub(super) index: Arc<Index>,
    pub(super) clock: Clock,
    pub(super) applied: watch::Receiver<Option<Cursor>>,
    pub(super) follower: JoinHandle<Result<(), String>>,
    pub(super) shutdown: CancellationToken,
    registry: Registry,
}

impl Stage {
    pub(super) fn new(when_stale: WhenStale) -> Self {
        Self::with(when_stale, Duration::from_hours(1))
    }

    /// The log knows of a bound of one hour.
    pub(super) fn with(when_stale: WhenStale, max_token_lifetime: Duration) -> Self {
        let (feed, played) = mpsc::channel(8);
        let known = Change {
            at: NOW,
            bounds: Bounds::new(Duration::from_mins(61), Duration::from_mins(1)),
        };
        let mut known = Records::from(vec![history::record(ISSUER, known)]);
        known.to_come = 100;
        feed.try_send(Feed::Records(known, at(0))).unwrap();
        let (sender, appended) = mpsc::unbounded_channel();
        let trouble = Arc::<Trouble>::default();
        let log: Arc<dyn Log> = Arc::new(Played {
            feed: Mutex::new(Some(played)),
            appended: sender,
            trouble: Arc::clone(&trouble),
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
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        let clock = Clock::manual(NOW);
        let store = Store {
            log,
            keep: Arc::new(InMemory::default()),
            horizon: Horizon::default(),
        };
        let (retention, issuers) = (Retention::default(), [issuer]);
        let parts = over(
            store, retention, &config, &issuers, &clock, &readiness, metrics,
        );
        let parts = parts.unwrap();
        let applied = parts.writer.applied.clone();
        let shutdown = CancellationToken::new();
        Self {
            feed,
            appended,
            trouble,
            index: Arc::clone(&parts.writer.index),
            clock,
            writer: parts.writer,
            reader: parts.reader,
            agree: parts.agree,
            readiness,
            applied,
            follower: tokio::spawn(parts.follower.run(shutdown.clone())),
            shutdown,
            registry,
        }
    }

    /// The metrics have this line.
    pub(super) fn shows(&self, line: &str) {
        let mut metrics = String::new();
        prometheus_client::encoding::text::encode(&mut metrics, &self.registry).unwrap();
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line}\n{metrics}"
        );
    }

    pub(super) async fn play(&mut self, feed: Feed) {
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
    pub(super) async fn in_sync(&mut self, position: u128) {
        let asked = self.clock.moment();
        self.play(Feed::InSync(at(position), asked)).await;
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing_where(None)
    }

    pub(super) fn standing_where(&self, when_stale: Option<WhenStale>) -> Standing {
        let token = Claims {
            issuer: ISSUER.into(),
            subject: None,
            client: None,
            token_id: None,
            issued_at: Some(NOW.seconds()),
            counts_as_issued_at: NOW.seconds(),
            expires_at: NOW.seconds() + 60,
            all: json!({ "sub": "a" }).as_object().unwrap().into(),
        };
        self.reader.standing_where(&token, when_stale)
    }
}
