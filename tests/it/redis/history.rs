//! What a follower makes of the log's history: gaps, other histories, what is over.

use super::*;
use crate::support::redis::STREAM;
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_entry() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    let batch = (0..5000).map(|i| record(&i.to_string())).collect();
    log.append(batch).await.unwrap();
    assert_eq!(server.entries().await, 1);
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects.len(), 5000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_without_the_file_resets_and_goes_on() {
    let mut server = Server::start().await;
    let log = connect(&config(server.socket()));
    for subject in ["a", "b", "c"] {
        append(&log, subject).await.unwrap();
    }
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["a", "b", "c"]);
    server.restart_empty().await;
    append_at_last(&log, "d").await;
    watch.until(|watch| watch.subjects == ["d"]).await;
    assert_eq!(watch.resets, 1);
    append_at_last(&log, "a").await;
    watch.until(|watch| watch.subjects == ["d", "a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_resets_although_the_connection_holds() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    append(&log, "a").await.unwrap();
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    server.run::<u64>(&["DEL", STREAM]).await;
    append(&log, "a").await.unwrap();
    append(&log, "b").await.unwrap();
    watch
        .until(|watch| watch.resets > 0 && watch.subjects == ["a", "b"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptying_the_server_resets() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    append(&log, "a").await.unwrap();
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    server.run::<String>(&["FLUSHALL"]).await;
    watch.until(|watch| watch.resets == 1).await;
    watch.sync().await;
    assert!(watch.subjects.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trimmed_stream_resets_the_follower() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    let seen = append(&log, "a").await.unwrap();
    append(&log, "b").await.unwrap();
    append(&log, "c").await.unwrap();
    server.run::<u64>(&["XTRIM", STREAM, "MAXLEN", "1"]).await;
    let mut watch = Watch::of(&log, Some(seen));
    watch.sync().await;
    assert_eq!(watch.resets, 1);
    assert_eq!(watch.subjects, ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_was_trimmed_unseen_resets_once() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    let seen = append(&log, "a").await.unwrap();
    append(&log, "b").await.unwrap();
    server.run::<u64>(&["XTRIM", STREAM, "MAXLEN", "0"]).await;
    let mut watch = Watch::of(&log, Some(seen));
    watch.sync().await;
    append(&log, "c").await.unwrap();
    watch.until(|watch| watch.subjects == ["c"]).await;
    assert_eq!(watch.resets, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unseen_deletion_resets() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    let seen = append(&log, "a").await.unwrap();
    let hidden = append(&log, "b").await.unwrap().position;
    append(&log, "c").await.unwrap();
    let id = format!("{}-{}", hidden >> 64, hidden & u128::from(u64::MAX));
    assert_eq!(server.run::<u64>(&["XDEL", STREAM, &id]).await, 1);
    let mut watch = Watch::of(&log, Some(seen));
    watch.sync().await;
    assert_eq!(watch.resets, 1);
    assert_eq!(watch.subjects, ["a", "c"]);
}

/// What a failover to a replica that was behind looks like: the same epoch without the last
/// entries, and later ones after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_and_went_on_resets_the_follower() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    append(&log, "a").await.unwrap();
    server.run::<u64>(&["COPY", STREAM, "behind"]).await;
    let lost = append(&log, "lost").await.unwrap();
    server.run::<String>(&["RENAME", "behind", STREAM]).await;
    // Ids begin with the server's milliseconds; within one of them the next entry would get the
    // lost one's id. A failover takes longer.
    until("the server's clock moves on", async || {
        let (seconds, micros): (u128, u128) = server.run(&["TIME"]).await;
        (seconds * 1000 + micros / 1000 > lost.position >> 64).then_some(())
    })
    .await;
    let after = append(&log, "b").await.unwrap();
    assert!(after.position > lost.position);
    let mut watch = Watch::of(&log, Some(lost));
    watch.sync().await;
    assert_eq!(watch.resets, 1);
    assert_eq!(watch.subjects, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_nobody_understands_is_not_skipped() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    append(&log, "a").await.unwrap();
    let foreign: String = server.run(&["XADD", STREAM, "*", "hello", "world"]).await;
    let mut watch = Watch::of(&log, None);
    watch.until(|watch| !watch.losses.is_empty()).await;
    assert_eq!(watch.subjects, ["a"]);
    assert!(watch.losses[0].contains(&foreign), "{:?}", watch.losses);
    server.run::<u64>(&["XDEL", STREAM, &foreign]).await;
    append(&log, "b").await.unwrap();
    watch.until(|watch| watch.subjects == ["a", "b"]).await;
    watch.sync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_deletes_what_is_over_and_says_how_far() {
    let server = Server::start().await;
    let config = config(server.socket());
    let clock = Clock::manual(NOW);
    let log = connect_by(&config, &clock);
    let other = connect(&config);
    let lasting = |subject: &str| {
        let mut lasting = Revocation::clone(&record(subject));
        lasting.issued_at_or_before = Some(NOW.plus(Duration::from_hours(9)));
        lasting.forget_after = TERMS.forget_after(&lasting);
        vec![Arc::new(lasting)]
    };
    append(&log, "early").await.unwrap();
    log.append(lasting("lasting")).await.unwrap();
    append(&log, "late").await.unwrap();
    let mut behind = Watch::of(&other, None);
    behind.sync().await;
    assert_eq!(behind.subjects.len(), 3);
    let over = record("early").forget_after;
    clock.advance(over.since(clock.now()) + Duration::from_millis(1));
    let mut watch = Watch::of(&log, None);
    watch.until_compacted(&server, 1).await;
    // Who was there already sees no gap in what was deleted behind it.
    log.append(lasting("news")).await.unwrap();
    behind.until(|behind| behind.subjects.len() == 4).await;
    assert_eq!(behind.resets, 0);
    // Who joins gets what is alive, and learns before it is in sync how far the log forgot.
    let joins = connect(&config);
    let mut joining = Watch::of(&joins, None);
    joining.sync().await;
    assert!(joining.subjects.contains(&"lasting".to_owned()));
    assert!(!joining.subjects.contains(&"early".to_owned()));
    assert_eq!(joins.horizon().get(), over);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_wrong_clock_is_reported_and_raises_no_horizon() {
    let server = Server::start().await;
    let clock = Clock::manual(Clock::system().now());
    let log = connect_by(&config(server.socket()), &clock);
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(log.clock_apart(), None);
    for days in [1, -1] {
        let day = Duration::from_hours(24);
        let now = Clock::system().now();
        clock.set(if days > 0 {
            now.minus(day)
        } else {
            now.plus(day)
        });
        while log.clock_apart().is_none_or(|apart| apart.signum() != days) {
            watch.step().await;
        }
        let hours = log.clock_apart().unwrap_or_default() / 3_600_000;
        assert!((23..=24).contains(&hours.abs()), "{hours}");
    }
    clock.set(Clock::system().now());
    while log.clock_apart().is_some() {
        watch.step().await;
    }
    assert_eq!(log.horizon().get().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_deletes_nothing() {
    let server = Server::start().await;
    let clock = Clock::manual(NOW);
    let log = connect_by(&config(server.socket()), &clock);
    append(&log, "alive").await.unwrap();
    clock.set(NOW.plus(Duration::from_hours(24)));
    let mut watch = Watch::of(&log, None);
    let rounds = async || server.run::<String>(&["INFO", "commandstats"]).await;
    // A round has looked at it.
    while !rounds().await.contains("cmdstat_xrange:calls=") {
        watch.step().await;
    }
    watch.sync().await;
    assert_eq!(server.entries().await, 1);
    clock.advance(Duration::from_hours(2));
    watch.until_compacted(&server, 0).await;
}

/// A round of six steps takes longer than the lock lasts at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_keeps_its_lock_on_a_long_log() {
    let server = Server::start().await;
    let log = connect_at(&config(server.socket()), NOW.plus(Duration::from_hours(5)));
    for n in 0..3000 {
        append(&log, &n.to_string()).await.unwrap();
    }
    let lock = async || {
        let key = format!("{STREAM}:compacting");
        server.run::<Option<String>>(&["GET", &key]).await
    };
    let mut watch = Watch::of(&log, None);
    let reading = tokio::spawn(async move {
        loop {
            watch.step().await;
        }
    });
    let mut held = None;
    until("the log is compacted", async || {
        let left = server.entries().await;
        let now = lock().await;
        if left < 3000 && left > 0 {
            assert!(now.is_some(), "the lock was lost with {left} entries to go");
            assert_eq!(
                *held.get_or_insert_with(|| now.clone()),
                now,
                "another took it"
            );
        }
        (left == 0).then_some(())
    })
    .await;
    reading.abort();
    assert!(held.is_some(), "it was never seen at work");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ahead_deletes_nothing_that_is_alive() {
    let server = Server::start().await;
    let far = UnixMillis::from_seconds(32_503_680_000);
    let log = connect_at(&config(server.socket()), far);
    let mut alive = Revocation::clone(&record("alive"));
    alive.forget_after = far.minus(Duration::from_hours(1));
    log.append(vec![Arc::new(alive)]).await.unwrap();
    append(&log, "over").await.unwrap();
    let mut watch = Watch::of(&log, None);
    watch.until_compacted(&server, 1).await;
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["alive"]);
}
