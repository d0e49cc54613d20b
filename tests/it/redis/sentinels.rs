//! Sentinels say who the primary is, and whether it still is.

use portcullis::revocation::log::redis::Sentinel;

use super::*;
use crate::support::redis::DURABLE;
use crate::support::until;

/// A server that sentinels can watch.
async fn start_at(port: &str, more: &[&str]) -> Server {
    Server::start_with(&[&DURABLE[..], &["--port", port], more].concat()).await
}

/// The log behind the sentinels at these ports.
fn behind(sentinels: &[String]) -> Config {
    let mut config = config("/nowhere".into());
    config.server = None;
    config.sentinel = Some(Sentinel {
        servers: sentinels.iter().map(|port| at(port)).collect(),
        primary: "main".to_owned(),
        username: None,
        password: None,
        password_file: None,
    });
    config
}

/// Three sentinels that watch the server at a port.
async fn three_sentinels(watched: &str) -> (Vec<String>, Vec<Server>) {
    let ports = [free_port(), free_port(), free_port()];
    let mut sentinels = Vec::new();
    for port in &ports {
        sentinels.push(Server::start_sentinel(port, watched).await);
    }
    (ports.into(), sentinels)
}

/// Waits until a server says this about its replication.
async fn told_by(server: &Server, line: &str) {
    until(line, async || {
        let info: String = server.run(&["INFO", "replication"]).await;
        info.contains(line).then_some(())
    })
    .await;
}

/// Makes a sentinel believe that the server at this port is the primary.
async fn name_another(sentinel: &Server, port: &str) {
    sentinel
        .run::<String>(&["SENTINEL", "REMOVE", "main"])
        .await;
    sentinel
        .run::<String>(&["SENTINEL", "MONITOR", "main", "127.0.0.1", port, "1"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_the_primary() {
    let port = free_port();
    let _primary = start_at(&port, &[]).await;
    let (mut ports, mut sentinels) = three_sentinels(&port).await;
    sentinels[0].kill();
    let mut config = behind(&ports);
    let log = connect(&config);
    append(&log, "a").await.unwrap();
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["a"]);
    // One is enough to find it, though not to rely on it.
    sentinels[1].kill();
    let refused = append(&connect(&config), "b").await.unwrap_err();
    assert!(matches!(refused, AppendError::Unknown(_)), "{refused:?}");
    let why = refused.to_string();
    assert!(why.contains("no majority of sentinels"), "{why}");
    if let Some(sentinel) = &mut config.sentinel {
        "other".clone_into(&mut sentinel.primary);
    }
    let why = unavailable(append(&connect(&config), "c").await);
    assert!(why.contains("knows no primary \"other\""), "{why}");
    ports.truncate(2);
    let why = unavailable(append(&connect(&behind(&ports)), "c").await);
    assert!(why.contains("no sentinel helps"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_of_sentinels_records_are_read_and_the_feed_is_not_in_sync() {
    let port = free_port();
    let primary = start_at(&port, &[]).await;
    let (ports, mut sentinels) = three_sentinels(&port).await;
    let direct = connect(&config(primary.socket()));
    append(&direct, "a").await.unwrap();
    let log = connect(&behind(&ports));
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["a"]);
    for sentinel in &mut sentinels[..2] {
        sentinel.kill();
    }
    let doubts = |watch: &Watch| {
        let named =
            |why: &&String| why.starts_with("no majority of sentinels confirms the primary");
        watch.losses.iter().filter(named).count()
    };
    let before = doubts(&watch);
    watch.until(|watch| doubts(watch) > before).await;
    // Being in sync with one record would be told before the next one.
    for subject in ["b", "c", "d"] {
        append(&direct, subject).await.unwrap();
        while watch.subjects.last().map(String::as_str) != Some(subject) {
            assert!(!watch.step().await, "in sync after {:?}", watch.subjects);
        }
    }
    assert_eq!(doubts(&watch), before + 1, "{:?}", watch.losses);
    sentinels[0].restart().await;
    watch.sync().await;
    assert_eq!(watch.subjects, ["a", "b", "c", "d"]);
    assert_eq!(watch.resets, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposed_primary_that_still_answers_is_left() {
    let (port, next_port) = (free_port(), free_port());
    let old = start_at(&port, &[]).await;
    append(&connect(&config(old.socket())), "a").await.unwrap();
    let new = start_at(&next_port, &["--replicaof", "127.0.0.1", &port]).await;
    told_by(&new, "master_link_status:up").await;
    new.run::<String>(&["REPLICAOF", "NO", "ONE"]).await;
    // Otherwise the sentinels would take it for a replica that has gone astray.
    told_by(&old, "connected_slaves:0").await;
    let (ports, sentinels) = three_sentinels(&port).await;
    let log = connect(&behind(&ports));
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["a"]);
    append(&connect(&config(new.socket())), "b").await.unwrap();
    // The one that would be asked first is the one that does not know.
    for sentinel in &sentinels[1..] {
        name_another(sentinel, &next_port).await;
    }
    watch.until(|watch| watch.subjects == ["a", "b"]).await;
    let losses = watch.losses.join("; ");
    let expected = format!("127.0.0.1:{port}: is not the primary any more");
    assert!(losses.contains(&expected), "{losses}");
    assert!(
        losses.contains(&format!("names 127.0.0.1:{next_port}")),
        "{losses}"
    );
    watch.sync().await;
    assert_eq!(watch.resets, 0);
}

/// What a cut-off primary takes is lost. Its connection is as good as ever, so only the sentinels
/// tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deposed_primary_takes_is_not_acknowledged() {
    let (port, next_port) = (free_port(), free_port());
    let old = start_at(&port, &[]).await;
    append(&connect(&config(old.socket())), "a").await.unwrap();
    let new = start_at(&next_port, &["--replicaof", "127.0.0.1", &port]).await;
    told_by(&new, "master_link_status:up").await;
    new.run::<String>(&["REPLICAOF", "NO", "ONE"]).await;
    told_by(&old, "connected_slaves:0").await;
    let (ports, sentinels) = three_sentinels(&port).await;
    let log = connect(&behind(&ports));
    append(&log, "b").await.unwrap();
    assert_eq!(old.entries().await, 2);
    for sentinel in &sentinels[1..] {
        name_another(sentinel, &next_port).await;
    }
    append(&log, "c").await.unwrap();
    let direct = connect(&config(new.socket()));
    let mut watch = Watch::of(&direct, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["a", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_of_sentinels_nothing_is_acknowledged() {
    let port = free_port();
    let primary = start_at(&port, &[]).await;
    let (ports, mut sentinels) = three_sentinels(&port).await;
    let log = connect(&behind(&ports));
    append(&log, "a").await.unwrap();
    sentinels[2].kill();
    append(&log, "b").await.unwrap();
    sentinels[1].kill();
    let refused = append(&log, "c").await;
    assert!(
        matches!(refused, Err(AppendError::Unknown(_))),
        "{refused:?}"
    );
    assert_eq!(primary.entries().await, 3, "it is stored all the same");
    sentinels[1].restart().await;
    append_at_last(&log, "c").await;
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    watch.subjects.dedup();
    assert_eq!(watch.subjects, ["a", "b", "c"]);
}
