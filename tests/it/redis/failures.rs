//! The server is down, full, forbids, or does not answer.

use std::io::{self, Write};
use std::sync::Mutex;

use portcullis::core::secret::Secret;

use super::*;
use crate::support::redis::{DURABLE, Flow, STREAM, Wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn down_at_start_it_comes_up_and_catches_up() {
    let mut server = Server::prepare(&DURABLE);
    let log = connect(&config(server.socket()));
    let mut watch = Watch::of(&log, None);
    watch.until(|watch| !watch.losses.is_empty()).await;
    unavailable(append(&log, "a").await);
    server.restart().await;
    append_at_last(&log, "a").await;
    watch.until(|watch| watch.subjects == ["a"]).await;
    assert_eq!(watch.resets, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_named_and_tried_again() {
    let arguments = [&DURABLE[..], &["--requirepass", "hunter2"]].concat();
    let server = Server::start_with(&arguments).await;
    let mut config = config(server.socket());
    config.password = Some(Secret::new("swordfish").into());
    let log = connect(&config);
    let why = unavailable(append(&log, "a").await);
    assert!(why.contains("check username and password"), "{why}");
    assert!(!why.contains("swordfish"), "{why}");
    let mut watch = Watch::of(&log, None);
    watch.until(|watch| !watch.losses.is_empty()).await;
    config.password = None;
    let why = unavailable(append(&connect(&config), "a").await);
    assert!(why.contains("check username and password"), "{why}");
    config.password = Some(Secret::new("hunter2").into());
    append(&connect(&config), "a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_file_that_changed_is_used_at_the_next_connection() {
    let server = Server::start().await;
    let mut config = as_user(&server, "~* +@all").await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    config.password = None;
    config.password_file = Some(file.clone());
    let log = connect(&config);
    append(&log, "a").await.unwrap();
    std::fs::write(&file, "swordfish\n").unwrap();
    let change = ["ACL", "SETUSER", "log", "resetpass", ">swordfish"];
    server.run::<String>(&change).await;
    let kill = ["CLIENT", "KILL", "USER", "log"];
    server.run::<u64>(&kill).await;
    append_at_last(&log, "b").await;
}

/// What `docs/stores/redis.md` tells operators to allow.
const ALLOWED: &str = "~{portcullis}* +role +config|get +wait +script|load +eval +evalsha \
                       +exists +get +set +pexpire +time +xadd +xread +xrange +xdel \
                       +xgroup|create +xgroup|setid +xinfo|groups +xinfo|stream";

/// The configuration for an ACL user who may do so much.
async fn as_user(server: &Server, rules: &str) -> Config {
    let mut command = vec!["ACL", "SETUSER", "log", "reset", "on", ">hunter2"];
    command.extend(rules.split_whitespace());
    server.run::<String>(&command).await;
    let mut config = config(server.socket());
    config.username = Some("log".to_owned());
    config.password = Some(Secret::new("hunter2").into());
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acl_user_needs_no_more_than_is_documented() {
    let page = include_str!("../../../docs/stores/redis.md");
    for rule in ALLOWED.split_whitespace() {
        assert!(page.contains(rule), "{rule} is not in docs/stores/redis.md");
    }
    let server = Server::start().await;
    let config = as_user(&server, ALLOWED).await;
    let log = connect(&config);
    append(&log, "a").await.unwrap();
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["a"]);
    assert!(watch.losses.is_empty(), "{:?}", watch.losses);
    // Compaction too.
    let later = connect_at(&config, NOW.plus(Duration::from_hours(5)));
    let mut watch = Watch::of(&later, None);
    watch.until_compacted(&server, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acl_user_who_may_too_little_is_found_out_before_anything_is_written() {
    let server = Server::start().await;
    for missing in ["+config|get", "+xgroup|setid", "+time", "+evalsha", "+xadd"] {
        let config = as_user(&server, &ALLOWED.replace(missing, "")).await;
        let why = unavailable(append(&connect(&config), "a").await);
        assert!(why.contains("ACL user"), "without {missing}: {why}");
        assert_eq!(
            server
                .run::<u64>(&["EXISTS", STREAM])
                .await
                .min(server.entries().await),
            0
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_may_not_write_knows_before_the_first_event() {
    let server = Server::start().await;
    append(&connect(&config(server.socket())), "a")
        .await
        .unwrap();
    for missing in ["+xadd", "+xgroup|setid"] {
        let config = as_user(&server, &ALLOWED.replace(missing, "")).await;
        let log = connect(&config);
        let mut watch = Watch::of(&log, None);
        watch.sync().await;
        while log.unwritable().is_none() {
            watch.step().await;
        }
        let why = log.unwritable().unwrap();
        assert!(why.contains("ACL user"), "without {missing}: {why}");
        as_user(&server, ALLOWED).await;
        while log.unwritable().is_some() {
            watch.step().await;
        }
        assert_eq!(watch.subjects, ["a"], "a probe leaves nothing behind");
    }
    assert_eq!(server.entries().await, 1);
}

/// What was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    fn count(&self, text: &str) -> usize {
        let logged = self.0.lock().unwrap();
        String::from_utf8_lossy(&logged).matches(text).count()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// On one thread, so that its subscriber hears of everything.
#[tokio::test]
async fn a_user_who_may_not_compact_is_reported_once() {
    let server = Server::start().await;
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let mut config = as_user(&server, &ALLOWED.replace("+set ", "")).await;
    config.compact_every = Span(Duration::from_millis(50));
    let log = connect(&config);
    append(&log, "a").await.unwrap();
    let mut watch = Watch::of(&log, None);
    let report = "expired revocations cannot be deleted from the log";
    while logged.count(report) == 0 {
        watch.step().await;
    }
    // Heartbeats of a second each: many rounds of compaction.
    for _ in 0..3 {
        watch.sync().await;
    }
    assert_eq!(logged.count(report), 1);
    assert!(logged.count("ACL user") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_full_and_can_still_be_followed() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    append(&log, "a").await.unwrap();
    server
        .run::<String>(&["CONFIG", "SET", "maxmemory", "1"])
        .await;
    for log in [&log, &connect(&config(server.socket()))] {
        let refused = append(log, "b").await;
        assert!(matches!(refused, Err(AppendError::Full(_))), "{refused:?}");
    }
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["a"]);
    assert!(watch.losses.is_empty(), "{:?}", watch.losses);
    server
        .run::<String>(&["CONFIG", "SET", "maxmemory", "0"])
        .await;
    append_at_last(&log, "b").await;
    watch.until(|watch| watch.subjects == ["a", "b"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_programs_key_is_left_alone() {
    let server = Server::start().await;
    server.run::<String>(&["SET", STREAM, "mine"]).await;
    let log = connect(&config(server.socket()));
    let why = unavailable(append(&log, "a").await);
    assert!(why.contains("another program"), "{why}");
    assert_eq!(server.run::<String>(&["GET", STREAM]).await, "mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_leaves_the_outcome_open_and_a_retry_is_safe() {
    let server = Server::start().await;
    let wire = Wire::to(&server);
    let log = connect(&config(wire.socket()));
    append(&log, "a").await.unwrap();
    wire.set(Flow::NoAnswers);
    let refused = append(&log, "b").await;
    assert!(
        matches!(refused, Err(AppendError::Unknown(_))),
        "{refused:?}"
    );
    assert_eq!(server.entries().await, 2);
    wire.set(Flow::Both);
    append_at_last(&log, "b").await;
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    watch.subjects.dedup();
    assert_eq!(watch.subjects, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_with_the_connection_is_asked_for_again() {
    let server = Server::start().await;
    let wire = Wire::to(&server);
    let mut config = config(wire.socket());
    config.append_timeout = Span(LIMIT);
    let log = Arc::new(connect(&config));
    append(&log, "a").await.unwrap();
    wire.set(Flow::NoAnswers);
    let sending = Arc::clone(&log);
    let sender = tokio::spawn(async move { append(&sending, "b").await });
    while server.entries().await < 2 {
        tokio::task::yield_now().await;
    }
    wire.cut();
    sender.await.unwrap().unwrap();
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    watch.subjects.dedup();
    assert_eq!(watch.subjects, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_a_loss_and_heals_without_a_gap() {
    let server = Server::start().await;
    let wire = Wire::to(&server);
    let cut_off = connect(&config(wire.socket()));
    let other = connect(&config(server.socket()));
    let mut watch = Watch::of(&cut_off, None);
    append(&other, "before").await.unwrap();
    watch.until(|watch| watch.subjects == ["before"]).await;
    wire.set(Flow::Nothing);
    for subject in ["a", "b", "c"] {
        append(&other, subject).await.unwrap();
    }
    watch.until(|watch| !watch.losses.is_empty()).await;
    assert_eq!(watch.subjects, ["before"]);
    // Nothing claims to be in sync while nothing comes through.
    assert!(!watch.step().await);
    wire.set(Flow::Both);
    watch.until(|watch| watch.subjects.len() == 4).await;
    assert_eq!(watch.subjects, ["before", "a", "b", "c"]);
    assert_eq!(watch.resets, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_loaded_again() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    append(&log, "a").await.unwrap();
    server.run::<String>(&["SCRIPT", "FLUSH"]).await;
    append(&log, "b").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_died_costs_no_event() {
    let server = Server::start().await;
    let log = connect(&config(server.socket()));
    append(&log, "a").await.unwrap();
    server
        .run::<u64>(&["CLIENT", "KILL", "TYPE", "normal"])
        .await;
    append(&log, "b").await.unwrap();
}
