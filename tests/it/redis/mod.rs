//! The log on a real redis-server.

#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod addressing;
mod durability;
mod failures;
mod history;
pub(crate) mod place;
mod sentinels;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::horizon::Horizon;
use portcullis::core::units::Span;
use portcullis::revocation::log::redis::{Config, Redis, Server as Address};
use portcullis::revocation::log::{AppendError, Cursor, Feed, Log};
use portcullis::revocation::{Action, Draft, Retention, Revocation, Target, Terms};

use crate::support::{redis as server, reserved_port};
use server::{LIMIT, Server};

const ISSUER: &str = "https://id.example.com";

/// Behind every server's clock, so that a test's clock is the one that counts.
const NOW: UnixMillis = UnixMillis::from_seconds(1_600_000_000);

const TERMS: Terms = Terms {
    longest_life: Duration::from_hours(1),
    leeway: Duration::from_mins(1),
    not_before: UnixMillis(0),
};

/// A configuration that lets no test wait for long.
fn config(socket: PathBuf) -> Config {
    Config {
        connect_timeout: Span(Duration::from_millis(500)),
        append_timeout: Span::secs(1),
        compact_every: Span(Duration::from_millis(50)),
        compact_grace: Span(Duration::ZERO),
        ..Config::of(&Address::Unix(socket))
    }
}

fn free_port() -> String {
    reserved_port().to_string()
}

fn at(port: &str) -> Address {
    format!("127.0.0.1:{port}").parse().unwrap()
}

fn retention() -> Retention {
    let retention = Retention::default();
    let terms = HashMap::from([(ISSUER.to_owned(), TERMS)]);
    retention.set(terms, Duration::ZERO);
    retention
}

fn connect_by(config: &Config, clock: &Clock) -> Redis {
    Redis::connect(config, clock, &retention(), &Horizon::default()).unwrap()
}

fn connect_at(config: &Config, now: UnixMillis) -> Redis {
    connect_by(config, &Clock::manual(now))
}

fn connect(config: &Config) -> Redis {
    connect_at(config, NOW)
}

fn record(subject: &str) -> Arc<Revocation> {
    let draft = Draft {
        id: format!("event-{subject}"),
        target: Target {
            issuer: ISSUER.to_owned(),
            matches: BTreeMap::from([("sub".to_owned(), subject.to_owned())]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(NOW),
        expires_at_or_before: None,
        occurred_at: NOW,
        source: "test".to_owned(),
        cause: "user.deactivate".to_owned(),
    };
    Arc::new(draft.receive(NOW, &TERMS))
}

async fn append(log: &Redis, subject: &str) -> Result<Cursor, AppendError> {
    log.append(vec![record(subject)]).await
}

/// Tries again as a sender of events does.
async fn append_at_last(log: &Redis, subject: &str) -> Cursor {
    let trying = async {
        loop {
            match append(log, subject).await {
                Ok(cursor) => return cursor,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let done = tokio::time::timeout(LIMIT, trying).await;
    done.expect("the record is taken in the end")
}

fn unavailable(refused: Result<Cursor, AppendError>) -> String {
    match refused {
        Err(AppendError::Unavailable(why)) => why,
        other => panic!("expected to be told that it is unavailable: {other:?}"),
    }
}

/// A feed and what it said so far.
struct Watch {
    feed: BoxStream<'static, Feed>,
    /// Since the last reset.
    subjects: Vec<String>,
    resets: usize,
    losses: Vec<String>,
}

impl Watch {
    fn of(log: &Redis, from: Option<Cursor>) -> Self {
        Self {
            feed: log.follow(from),
            subjects: Vec::new(),
            resets: 0,
            losses: Vec::new(),
        }
    }

    /// Reads one thing; says whether the feed is in sync with it.
    async fn step(&mut self) -> bool {
        let next = tokio::time::timeout(LIMIT, self.feed.next()).await;
        match next
            .expect("the feed says something")
            .expect("it never ends")
        {
            Feed::Records(records, _) => {
                let subjects = records
                    .into_iter()
                    .map(|one| one.target.matches["sub"].clone());
                self.subjects.extend(subjects);
            }
            Feed::InSync(..) => return true,
            Feed::Lost(why) => self.losses.push(why),
            Feed::Restored(_) => panic!("this log has no copy"),
            Feed::Reset(_) => {
                self.resets += 1;
                self.subjects.clear();
            }
        }
        false
    }

    async fn sync(&mut self) {
        let syncing = async { while !self.step().await {} };
        let done = tokio::time::timeout(LIMIT, syncing).await;
        done.expect("the feed comes to the head of the log");
    }

    async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        let coming = async {
            while !holds(self) {
                self.step().await;
            }
        };
        let in_time = tokio::time::timeout(LIMIT, coming).await.is_ok();
        assert!(
            in_time,
            "it does not come: {:?}, {} resets, lost: {:?}",
            self.subjects, self.resets, self.losses
        );
    }

    /// Reads on until so few entries are left in the log.
    async fn until_compacted(&mut self, server: &Server, left: u64) {
        let compacting = async {
            while server.entries().await > left {
                self.step().await;
            }
        };
        let done = tokio::time::timeout(LIMIT, compacting).await;
        done.expect("what is over is deleted");
    }
}
