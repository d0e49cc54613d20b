//! A valid file stays valid through crashes and rotations, and any single change of it is found.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::verify::Bad;
use super::*;

fn open(path: &Path) -> (Audit, Task, Registry, Readiness) {
    let config = Config {
        file: path.to_owned(),
        hash_subjects: true,
    };
    let (mut registry, readiness) = (Registry::default(), Readiness::default());
    let opened = Audit::open(&config, &Clock::system(), &readiness, &mut registry);
    let (audit, task) = opened.unwrap();
    (audit, task, registry, readiness)
}

async fn stop(task: Task) {
    task.run(std::future::ready(())).await.unwrap();
}

fn check(files: &[&Path]) -> Result<Report, Bad> {
    let files: Vec<PathBuf> = files.iter().map(|file| (*file).to_owned()).collect();
    verify(&files, &Expected::default())
}

async fn write(audit: &Audit, count: usize) {
    for number in 0..count {
        audit.write("test", || json!({ "number": number })).await;
    }
}

#[tokio::test]
async fn the_chain_goes_on_through_rotation_and_restart() {
    let home = TempDir::new().unwrap();
    let (path, older) = (
        home.path().join("audit.log"),
        home.path().join("audit.log.1"),
    );
    let (audit, task, ..) = open(&path);
    write(&audit, 3).await;
    fs::rename(&path, &older).unwrap();
    write(&audit, 3).await;
    stop(task).await;
    let report = check(&[&path, &older]).unwrap();
    assert_eq!((report.first, report.lines), (1, 8), "{report:?}");
    assert!(
        check(&[&path])
            .unwrap_err()
            .why
            .contains("older lines are missing")
    );
    assert!(
        check(&[&older]).is_ok(),
        "its end is the beginning of the next file"
    );
    // Rotated while nobody writes: the next process finds no line.
    let oldest = home.path().join("audit.log.2");
    fs::rename(&older, &oldest).unwrap();
    fs::rename(&path, &older).unwrap();
    let (audit, task, ..) = open(&path);
    write(&audit, 1).await;
    assert_eq!(audit.last().unwrap().seq, 10);
    stop(task).await;
    let report = check(&[&path, &older, &oldest]).unwrap();
    assert_eq!(report.lines, 11);
    let expected = Expected {
        first: Some(9),
        ..Expected::default()
    };
    assert!(verify(&[path], &expected).is_ok());
}

#[tokio::test]
async fn half_a_line_is_torn_and_no_tampering() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("audit.log");
    let (audit, task, ..) = open(&path);
    write(&audit, 2).await;
    stop(task).await;
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"seq\":5,\"time\":\"20"].concat()).unwrap();
    let report = check(&[&path]).unwrap();
    assert_eq!(report.torn, std::slice::from_ref(&path));
    let (_, task, ..) = open(&path);
    stop(task).await;
    let report = check(&[&path]).unwrap();
    assert!(report.torn.is_empty());
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains("\"torn_bytes\":19")
    );
    assert_eq!(report.lines, 6);
}

#[tokio::test]
async fn two_processes_do_not_write_one_file() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("audit.log");
    let (_audit, _task, ..) = open(&path);
    let config = Config {
        file: path,
        hash_subjects: false,
    };
    let second = Audit::open(
        &config,
        &Clock::system(),
        &Readiness::default(),
        &mut Registry::default(),
    );
    assert!(second.is_err_and(|why| why.contains("another process")));
}

#[tokio::test]
async fn samples_beyond_the_limit_are_counted_in_the_chain() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("audit.log");
    let (audit, task, ..) = open(&path);
    for _ in 0..5000 {
        audit.sample(Sampled::Refusals, "refusal", || json!({}));
    }
    // Another kind has limits of its own.
    audit.sample(Sampled::Shadow, "shadow", || json!({}));
    audit.write("test", || json!({})).await;
    stop(task).await;
    check(&[&path]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    let written = lines
        .iter()
        .filter(|line| line["kind"] == "refusal")
        .count() as u64;
    let left_out: u64 = lines
        .iter()
        .filter_map(|line| line["refusals"].as_u64())
        .sum();
    assert_eq!(written + left_out, 5000);
    let shadow = lines.iter().filter(|line| line["kind"] == "shadow");
    assert_eq!(shadow.count(), 1);
    assert!(written >= 100 && left_out > 0, "{written} {left_out}");
}

/// The directory vanishes, and comes back.
#[tokio::test]
async fn what_cannot_be_written_is_written_later_and_shown_as_degraded() {
    let home = TempDir::new().unwrap();
    let (place, away) = (home.path().join("place"), home.path().join("away"));
    fs::create_dir(&place).unwrap();
    let path = place.join("audit.log");
    let (audit, task, _, readiness) = open(&path);
    fs::rename(&place, &away).unwrap();
    assert_eq!(audit.require().await, Err(Unwritable));
    write(&audit, 3).await;
    assert!(readiness.state().degraded.contains_key("audit"));
    fs::rename(&away, &place).unwrap();
    assert_eq!(audit.require().await, Ok(()));
    assert!(!readiness.state().degraded.contains_key("audit"));
    stop(task).await;
    assert_eq!(check(&[&path]).unwrap().lines, 5);
}

#[test]
fn subjects_are_hashed_with_their_issuer() {
    let off = Audit::default();
    assert_eq!(off.subject("https://id.example.com", "alice"), "alice");
    let home = TempDir::new().unwrap();
    let (on, ..) = open(&home.path().join("audit.log"));
    let hashed = on.subject("https://id.example.com", "alice");
    assert_eq!(hashed.len(), "sha256:".len() + 64);
    assert_ne!(hashed, on.subject("https://other.example.com", "alice"));
}

/// A change of a file.
#[derive(Clone, Debug)]
enum Change {
    Remove(usize),
    Swap(usize, usize),
    Repeat(usize),
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<usize>().prop_map(Change::Remove),
        any::<(usize, usize)>().prop_map(|(one, other)| Change::Swap(one, other)),
        any::<usize>().prop_map(Change::Repeat),
        (any::<usize>(), 1..=255_u8).prop_map(|(place, bits)| Change::Flip(place, bits)),
        any::<usize>().prop_map(Change::Cut),
        any::<(usize, u8)>().prop_map(|(place, byte)| Change::Insert(place, byte)),
    ]
}

fn changed(text: &[u8], change: &Change) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let (count, mut bytes) = (lines.len(), text.to_vec());
    match *change {
        Change::Remove(at) => {
            lines.remove(at % count);
        }
        Change::Swap(one, other) => lines.swap(one % count, other % count),
        Change::Repeat(at) => lines.insert(at % count, lines[at % count]),
        Change::Flip(at, bits) => {
            bytes[at % text.len()] ^= bits;
            return bytes;
        }
        Change::Cut(at) => {
            bytes.truncate(at % text.len());
            return bytes;
        }
        Change::Insert(at, byte) => {
            bytes.insert(at % (text.len() + 1), byte);
            return bytes;
        }
    }
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
    #[test]
    fn any_single_change_of_a_valid_file_is_found(change in change()) {
        let home = TempDir::new().unwrap();
        let path = home.path().join("audit.log");
        let (mut link, mut text) = (Link::default(), String::new());
        for number in 0..7 {
            let body = json!({ "number": number, "why": "a reason" });
            let (line, next) = link.next("2026-11-27T08:00:00.000Z", "test", &body);
            text.push_str(&line);
            link = next;
        }
        fs::write(&path, &text).unwrap();
        fs::write(home.path().join("audit.log.head"), format!("{link}\n")).unwrap();
        prop_assert!(check(&[&path]).is_ok());
        let other = changed(text.as_bytes(), &change);
        fs::write(&path, &other).unwrap();
        let found = check(&[&path]);
        // Bytes behind the last line are no line: only a crash leaves them.
        let is_torn = matches!(&found, Ok(report) if !report.torn.is_empty())
            && other.starts_with(text.as_bytes());
        prop_assert_eq!(found.is_err() || is_torn, other != text.as_bytes());
    }
}
