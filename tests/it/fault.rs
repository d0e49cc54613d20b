//! What happens when the disk does not do what it should: every case has a documented behaviour
//! (docs/recovery.md), and none lets a revoked token in.

#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis::revocation::OpenError;
use portcullis::revocation::log;
use tempfile::TempDir;

use crate::child::{Other, Running, draft};

const DATABASE: &str = "portcullis.db";
const WAL: &str = "portcullis.db-wal";
const WITNESS: &str = "witness";

/// How many subjects [`written`] and [`crashed`] revoke.
const SUBJECTS: usize = 60;

/// A start on the directory: which subjects are revoked, or why there is none.
fn start(path: &Path) -> Result<Vec<bool>, String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut running = Running::start(path).map_err(|error| error.to_string())?;
        running.replayed().await?;
        let subjects = (0..SUBJECTS).map(|i| running.is_revoked(&format!("s{i}")));
        let revoked = subjects.collect();
        running.stop().await;
        Ok(revoked)
    })
}

fn all_revoked(path: &Path) {
    assert_eq!(start(path), Ok(vec![true; SUBJECTS]));
}

fn refused(path: &Path) -> String {
    let why = start(path).expect_err("the start is refused");
    assert!(why.contains("docs/recovery.md"), "{why}");
    assert!(why.contains(path.to_str().unwrap()), "{why}");
    why
}

/// Either nothing is missing, or nothing is served.
fn whole_or_refused(path: &Path) -> bool {
    match start(path) {
        Ok(revoked) => {
            assert_eq!(revoked, vec![true; SUBJECTS]);
            true
        }
        Err(why) => {
            assert!(why.contains("docs/recovery.md"), "{why}");
            false
        }
    }
}

/// A store with a commit per subject that was shut down.
fn written() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(fill(directory.path(), |_| {}));
    directory
}

/// The same as a crash leaves it: a copy of the files while they are in use.
fn crashed() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let image = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(fill(directory.path(), |path| copy(path, image.path())));
    image
}

async fn fill(path: &Path, then: impl FnOnce(&Path)) {
    let mut running = Running::start(path).unwrap();
    running.replayed().await.unwrap();
    for i in 0..SUBJECTS {
        let subject = format!("s{i}");
        running.writer.record(vec![draft(&subject)]).await.unwrap();
    }
    then(path);
    running.stop().await;
}

fn copy(from: &Path, to: &Path) {
    for name in [DATABASE, WAL, WITNESS] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn copy_of(image: &Path) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(image).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    directory
}

fn change(file: PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(&file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_shut_down_store_and_a_crashed_one_are_whole() {
    all_revoked(written().path());
    all_revoked(crashed().path());
}

#[test]
fn a_full_disk_refuses_events_serves_checks_and_recovers_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    // Blocks of 512 bytes. Without the trap the limit would be a deadly signal.
    let mut other = Other::start(directory.path(), "trap '' XFSZ; ulimit -S -f 400;");
    assert_eq!(other.answer().as_deref(), Some("ready"));
    let mut acknowledged = Vec::new();
    let refusal = loop {
        let subject = format!("s{}", acknowledged.len());
        let answer = other.ask(&format!("revoke {subject}"));
        if !answer.starts_with("ack ") {
            break answer;
        }
        acknowledged.push(subject);
    };
    assert!(refusal.starts_with("the store is full"), "{refusal}");
    assert!(!acknowledged.is_empty());
    assert!(other.ask("degraded").contains("store"));
    for subject in &acknowledged {
        assert_eq!(other.ask(&format!("check {subject}")), "true");
    }
    lift_limit(other.id());
    // Nobody sends anything; the store finds out.
    while other.ask("degraded") != "{}" {}
    assert_eq!(other.ask("revoke after"), "ack after");
    other.kill();
    while other.answer().is_some() {}
    let mut other = Other::start(directory.path(), "");
    assert_eq!(other.answer().as_deref(), Some("ready"));
    for subject in acknowledged.iter().map(String::as_str).chain(["after"]) {
        assert_eq!(other.ask(&format!("check {subject}")), "true");
    }
}

fn lift_limit(process: u32) {
    let lifted = Command::new("prlimit")
        .args(["--pid", &process.to_string(), "--fsize=unlimited:"])
        .status();
    assert!(lifted.unwrap().success());
}

#[test]
fn a_path_that_cannot_be_a_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [&file, &file.join("below"), Path::new("/proc/portcullis")] {
        let error = start(path).unwrap_err();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains("cannot be used"), "{error}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let directory = written();
    let database = directory.path().join(DATABASE);
    // Permissions do not bind root; a directory in the place of the file binds everyone.
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    let error = start(directory.path()).unwrap_err();
    assert!(error.contains(database.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn two_processes_on_one_directory_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut other = Other::start(directory.path(), "");
    assert_eq!(other.answer().as_deref(), Some("ready"));
    let Err(OpenError::Store(log::OpenError::Embedded(
        error @ log::embedded::OpenError::InUse { .. },
    ))) = Running::start(directory.path())
    else {
        panic!("the directory is in use")
    };
    let text = error.to_string();
    assert!(text.contains(directory.path().to_str().unwrap()), "{text}");
    let mut third = Other::start(directory.path(), "");
    assert_eq!(third.answer(), Some(text));
    other.kill();
    while other.answer().is_some() {}
    drop(other);
    let mut fourth = Other::start(directory.path(), "");
    assert_eq!(fourth.answer().as_deref(), Some("ready"));
}

#[test]
fn a_database_that_was_cut_is_refused_and_left_alone() {
    let image = written();
    let length = fs::metadata(image.path().join(DATABASE)).unwrap().len();
    for length in [0, 100, 4096, length / 2, length - 4096] {
        let directory = copy_of(image.path());
        let database = directory.path().join(DATABASE);
        change(database.clone(), |bytes| {
            bytes.truncate(usize::try_from(length).unwrap());
        });
        let before = fs::read(&database).unwrap();
        refused(directory.path());
        assert!(fs::read(&database).unwrap() == before, "{length}");
    }
}

#[test]
fn a_database_that_is_gone_or_another_is_refused() {
    let image = written();
    let directory = copy_of(image.path());
    fs::remove_file(directory.path().join(DATABASE)).unwrap();
    let why = refused(directory.path());
    assert!(why.contains("missing or empty"), "{why}");
    assert!(!directory.path().join(DATABASE).exists());
    let another = written();
    let from = another.path().join(DATABASE);
    fs::copy(from, directory.path().join(DATABASE)).unwrap();
    let why = refused(directory.path());
    assert!(why.contains("not the database"), "{why}");
}

#[test]
fn an_older_database_is_refused_until_the_witness_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let backup = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut running = Running::start(directory.path()).unwrap();
        running.replayed().await.unwrap();
        running.writer.record(vec![draft("s0")]).await.unwrap();
        copy(directory.path(), backup.path());
        running.writer.record(vec![draft("s1")]).await.unwrap();
        running.stop().await;
    });
    for name in [DATABASE, WAL] {
        fs::copy(backup.path().join(name), directory.path().join(name)).unwrap();
    }
    let why = refused(directory.path());
    assert!(why.contains("commits were acknowledged"), "{why}");
    fs::remove_file(directory.path().join(WITNESS)).unwrap();
    let revoked = start(directory.path()).unwrap();
    assert_eq!(revoked[..2], [true, false]);
}

#[test]
fn a_flipped_bit_in_the_database_is_refused_or_harmless() {
    let image = written();
    let length = fs::metadata(image.path().join(DATABASE)).unwrap().len();
    let length = usize::try_from(length).unwrap();
    let mut found = 0;
    // A prime step hits headers, cells and free space of every page.
    for at in (0..length).step_by(1021) {
        let directory = copy_of(image.path());
        change(directory.path().join(DATABASE), |bytes| bytes[at] ^= 0x10);
        found += usize::from(!whole_or_refused(directory.path()));
    }
    assert!(found > 0);
}

#[test]
fn a_flipped_bit_in_a_record_names_its_position() {
    let directory = written();
    change(directory.path().join(DATABASE), |bytes| {
        let subject = bytes.windows(3).position(|text| text == b"s42").unwrap();
        bytes[subject + 2] = b'3';
    });
    let why = refused(directory.path());
    // The first one is about the issuer's bounds.
    assert!(why.contains("position 44 has a wrong checksum"), "{why}");
}

#[test]
fn a_write_ahead_log_that_was_cut_or_is_gone_is_refused() {
    let image = crashed();
    let length = fs::metadata(image.path().join(WAL)).unwrap().len();
    for length in [0, 1, 32, length / 3, length / 2, length - 1] {
        let directory = copy_of(image.path());
        change(directory.path().join(WAL), |bytes| {
            bytes.truncate(usize::try_from(length).unwrap());
        });
        refused(directory.path());
    }
    let directory = copy_of(image.path());
    fs::remove_file(directory.path().join(WAL)).unwrap();
    refused(directory.path());
}

#[test]
fn a_torn_tail_of_the_write_ahead_log_is_recovered() {
    let image = crashed();
    let wal = fs::read(image.path().join(WAL)).unwrap();
    let frame = &wal[wal.len() - 4120..];
    // A frame that begins, one whose page did not make it, and a whole one out of its turn.
    let mut no_page = frame.to_vec();
    no_page[24..].fill(0);
    for tail in [&frame[..1000], &no_page, frame] {
        let directory = copy_of(image.path());
        change(directory.path().join(WAL), |bytes| bytes.extend(tail));
        all_revoked(directory.path());
    }
}

#[test]
fn a_flipped_bit_in_the_write_ahead_log_is_refused() {
    let image = crashed();
    let length = fs::metadata(image.path().join(WAL)).unwrap().len();
    let length = usize::try_from(length).unwrap();
    // The header's sequence number and the numbers below are all covered by checksums.
    for at in (0..length).step_by(9973).chain([length - 1]) {
        let directory = copy_of(image.path());
        change(directory.path().join(WAL), |bytes| bytes[at] ^= 0x10);
        refused(directory.path());
    }
}

#[test]
fn without_its_witness_a_flip_in_front_of_the_last_transactions_is_still_refused() {
    let image = crashed();
    fs::remove_file(image.path().join(WITNESS)).unwrap();
    let length = fs::metadata(image.path().join(WAL)).unwrap().len();
    let length = usize::try_from(length).unwrap();
    for at in (0..length - 100_000).step_by(9973) {
        let directory = copy_of(image.path());
        change(directory.path().join(WAL), |bytes| bytes[at] ^= 0x10);
        let why = refused(directory.path());
        assert!(why.contains("write-ahead log"), "{why}");
    }
}

#[test]
fn a_later_layout_is_refused() {
    let directory = written();
    let database = directory.path().join(DATABASE);
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let error = start(directory.path()).unwrap_err();
    assert!(error.contains("later version"), "{error}");
}

#[test]
fn another_programs_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join(DATABASE);
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute("CREATE TABLE t (x)", []).unwrap();
    drop(connection);
    let error = start(directory.path()).unwrap_err();
    assert!(error.contains("another program"), "{error}");
}
