//! The contract of `revocation::log::Log`: every store passes all of it. A store joins with one
//! line at the end of this file.

#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, future};
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::readiness::Readiness;
use portcullis::revocation::log::{self, Cursor, Feed, Log, Store, embedded};
use portcullis::revocation::{Action, Draft, Retention, Revocation, Target, Terms};

use crate::nats::place::NatsPlace;
use crate::redis::place::RedisPlace;

const ISSUER: &str = "https://id.example.com";
/// In the past: a store that shares its log trusts the earlier of its own clock and ours.
const NOW: UnixMillis = UnixMillis::from_seconds(1_600_000_000);

const TERMS: Terms = Terms {
    longest_life: Duration::from_hours(1),
    leeway: Duration::from_mins(1),
    not_before: UnixMillis(0),
};

/// A place where one store keeps its log: it can be opened, closed and opened again.
trait Place {
    fn open(&self, clock: &Clock) -> Store;
}

struct EmbeddedPlace(tempfile::TempDir);

impl EmbeddedPlace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Place for RedisPlace {
    fn open(&self, clock: &Clock) -> Store {
        Self::open(self, clock, &retention())
    }
}

fn retention() -> Retention {
    let retention = Retention::default();
    let terms = HashMap::from([(ISSUER.to_owned(), TERMS)]);
    retention.set(terms, Duration::ZERO);
    retention
}

impl Place for EmbeddedPlace {
    fn open(&self, clock: &Clock) -> Store {
        let path = self.0.path().to_owned();
        let local = embedded::Config { path };
        let config = log::Config::Embedded(local.clone());
        log::open(&config, &local, clock, &Readiness::default(), &retention()).unwrap()
    }
}

impl Place for NatsPlace {
    fn open(&self, clock: &Clock) -> Store {
        Self::open(self, clock, &retention())
    }
}

/// A revocation of the tokens of `subject`.
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

fn records(count: usize) -> Vec<Arc<Revocation>> {
    (0..count).map(|i| record(&format!("user-{i}"))).collect()
}

/// Reads up to the first `InSync`; returns what came and the place.
async fn up_to_sync(feed: &mut BoxStream<'static, Feed>) -> (Vec<Arc<Revocation>>, Cursor) {
    let mut seen = Vec::new();
    loop {
        match feed.next().await.expect("the feed goes on") {
            Feed::Records(records, _) => seen.extend(records),
            Feed::InSync(cursor, _) => return (seen, cursor),
            Feed::Lost(why) => panic!("{why}"),
            Feed::Reset(_) | Feed::Restored(_) => panic!("the log is the same"),
        }
    }
}

async fn all_of(log: &dyn Log) -> Vec<Arc<Revocation>> {
    up_to_sync(&mut log.follow(None)).await.0
}

async fn an_empty_log_is_in_sync_at_once(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    assert!(all_of(&*store.log).await.is_empty());
}

async fn records_come_in_the_order_of_their_appends(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let records = records(50);
    for batch in records.chunks(7) {
        store.log.append(batch.to_vec()).await.unwrap();
    }
    assert_eq!(all_of(&*store.log).await, records);
}

async fn concurrent_batches_are_never_mixed_nor_lost(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let records = records(300);
    let appends = records
        .chunks(3)
        .map(|batch| store.log.append(batch.to_vec()));
    future::try_join_all(appends).await.unwrap();
    let seen = all_of(&*store.log).await;
    assert_eq!(seen.len(), records.len());
    for batch in records.chunks(3) {
        let at = seen.iter().position(|record| *record == batch[0]).unwrap();
        assert_eq!(seen[at..at + 3], *batch);
    }
}

async fn cursors_rise_and_do_not_pass_the_batch_before_it_is_there(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let first = store.log.append(records(2)).await.unwrap();
    let second = store.log.append(vec![record("later")]).await.unwrap();
    assert_eq!(first.epoch, second.epoch);
    assert!(first.position < second.position);
    let (_, head) = up_to_sync(&mut store.log.follow(None)).await;
    assert_eq!(head, second);
}

/// How often it comes is the store's choice: a second time changes nothing in the index.
async fn a_duplicate_counts_as_appended(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let first = store.log.append(vec![record("a")]).await.unwrap();
    let second = store.log.append(vec![record("a")]).await.unwrap();
    assert!(second.position >= first.position);
    let twice = vec![record("b"), record("b")];
    store.log.append(twice).await.unwrap();
    let mut seen = all_of(&*store.log).await;
    seen.dedup();
    assert_eq!(seen, [record("a"), record("b")]);
}

async fn an_id_that_is_used_for_another_event_is_no_duplicate(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let mut other = Revocation::clone(&record("b"));
    other.id.clone_from(&record("a").id);
    let both = vec![record("a"), Arc::new(other)];
    store.log.append(both.clone()).await.unwrap();
    assert_eq!(all_of(&*store.log).await, both);
}

async fn a_duplicate_that_must_be_remembered_longer_replaces_the_first(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let mut later = Revocation::clone(&record("a"));
    later.received_at = later.received_at.plus(Duration::from_mins(5));
    later.forget_after = later.forget_after.plus(Duration::from_mins(5));
    let later = Arc::new(later);
    let mut feed = store.log.follow(None);
    store.log.append(vec![record("a")]).await.unwrap();
    let cursor = store.log.append(vec![Arc::clone(&later)]).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let (more, at) = up_to_sync(&mut feed).await;
        seen.extend(more);
        if at == cursor {
            break;
        }
    }
    assert_eq!(seen.last(), Some(&later));
    assert_eq!(all_of(&*store.log).await.last(), Some(&later));
}

async fn a_follower_hears_of_what_comes(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let mut feed = store.log.follow(None);
    up_to_sync(&mut feed).await;
    for record in records(20) {
        store.log.append(vec![Arc::clone(&record)]).await.unwrap();
        let mut seen = Vec::new();
        while seen.is_empty() {
            seen = up_to_sync(&mut feed).await.0;
        }
        assert_eq!(seen, [record]);
    }
}

async fn the_heartbeat_comes_without_news(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let mut feed = store.log.follow(None);
    let (_, first) = up_to_sync(&mut feed).await;
    let (seen, second) = up_to_sync(&mut feed).await;
    assert!(seen.is_empty());
    assert_eq!(first, second);
}

async fn following_resumes_without_a_gap(place: impl Place) {
    let clock = Clock::manual(NOW);
    let store = place.open(&clock);
    let records = records(40);
    store.log.append(records[..10].to_vec()).await.unwrap();
    let (_, cursor) = up_to_sync(&mut store.log.follow(None)).await;
    store.log.append(records[10..20].to_vec()).await.unwrap();
    let (seen, _) = up_to_sync(&mut store.log.follow(Some(cursor))).await;
    assert_eq!(seen, records[10..20]);
    drop(store);
    let store = place.open(&clock);
    store.log.append(records[20..].to_vec()).await.unwrap();
    let (seen, _) = up_to_sync(&mut store.log.follow(Some(cursor))).await;
    assert_eq!(seen, records[10..]);
}

async fn a_cursor_of_another_history_resets(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let mut cursor = store.log.append(records(5)).await.unwrap();
    cursor.epoch[0] ^= 1;
    let mut feed = store.log.follow(Some(cursor));
    assert!(matches!(feed.next().await, Some(Feed::Reset(_))));
    let (seen, _) = up_to_sync(&mut feed).await;
    assert_eq!(seen, records(5));
}

async fn a_cursor_past_the_head_resets(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let mut cursor = store.log.append(records(5)).await.unwrap();
    cursor.position += 1;
    let mut feed = store.log.follow(Some(cursor));
    assert!(matches!(feed.next().await, Some(Feed::Reset(_))));
    assert_eq!(up_to_sync(&mut feed).await.0, records(5));
}

async fn a_backlog_is_delivered_whole(place: impl Place) {
    let store = place.open(&Clock::manual(NOW));
    let records = records(10_000);
    let mut slow = store.log.follow(None);
    let (_, start) = up_to_sync(&mut slow).await;
    let mut last = start;
    for batch in records.chunks(2000) {
        last = store.log.append(batch.to_vec()).await.unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let (more, at) = up_to_sync(&mut slow).await;
        seen.extend(more);
        if at == last {
            break;
        }
    }
    assert_eq!(seen, records);
    assert_eq!(all_of(&*store.log).await, records);
}

async fn what_was_acknowledged_outlives_a_restart(place: impl Place) {
    let clock = Clock::manual(NOW);
    let mut expected = Vec::new();
    for round in 0..5 {
        let store = place.open(&clock);
        assert_eq!(all_of(&*store.log).await, expected);
        let record = record(&format!("round-{round}"));
        store.log.append(vec![Arc::clone(&record)]).await.unwrap();
        expected.push(record);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_the_embedded_log_ends_the_feed_after_what_was_appended() {
    let place = EmbeddedPlace::new();
    let store = place.open(&Clock::manual(NOW));
    let mut feed = store.log.follow(None);
    up_to_sync(&mut feed).await;
    store.log.append(records(3)).await.unwrap();
    drop(store);
    let mut seen = Vec::new();
    while let Some(next) = feed.next().await {
        if let Feed::Records(records, _) = next {
            seen.extend(records);
        }
    }
    assert_eq!(seen, records(3));
}

async fn a_shutdown_in_the_middle_keeps_what_it_acknowledged(place: impl Place) {
    let clock = Clock::manual(NOW);
    let store = place.open(&clock);
    let senders = records(200).into_iter().map(|record| {
        let log = Arc::clone(&store.log);
        tokio::spawn(async move {
            log.append(vec![Arc::clone(&record)]).await.unwrap();
            record
        })
    });
    let senders = senders.collect::<Vec<_>>();
    drop(store);
    let mut acknowledged = Vec::new();
    for (i, sender) in senders.into_iter().enumerate() {
        if i > 100 {
            sender.abort();
        }
        acknowledged.extend(sender.await.ok());
    }
    let store = place.open(&clock);
    let seen = all_of(&*store.log).await;
    assert!(acknowledged.len() > 100);
    assert!(acknowledged.iter().all(|record| seen.contains(record)));
}

async fn what_is_over_leaves_the_log_and_the_rest_stays(place: impl Place) {
    let clock = Clock::manual(NOW);
    let store = place.open(&clock);
    let old = record("old");
    let mut young = Revocation::clone(&record("young"));
    young.issued_at_or_before = Some(NOW.plus(Duration::from_mins(30)));
    young.forget_after = TERMS.forget_after(&young);
    let young = Arc::new(young);
    let both = vec![Arc::clone(&old), Arc::clone(&young)];
    // Two appends: a store may keep a batch as one until the last of it is over.
    for one in &both {
        store.log.append(vec![Arc::clone(one)]).await.unwrap();
    }
    clock.advance(old.forget_after.since(clock.now()));
    // One moment too early for either.
    assert_eq!(all_of(&*store.log).await, both);
    clock.advance(Duration::from_millis(1));
    let mut seen = both;
    while seen.len() == 2 {
        // Compaction comes round by itself; a feed from the start shows when it did.
        let mut feed = store.log.follow(None);
        seen = up_to_sync(&mut feed).await.0;
        up_to_sync(&mut feed).await;
    }
    assert_eq!(seen, [young]);
}

async fn the_kept_things_outlive_a_restart(place: impl Place) {
    use portcullis::core::kv::Kind;
    let clock = Clock::manual(NOW);
    let store = place.open(&clock);
    assert_eq!(store.keep.load(Kind::KeySet, ISSUER).unwrap(), None);
    store.keep.save(Kind::KeySet, ISSUER, b"one").unwrap();
    store.keep.save(Kind::KeySet, ISSUER, b"two").unwrap();
    store.keep.save(Kind::Lifetimes, ISSUER, b"three").unwrap();
    drop(store);
    let store = place.open(&clock);
    let load = |kind| store.keep.load(kind, ISSUER).unwrap();
    assert_eq!(load(Kind::KeySet).as_deref(), Some(&b"two"[..]));
    assert_eq!(load(Kind::Lifetimes).as_deref(), Some(&b"three"[..]));
}

macro_rules! contract {
    ($store:ident, $place:expr) => {
        contract!(@each $store, $place,
            an_empty_log_is_in_sync_at_once
            records_come_in_the_order_of_their_appends
            concurrent_batches_are_never_mixed_nor_lost
            cursors_rise_and_do_not_pass_the_batch_before_it_is_there
            a_duplicate_counts_as_appended
            an_id_that_is_used_for_another_event_is_no_duplicate
            a_duplicate_that_must_be_remembered_longer_replaces_the_first
            a_follower_hears_of_what_comes
            the_heartbeat_comes_without_news
            following_resumes_without_a_gap
            a_cursor_of_another_history_resets
            a_cursor_past_the_head_resets
            a_backlog_is_delivered_whole
            what_was_acknowledged_outlives_a_restart
            a_shutdown_in_the_middle_keeps_what_it_acknowledged
            what_is_over_leaves_the_log_and_the_rest_stays
            the_kept_things_outlive_a_restart
        );
    };
    (@each $store:ident, $place:expr, $($case:ident)*) => {
        mod $store {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case($place).await;
                }
            )*
        }
    };
}

contract!(embedded_store, EmbeddedPlace::new());
contract!(nats_store, NatsPlace::start());
contract!(redis_store, RedisPlace::start().await);
