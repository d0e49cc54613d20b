//! Notes over the embedded store.

use super::*;
use crate::core::clock::Clock;
use crate::revocation::tests::{ISSUER, NOW, Process};

const PEOPLE: (&str, &str) = ("people", ISSUER);
const PATIENCE: Duration = Duration::from_secs(30);

async fn put(process: &Process, version: u64, text: Option<&str>) -> bool {
    let note = note(version, text);
    let change = Change { note, keep: KEPT };
    let put = process.notes.put(PEOPLE, Vec::new(), change, PATIENCE);
    put.await.unwrap()
}

fn text(process: &Process) -> Option<String> {
    process.notes.known.get("people", "u1")?.text.clone()
}

fn note(version: u64, text: Option<&str>) -> Note {
    Note {
        key: "u1".to_owned(),
        version,
        names: text.map(str::to_owned).into_iter().collect(),
        text: text.map(str::to_owned),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_a_note_the_first_in_the_log_counts_also_after_a_restart() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
    let process = Process::start(directory.path(), &clock);
    assert!(put(&process, 1, Some("alice")).await);
    assert!(!put(&process, 1, Some("bob")).await, "it is late");
    assert!(put(&process, 2, Some("carol")).await);
    assert!(!put(&process, 2, None).await, "it is late");
    let known = process.notes.known.clone();
    assert_eq!(known.named("people", "carol").len(), 1);
    for name in ["alice", "bob"] {
        assert!(known.named("people", name).is_empty(), "{name}");
    }
    assert!(known.named("another", "carol").is_empty());
    process.stop().await;
    let process = Process::start(directory.path(), &clock);
    process.notes.catch_up(PATIENCE).await.unwrap();
    assert_eq!(text(&process).as_deref(), Some("carol"));
    assert!(put(&process, 3, None).await);
    assert_eq!(text(&process), None);
    assert_eq!(process.notes.known.version("people", "u1"), 3);
    assert_eq!(process.notes.known.page("people", 0, 9).0, 0);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_renewed_when_half_of_its_time_is_over_and_at_once_in_a_new_history() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
    let process = Process::start(directory.path(), &clock);
    assert!(put(&process, 1, Some("alice")).await);
    let renewed = async || process.notes.renew(PEOPLE).await.unwrap();
    assert_eq!(renewed().await, 0);
    clock.advance(KEPT / 2 + Duration::from_secs(1));
    assert_eq!(renewed().await, 1);
    process.notes.catch_up(PATIENCE).await.unwrap();
    assert_eq!(process.notes.known.version("people", "u1"), 2);
    assert_eq!(text(&process).as_deref(), Some("alice"));
    assert_eq!(renewed().await, 0);
    process.notes.known.write_again();
    assert_eq!(renewed().await, 1);
    process.stop().await;
}

fn record_of(note: Note, forget_after: UnixMillis, received_at: UnixMillis) -> Revocation {
    Revocation {
        forget_after,
        received_at,
        note: Some(Box::new(note)),
        ..Revocation::without_effect(String::new(), ISSUER, "people", CAUSE, NOW)
    }
}

#[test]
fn a_note_that_is_gone_is_remembered_for_longer_than_its_earlier_versions() {
    let known = Known::default();
    let record = |note, forget_after| record_of(note, forget_after, NOW);
    let end = NOW.plus(KEPT);
    known.learn(&record(note(2, None), end.plus(MARGIN)));
    known.learn(&record(note(1, Some("alice")), end));
    assert_eq!(known.get("people", "u1"), None);
    known.due("people", end);
    assert_eq!(known.version("people", "u1"), 2);
    known.due("people", end.plus(MARGIN * 2));
    assert_eq!(known.version("people", "u1"), 0);
}

/// One of them was asked for what is due, and so forgot it; the other one was not.
#[test]
fn whoever_comes_back_after_a_note_was_forgotten_is_known_to_every_replica() {
    let end = NOW.plus(KEPT + MARGIN);
    let replicas = [Known::default(), Known::default()];
    for known in &replicas {
        known.learn(&record_of(note(7, None), end, NOW));
        known.learn(&record_of(note(1, Some("early")), end, end));
        assert_eq!(known.version("people", "u1"), 7);
    }
    let later = end.plus(Duration::from_millis(1));
    replicas[0].due("people", later);
    for known in &replicas {
        known.learn(&record_of(note(1, Some("alice")), later.plus(KEPT), later));
        assert_eq!(known.named("people", "alice").len(), 1);
        assert_eq!(known.version("people", "u1"), 1);
    }
}
