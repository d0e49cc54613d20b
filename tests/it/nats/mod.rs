//! The log on JetStream, against real nats-servers.

#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod append;
mod clocks;
mod cluster;
mod config;
mod follow;
mod login;
pub(crate) mod place;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::horizon::Horizon;
use portcullis::revocation::log::nats::{Config, Nats};
use portcullis::revocation::log::{AppendError, Cursor, Feed, Log};
use portcullis::revocation::{Action, Retention, Revocation, Target};
use tokio::time::{Instant, timeout};

use crate::support::nats::Server;

/// Nothing here takes long; a machine under load does.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One copy, for a server on its own, and a short memory of clocks that disagree.
fn config(servers: &[String]) -> Config {
    let mut config = Config::on(servers);
    config.replicas = 1;
    config.keep_longer = portcullis::core::units::Span(Duration::ZERO);
    config
}

/// Records are kept for as long as they ask for.
fn retention() -> Retention {
    let retention = Retention::default();
    retention.set(HashMap::new(), Duration::ZERO);
    retention
}

fn open(config: &Config) -> Arc<Nats> {
    Arc::new(Nats::connect(config, &Clock::system(), &retention(), &Horizon::default()).unwrap())
}

fn connect(server: &Server) -> Arc<Nats> {
    open(&config(&[server.url()]))
}

fn revocation(id: &str, lasts: Duration) -> Arc<Revocation> {
    let now = Clock::system().now();
    Arc::new(Revocation {
        id: id.to_owned(),
        target: Target {
            issuer: "https://id.example.com".to_owned(),
            matches: BTreeMap::from([("sub".to_owned(), id.to_owned())]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(now),
        expires_at_or_before: None,
        occurred_at: now,
        forget_after: now.plus(lasts),
        source: "test".to_owned(),
        cause: "user.deactivate".to_owned(),
        received_at: UnixMillis(now.0),
        bounds: None,
        turn: None,
        note: None,
        original: None,
    })
}

fn lasting(id: &str) -> Arc<Revocation> {
    revocation(id, Duration::from_hours(1))
}

/// Appends as a sender does: again and again until it is acknowledged.
async fn append(log: &Nats, batch: Vec<Arc<Revocation>>) -> Cursor {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match log.append(batch.clone()).await {
            Ok(cursor) => return cursor,
            Err(AppendError::Unavailable(_) | AppendError::Unknown(_))
                if Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A follower and all that it has seen.
struct Reader {
    /// A dropped log ends its feeds.
    _log: Arc<Nats>,
    feed: BoxStream<'static, Feed>,
    seen: Vec<String>,
    cursor: Option<Cursor>,
    resets: usize,
    losses: Vec<String>,
}

impl Reader {
    fn new(log: &Arc<Nats>, from: Option<Cursor>) -> Self {
        Self {
            _log: Arc::clone(log),
            feed: log.follow(from),
            seen: Vec::new(),
            cursor: from,
            resets: 0,
            losses: Vec::new(),
        }
    }

    /// Takes the next feed in, whatever it is.
    async fn next(&mut self) -> Feed {
        let next = timeout(PATIENCE, self.feed.next()).await;
        let feed = next.unwrap_or_else(|_| panic!("nothing came; {self:?}"));
        let feed = feed.expect("a feed never ends");
        match &feed {
            Feed::Records(records, cursor) => {
                self.seen
                    .extend(records.iter().map(|record| record.id.clone()));
                self.cursor = Some(*cursor);
            }
            Feed::InSync(cursor, _) => self.cursor = Some(*cursor),
            Feed::Lost(why) => self.losses.push(why.clone()),
            Feed::Restored(_) => panic!("this log has no copy"),
            Feed::Reset(cursor) => {
                self.resets += 1;
                self.cursor = Some(*cursor);
            }
        }
        feed
    }

    async fn until(&mut self, mut done: impl FnMut(&Self, &Feed) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let feed = self.next().await;
            if done(self, &feed) {
                return;
            }
            assert!(Instant::now() < deadline, "not in time; {self:?}");
        }
    }

    async fn in_sync(&mut self) {
        self.until(|_, feed| matches!(feed, Feed::InSync(..))).await;
    }

    async fn sees(&mut self, id: &str) {
        if !self.seen.iter().any(|seen| seen == id) {
            self.until(|reader, _| reader.seen.iter().any(|seen| seen == id))
                .await;
        }
    }

    async fn lost(&mut self) -> String {
        self.until(|_, feed| matches!(feed, Feed::Lost(_))).await;
        self.losses.last().cloned().unwrap_or_default()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("seen", &self.seen.len())
            .field("last", &self.seen.last())
            .field("cursor", &self.cursor)
            .field("resets", &self.resets)
            .field("losses", &self.losses)
            .finish_non_exhaustive()
    }
}

/// A client beside ours: an operator's.
async fn operator(server: &Server) -> async_nats::jetstream::Context {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match async_nats::connect(server.url()).await {
            Ok(client) => return async_nats::jetstream::new(client),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

const STREAM: &str = "portcullis-revocations";
