//! What a follower sees, and what it never misses.

use std::time::Duration;

use portcullis::core::clock::Clock;
use portcullis::core::units::Span;
use portcullis::revocation::log::{AppendError, Cursor, Feed, Log};

use super::{Reader, STREAM, append, config, connect, lasting, operator};
use crate::support::nats::{Server, Settings};

#[tokio::test]
async fn records_come_in_order_and_then_as_they_are_made() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    let mut expected = Vec::new();
    for n in 0..50 {
        expected.extend([format!("a{n}"), format!("b{n}")]);
        let last = append(
            &log,
            vec![lasting(&format!("a{n}")), lasting(&format!("b{n}"))],
        )
        .await;
        assert_eq!(last.position >> 64, n + 1);
    }
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    assert_eq!(reader.seen, expected);
    let cursor = append(&log, vec![lasting("later")]).await;
    reader.sees("later").await;
    assert_eq!(reader.cursor, Some(cursor));
    // The heartbeats go on without an event.
    reader.in_sync().await;
    reader.in_sync().await;
    assert_eq!(reader.cursor, Some(cursor));
}

#[tokio::test]
async fn an_empty_log_is_in_sync_at_once() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    assert!(reader.seen.is_empty());
    append(&log, vec![lasting("first")]).await;
    reader.sees("first").await;
}

#[tokio::test]
async fn a_follower_resumes_behind_its_cursor() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![lasting("a")]).await;
    let place = append(&log, vec![lasting("b")]).await;
    append(&log, vec![lasting("c")]).await;
    let mut reader = Reader::new(&connect(&server), Some(place));
    reader.in_sync().await;
    assert_eq!(
        (reader.seen.as_slice(), reader.resets),
        (["c".to_owned()].as_slice(), 0)
    );
}

#[tokio::test]
async fn a_cursor_of_another_log_starts_from_the_beginning() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![lasting("a")]).await;
    let place = append(&log, vec![lasting("b")]).await;
    let foreign = Cursor {
        epoch: [7; 16],
        ..place
    };
    let ahead = Cursor {
        position: place.position + (5_u128 << 64),
        ..place
    };
    let overwritten = Cursor {
        position: place.position ^ 1,
        ..place
    };
    for stale in [foreign, ahead, overwritten] {
        let mut reader = Reader::new(&log, Some(stale));
        reader.in_sync().await;
        assert_eq!((reader.resets, reader.seen.len()), (1, 2), "{stale:?}");
    }
}

#[tokio::test]
async fn servers_that_are_down_at_the_start_are_waited_for() {
    let mut server = Server::start(&Settings::default());
    server.kill();
    let log = connect(&server);
    let error = log.append(vec![lasting("early")]).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    let mut reader = Reader::new(&log, None);
    let why = reader.lost().await;
    assert!(why.contains("not connected"), "{why}");
    server.restart();
    reader.in_sync().await;
    append(&log, vec![lasting("a")]).await;
    reader.sees("a").await;
    // What was refused while nobody was there is not stored later on.
    assert_eq!(reader.seen, ["a"]);
}

#[tokio::test]
async fn a_killed_server_comes_back_and_nothing_is_missed_or_repeated() {
    let mut server = Server::start(&Settings::default());
    let log = connect(&server);
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    let mut expected = Vec::new();
    for round in 0..3 {
        let id = format!("before{round}");
        append(&log, vec![lasting(&id)]).await;
        reader.sees(&id).await;
        server.kill();
        reader.lost().await;
        let error = log.append(vec![lasting("down")]).await.unwrap_err();
        assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
        server.restart();
        let after = format!("after{round}");
        append(&log, vec![lasting(&after)]).await;
        reader.sees(&after).await;
        reader.in_sync().await;
        expected.extend([id, after]);
    }
    assert_eq!((reader.seen, reader.resets), (expected, 0));
}

#[tokio::test]
async fn a_deleted_stream_is_created_again_and_filled() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![lasting("a")]).await;
    append(&log, vec![lasting("b")]).await;
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    let operator = operator(&server).await;
    operator.delete_stream(STREAM).await.unwrap();
    reader.lost().await;
    reader.in_sync().await;
    assert_eq!(reader.resets, 1);
    // Its first number is one that was used before.
    append(&log, vec![lasting("c")]).await;
    reader.sees("c").await;
    assert_eq!(reader.seen, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_deleted_stream_is_not_created_without_permission() {
    let server = Server::start(&Settings::default());
    append(&connect(&server), vec![lasting("a")]).await;
    let mut config = config(&[server.url()]);
    config.create = false;
    let log = super::open(&config);
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    operator(&server).await.delete_stream(STREAM).await.unwrap();
    reader
        .until(|_, feed| matches!(feed, Feed::Lost(why) if why.contains("does not exist")))
        .await;
    let error = log.append(vec![lasting("b")]).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    assert_eq!(reader.resets, 0);
}

/// The trap: a consumer that resumes behind its old place in a new stream waits for ever, and
/// nothing tells it so.
#[tokio::test]
async fn a_stream_that_was_recreated_while_disconnected_is_noticed() {
    let mut server = Server::start(&Settings::default());
    let log = connect(&server);
    let mut place = None;
    for id in ["a", "b", "c"] {
        place = Some(append(&log, vec![lasting(id)]).await);
    }
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    let operator = operator(&server).await;
    let config = operator.get_stream(STREAM).await.unwrap();
    let config = config.cached_info().config.clone();
    operator.delete_stream(STREAM).await.unwrap();
    operator.create_stream(config).await.unwrap();
    server.kill();
    server.restart();
    append(&log, vec![lasting("d")]).await;
    reader.sees("d").await;
    reader.in_sync().await;
    assert_eq!(reader.resets, 1);
    // And for one that only has its cursor, after the new stream has grown past it.
    for id in ["e", "f", "g", "h"] {
        append(&log, vec![lasting(id)]).await;
    }
    reader.sees("h").await;
    assert_eq!(reader.seen, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    let mut resumed = Reader::new(&log, place);
    resumed.in_sync().await;
    assert_eq!(resumed.seen, ["d", "e", "f", "g", "h"]);
    assert_eq!(resumed.resets, 1);
}

/// As a restored backup does: the same stream by name and age, with other messages.
#[tokio::test]
async fn a_stream_that_was_put_back_is_read_again() {
    let server = Server::start(&Settings::default());
    let mut config = config(&[server.url()]);
    config.accept_weaker_stream = true;
    let operator = operator(&server).await;
    let weak = async_nats::jetstream::stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["portcullis.revocations.>".to_owned()],
        allow_message_ttl: true,
        ..async_nats::jetstream::stream::Config::default()
    };
    let stream = operator.create_stream(weak).await.unwrap();
    let log = super::open(&config);
    append(&log, vec![lasting("a")]).await;
    let place = append(&log, vec![lasting("b")]).await;
    append(&log, vec![lasting("c")]).await;
    let mut reader = Reader::new(&log, Some(place));
    reader.in_sync().await;
    assert_eq!((reader.seen.join(" "), reader.resets), ("c".to_owned(), 0));
    // Nobody can tell a message that expired from one of another history, so what is left is read.
    stream.delete_message(2).await.unwrap();
    let unseen = Cursor {
        position: 2 << 64,
        ..place
    };
    for place in [place, unseen] {
        let mut reader = Reader::new(&log, Some(place));
        reader.in_sync().await;
        assert_eq!(
            (reader.seen.join(" "), reader.resets),
            ("a c".to_owned(), 1)
        );
    }
}

#[tokio::test]
async fn an_unreadable_record_is_not_skipped() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![lasting("a")]).await;
    let operator = operator(&server).await;
    let subject = "portcullis.revocations.v9";
    let publish = operator.publish(subject, "of a later version".into()).await;
    publish.unwrap().await.unwrap();
    append(&log, vec![lasting("b")]).await;
    let mut reader = Reader::new(&log, None);
    reader
        .until(|_, feed| matches!(feed, Feed::Lost(why) if why.contains("cannot be read")))
        .await;
    assert_eq!(reader.seen, ["a"]);
    let further = tokio::time::timeout(Duration::from_secs(2), reader.in_sync()).await;
    assert!(further.is_err(), "it was passed over: {reader:?}");
}

/// A server that hangs looks like one that is far away: nobody says that the connection is gone.
#[tokio::test]
async fn a_hanging_server_is_a_lost_connection_and_an_append_without_answer() {
    let mut server = Server::start(&Settings::default());
    let mut config = config(&[server.url()]);
    config.publish_timeout = Span::secs(1);
    let log = super::open(&config);
    append(&log, vec![lasting("a")]).await;
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    server.hang();
    let error = log.append(vec![lasting("b")]).await.unwrap_err();
    assert!(matches!(error, AppendError::Unknown(_)), "{error:?}");
    reader.lost().await;
    server.wake();
    reader.in_sync().await;
    // The sender tries again, and perhaps both attempts arrive.
    append(&log, vec![lasting("b")]).await;
    reader.sees("b").await;
    assert_eq!(reader.resets, 0);
}

/// More than the server lets stand in flight, and more than a reader takes at once.
#[tokio::test]
async fn a_slow_reader_gets_everything_in_order() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    let mut slow = Reader::new(&log, None);
    slow.in_sync().await;
    let (batches, each) = (200, 500);
    let mut expected = Vec::new();
    for batch in 0..batches {
        let ids: Vec<_> = (0..each).map(|n| format!("{batch}-{n}")).collect();
        append(&log, ids.iter().map(|id| lasting(id)).collect()).await;
        expected.extend(ids);
    }
    slow.sees(expected.last().unwrap()).await;
    assert!(slow.seen == expected, "{slow:?}");
    assert!(slow.losses.is_empty(), "{slow:?}");
}

#[tokio::test]
async fn the_horizon_follows_the_servers_clock() {
    let server = Server::start(&Settings::default());
    append(&connect(&server), vec![lasting("a")]).await;
    let log = connect(&server);
    assert_eq!(log.horizon().get().0, 0);
    let before = Clock::system().now();
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    let horizon = log.horizon().get().0;
    assert!(horizon >= before.0, "{horizon}");
    assert!(horizon <= Clock::system().now().0, "{horizon}");
}
