//! Promise: a revocation that was acknowledged is enforced, whatever moment the process dies at.

use std::time::Duration;

use crate::child::{Other, Running};

/// A directory serves this many rounds, so that the replay is of several lives.
const LIVES: usize = 10;

/// The longest that a process is left in the storm.
const LONGEST_LIFE: u64 = 60;

#[test]
fn killed_at_a_random_moment_a_hundred_times() {
    (0..10).for_each(lives_of_one_directory);
}

/// Beside the other, for the second processor.
#[test]
fn killed_at_a_random_moment_a_hundred_times_more() {
    (10..20).for_each(lives_of_one_directory);
}

fn lives_of_one_directory(number: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut acknowledged = Vec::new();
    for life in 0..LIVES {
        live_and_die(
            directory.path(),
            &format!("{number}-{life}"),
            &mut acknowledged,
        );
        check(directory.path(), &acknowledged);
    }
    // A process that is killed before its first answer is a life too, but not all of them are.
    assert!(acknowledged.len() > LIVES, "{}", acknowledged.len());
}

/// Notes what the process said before it was killed, up to its last whole line.
fn live_and_die(directory: &std::path::Path, name: &str, acknowledged: &mut Vec<String>) {
    let mut other = Other::start(directory, "");
    assert_eq!(other.answer().as_deref(), Some("ready"));
    other.tell(&format!("storm {name}"));
    let moment = Duration::from_millis(rand::random_range(0..LONGEST_LIFE));
    // The one moment that must not depend on what the process does.
    std::thread::sleep(moment);
    other.kill();
    while let Some(answer) = other.answer() {
        let subject = answer.strip_prefix("ack ");
        acknowledged.push(subject.expect("every event is acknowledged").to_owned());
    }
}

fn check(directory: &std::path::Path, acknowledged: &[String]) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut running = Running::start(directory).expect("the log is whole");
        running.replayed().await.expect("the log can be replayed");
        let lost = acknowledged
            .iter()
            .find(|subject| !running.is_revoked(subject));
        assert_eq!(lost, None, "of {}", acknowledged.len());
        assert!(!running.is_revoked("nobody"));
        running.stop().await;
    });
}
