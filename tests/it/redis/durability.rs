//! What an acknowledgement is worth, and what is refused because it would be worth less.

use super::*;
use crate::support::redis::DURABLE;
use crate::support::reserved_port;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_with_its_file_it_goes_on_without_a_gap() {
    let mut server = Server::start().await;
    let log = connect(&config(server.socket()));
    let mut watch = Watch::of(&log, None);
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        for i in 0..20 {
            let subject = format!("{round}-{i}");
            append_at_last(&log, &subject).await;
            acknowledged.push(subject);
        }
        server.restart().await;
    }
    watch
        .until(|watch| watch.subjects.len() >= acknowledged.len())
        .await;
    assert_eq!(watch.subjects, acknowledged);
    assert_eq!(watch.resets, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_concurrent_appends_nothing_acknowledged_is_lost() {
    let mut server = Server::start().await;
    let log = Arc::new(connect(&config(server.socket())));
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let senders = (0..32).map(|i| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let subject = format!("{round}-{i}");
                append(&log, &subject).await.is_ok().then_some(subject)
            })
        });
        let senders = senders.collect::<Vec<_>>();
        // In the middle: as soon as the first of them is in.
        append_at_last(&log, &format!("{round}-first")).await;
        server.restart().await;
        for sender in senders {
            acknowledged.extend(sender.await.unwrap());
        }
    }
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert!(!acknowledged.is_empty());
    for subject in acknowledged {
        assert!(
            watch.subjects.contains(&subject),
            "{subject} was acknowledged"
        );
    }
}

/// Appends to a server that is too weak; says how it was refused.
async fn refusal(arguments: &[&str]) -> String {
    let server = Server::start_with(arguments).await;
    let mut config = config(server.socket());
    let log = connect(&config);
    let why = unavailable(append(&log, "a").await);
    // What is there can be read all the same.
    Watch::of(&log, None).sync().await;
    config.require_appendfsync_always = false;
    append(&connect(&config), "a").await.unwrap();
    why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weaker_settings_are_refused_with_the_fix() {
    let why = refusal(&["--appendonly", "no"]).await;
    assert!(why.contains("set `appendonly yes`"), "{why}");
    let why = refusal(&["--appendonly", "yes", "--appendfsync", "everysec"]).await;
    assert!(why.contains("set `appendfsync always`"), "{why}");
    assert!(why.contains("require_appendfsync_always: false"), "{why}");
    let why = refusal(&[&DURABLE[..], &["--no-appendfsync-on-rewrite", "yes"]].concat()).await;
    assert!(why.contains("set `no-appendfsync-on-rewrite no`"), "{why}");
    let why = refusal(&[&DURABLE[..], &["--maxmemory-policy", "allkeys-lru"]].concat()).await;
    assert!(why.contains("set `maxmemory-policy noeviction`"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_server_setting_is_noticed() {
    let server = Server::start_with(&["--appendonly", "no", "--appendfsync", "always"]).await;
    let log = connect(&config(server.socket()));
    unavailable(append(&log, "a").await);
    server
        .run::<String>(&["CONFIG", "SET", "appendonly", "yes"])
        .await;
    append_at_last(&log, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_replicas_leave_the_outcome_open() {
    let server = Server::start().await;
    let mut config = config(server.socket());
    config.wait_replicas = 1;
    // Of which a tenth is left for the answer to arrive, also on a busy machine.
    config.append_timeout = Span::secs(4);
    let log = connect(&config);
    let refused = append(&log, "a").await;
    let Err(AppendError::Unknown(why)) = &refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("0 of 1 replicas"), "{why}");
    // The record is there, but asking again does not turn that into an acknowledgement.
    let mut watch = Watch::of(&log, None);
    watch.sync().await;
    assert_eq!(watch.subjects, ["a"]);
    let again = append(&connect(&config), "a").await;
    assert!(matches!(again, Err(AppendError::Unknown(_))), "{again:?}");
    assert_eq!(server.entries().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_confirms_and_is_not_written_to() {
    let port = reserved_port().to_string();
    let arguments = ["--port", &port, "--repl-diskless-sync-delay", "0"];
    let primary = Server::start_with(&[&DURABLE[..], &arguments].concat()).await;
    let of = ["--replicaof", "127.0.0.1", &port];
    let replica = Server::start_with(&[&DURABLE[..], &of].concat()).await;
    let mut config = config(primary.socket());
    config.wait_replicas = 1;
    append_at_last(&connect(&config), "a").await;
    config.server = Some(Address::Unix(replica.socket()));
    let why = unavailable(append(&connect(&config), "b").await);
    assert!(why.contains("not a primary"), "{why}");
}
