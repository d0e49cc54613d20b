//! Over an engine that says what the test wants.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::stream;

use super::*;
use crate::core::clock::UnixMillis;
use crate::revocation::log::embedded;
use crate::revocation::{Action, Retention, Target};

/// Says this, and then nothing more.
#[derive(Debug)]
struct Told(Mutex<Vec<Feed>>);

impl Log for Told {
    fn append(&self, _batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        unreachable!("nobody appends")
    }

    fn follow(&self, _from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let feeds = std::mem::take(&mut *self.0.lock().unwrap());
        Box::pin(stream::iter(feeds).chain(stream::pending()))
    }

    fn behind(&self, _at: Cursor) -> Option<u64> {
        None
    }

    fn failure(&self) -> Option<String> {
        None
    }
}

fn record() -> Revocation {
    let at = UnixMillis::from_seconds(1_800_000_000);
    Revocation {
        id: "1".to_owned(),
        target: Target {
            issuer: "https://id.example.com".to_owned(),
            matches: BTreeMap::from([("sub".to_owned(), "ann".to_owned())]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(at),
        expires_at_or_before: None,
        occurred_at: at,
        forget_after: UnixMillis::MAX,
        source: "test".to_owned(),
        cause: "lock".to_owned(),
        received_at: at,
        bounds: None,
        turn: None,
        note: None,
        original: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_keeps_the_fields_of_a_later_version() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(UnixMillis::default());
    let (readiness, retention) = (Readiness::default(), Retention::default());
    let config = embedded::Config {
        path: directory.path().to_owned(),
    };
    let copy = Embedded::open(&config, &clock, &readiness, &retention).unwrap();
    // Field 100, a text.
    let bytes = [&record().encode()[..], b"\xa2\x06\x03new"].concat();
    let later = Arc::new(Revocation::decode(&bytes).unwrap());
    let at = Cursor {
        epoch: [7; 16],
        position: 1,
    };
    let said = vec![
        Feed::Records(vec![later].into(), at),
        Feed::InSync(at, clock.moment()),
    ];
    let engine = Arc::new(Told(Mutex::new(said)));
    let log = Mirrored::new(engine, Arc::new(copy), clock, readiness);
    let mut feed = log.follow(None);
    while !matches!(feed.next().await, Some(Feed::InSync(..))) {}
    log.kept(at).await;

    let database = rusqlite::Connection::open(directory.path().join("portcullis.db")).unwrap();
    let kept: Vec<u8> = database
        .query_row("SELECT record FROM records", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, bytes);
}
