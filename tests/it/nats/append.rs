//! What is acknowledged, and what is not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures_util::future::join_all;
use portcullis::core::clock::Clock;
use portcullis::core::horizon::Horizon;
use portcullis::core::units::Bytes;
use portcullis::revocation::Retention;
use portcullis::revocation::log::nats::Nats;
use portcullis::revocation::log::{AppendError, Log};
use tokio::time::Instant;

use super::{PATIENCE, Reader, STREAM, append, config, connect, lasting, operator, revocation};
use crate::support::nats::{Server, Settings};

#[tokio::test]
async fn a_batch_is_one_message_with_a_time_to_live() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![lasting("a"), lasting("b")]).await;
    let stream = operator(&server).await.get_stream(STREAM).await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
    let message = stream.get_raw_message(1).await.unwrap();
    let time_to_live = message.headers.get("Nats-TTL").unwrap().as_str();
    assert_eq!(time_to_live, "3600");
}

#[tokio::test]
async fn the_same_batch_twice_is_acknowledged_twice() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    let batch = vec![lasting("a")];
    let first = append(&log, batch.clone()).await;
    append(&log, vec![lasting("b")]).await;
    let again = append(&log, batch).await;
    assert!(again.has_passed(first));
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    assert_eq!(reader.seen, ["a", "b", "a"]);
}

#[tokio::test]
async fn events_that_share_an_id_but_not_their_content_are_both_kept() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![revocation("a", Duration::from_mins(1))]).await;
    append(&log, vec![revocation("a", Duration::from_secs(90))]).await;
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    assert_eq!(reader.seen, ["a", "a"]);
}

#[tokio::test]
async fn expired_records_leave_the_stream_without_a_gap() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![lasting("stays")]).await;
    let place = append(&log, vec![revocation("goes", Duration::from_secs(1))]).await;
    let stream = operator(&server).await.get_stream(STREAM).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match stream.get_raw_message(2).await {
            Ok(_) => assert!(Instant::now() < deadline, "it stays for ever"),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => break,
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nothing is left behind `stays`, and a new reader sees that it has everything all the same.
    let mut fresh = Reader::new(&log, None);
    fresh.in_sync().await;
    assert_eq!(fresh.seen, ["stays"]);
    assert!(fresh.cursor.unwrap().position >= place.position);
    let mut resumed = Reader::new(&log, Some(place));
    resumed.in_sync().await;
    // Its place is gone, so it reads what is left: the stream could be another one.
    assert_eq!(
        (resumed.seen.join(" "), resumed.resets),
        ("stays".to_owned(), 1)
    );
    append(&log, vec![lasting("next")]).await;
    fresh.sees("next").await;
    resumed.sees("next").await;
    assert_eq!((fresh.resets, resumed.resets), (0, 1));
}

#[tokio::test]
async fn a_record_may_be_kept_longer_than_it_asks_for() {
    let server = Server::start(&Settings::default());
    let retention = Retention::default();
    retention.set(HashMap::new(), Duration::from_hours(2));
    let config = config(&[server.url()]);
    let log = Nats::connect(&config, &Clock::system(), &retention, &Horizon::default()).unwrap();
    append(&log, vec![lasting("a")]).await;
    let stream = operator(&server).await.get_stream(STREAM).await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    assert_eq!(message.headers.get("Nats-TTL").unwrap().as_str(), "7200");
}

#[tokio::test]
async fn a_full_stream_says_so_and_drops_nothing() {
    let server = Server::start(&Settings::default());
    let mut config = config(&[server.url()]);
    config.max_bytes = Some(Bytes::kib(4));
    let log = super::open(&config);
    append(&log, vec![lasting("first")]).await;
    let mut kept = vec!["first".to_owned()];
    let error = loop {
        let id = format!("n{}", kept.len());
        match log.append(vec![lasting(&id)]).await {
            Ok(_) => kept.push(id),
            Err(error) => break error,
        }
        assert!(kept.len() < 100, "4 KiB take more than they should");
    };
    assert!(matches!(error, AppendError::Full(_)), "{error:?}");
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    assert_eq!(reader.seen, kept);
}

fn small_messages() -> Server {
    Server::start(&Settings {
        more: "max_payload: 16KB".to_owned(),
        ..Settings::default()
    })
}

#[tokio::test]
async fn an_event_larger_than_a_message_takes_several_and_keeps_its_order() {
    let server = small_messages();
    let log = connect(&server);
    append(&log, vec![lasting("small")]).await;
    let large: Vec<_> = (0..1000).map(|n| lasting(&format!("large{n}"))).collect();
    let place = append(&log, large).await;
    let stream = operator(&server).await.get_stream(STREAM).await.unwrap();
    let messages = stream.get_info().await.unwrap().state.messages;
    assert!(messages > 5, "{messages}");
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    let large = (0..1000).map(|n| format!("large{n}"));
    let all: Vec<_> = std::iter::once("small".to_owned()).chain(large).collect();
    assert_eq!(reader.seen, all);
    assert_eq!(reader.cursor, Some(place));
}

#[tokio::test]
async fn a_record_larger_than_a_message_is_rejected() {
    let server = small_messages();
    let log = connect(&server);
    append(&log, vec![lasting("small")]).await;
    let large = lasting(&"large".repeat(4000));
    let error = log.append(vec![large]).await.unwrap_err();
    assert!(matches!(error, AppendError::Rejected(_)), "{error:?}");
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    assert_eq!(reader.seen, ["small"]);
}

#[tokio::test]
async fn many_at_once_share_messages_and_are_kept_each_once() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![lasting("first")]).await;
    let appends = (0..500).map(|n| {
        let log = Arc::clone(&log);
        async move { log.append(vec![lasting(&format!("n{n}"))]).await.unwrap() }
    });
    let cursors = join_all(appends).await;
    let mut positions: Vec<u128> = cursors.iter().map(|cursor| cursor.position).collect();
    positions.sort_unstable();
    positions.dedup();
    assert!(positions.len() < 100, "{} messages", positions.len());
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    let mut seen = reader.seen;
    assert_eq!(seen.len(), 501);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 501);
    assert_eq!(reader.cursor.unwrap().position, *positions.last().unwrap());
}

#[tokio::test]
async fn records_that_share_a_message_with_a_rejected_one_are_kept() {
    let server = small_messages();
    let log = connect(&server);
    append(&log, vec![lasting("first")]).await;
    let large = "large".repeat(4000);
    let names = ["a", "b", large.as_str(), "c", "d"];
    let appended = join_all(names.map(|name| log.append(vec![lasting(name)]))).await;
    for (name, appended) in names.iter().zip(appended) {
        match appended {
            Ok(_) => assert!(name.len() < 10),
            Err(AppendError::Rejected(_)) => assert!(name.len() > 10),
            Err(other) => panic!("{other:?}"),
        }
    }
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    for name in ["first", "a", "b", "c", "d"] {
        assert!(reader.seen.iter().any(|seen| seen == name), "{name}");
    }
}

/// What fits into one message stays in one, however many wait beside it.
#[tokio::test]
async fn events_that_share_messages_are_not_split() {
    let server = small_messages();
    let log = connect(&server);
    append(&log, vec![lasting("first")]).await;
    let event = |n: usize| (0..30).map(move |part| format!("n{n}-{part}"));
    let appends = (0..40).map(|n| {
        let log = Arc::clone(&log);
        let records = event(n).map(|name| lasting(&name)).collect();
        async move { log.append(records).await.unwrap() }
    });
    join_all(appends).await;
    let stream = operator(&server).await.get_stream(STREAM).await.unwrap();
    let state = stream.get_info().await.unwrap().state;
    let mut whole = 0;
    for number in 1..=state.last_sequence {
        let message = stream.get_raw_message(number).await.unwrap();
        let text = String::from_utf8_lossy(&message.payload);
        let events = (0..40).filter(|n| text.contains(&format!("n{n}-0")));
        for n in events {
            assert!(event(n).all(|name| text.contains(&name)), "{n} in {number}");
            whole += 1;
        }
    }
    assert_eq!(whole, 40);
    assert!(state.messages < 40, "{} messages", state.messages);
}

#[tokio::test]
async fn a_cancelled_append_cancels_no_other() {
    let server = Server::start(&Settings::default());
    let log = connect(&server);
    append(&log, vec![lasting("first")]).await;
    let mut appends: Vec<_> = (0..20)
        .map(|n| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.append(vec![lasting(&format!("n{n}"))]).await })
        })
        .collect();
    // Each has begun: the first has the turn, the others share a message.
    tokio::task::yield_now().await;
    for gone in appends.drain(..10) {
        gone.abort();
    }
    for appended in join_all(appends).await {
        appended.unwrap().unwrap();
    }
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    for n in 10..20 {
        let name = format!("n{n}");
        assert!(reader.seen.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn a_stream_that_takes_our_subjects_is_no_acknowledgement() {
    let server = Server::start(&Settings::default());
    let thief = async_nats::jetstream::stream::Config {
        name: "thief".to_owned(),
        subjects: vec!["portcullis.>".to_owned()],
        ..async_nats::jetstream::stream::Config::default()
    };
    let operator = operator(&server).await;
    operator.create_stream(thief).await.unwrap();
    let log = connect(&server);
    let mut reader = Reader::new(&log, None);
    let why = loop {
        let why = reader.lost().await;
        if !why.contains("not connected") {
            break why;
        }
    };
    assert!(why.contains("overlap"), "{why}");
    let error = log.append(vec![lasting("a")]).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    let missing = operator.get_stream(STREAM).await.unwrap_err();
    assert!(
        missing
            .to_string()
            .contains(&ErrorCode::STREAM_NOT_FOUND.0.to_string())
    );
}
