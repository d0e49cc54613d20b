//! Three servers, three copies: leaders die under load, and nothing that was acknowledged is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portcullis::revocation::log::nats::Nats;
use portcullis::revocation::log::{AppendError, Log};
use tokio::time::Instant;

use super::{PATIENCE, Reader, STREAM, append, lasting};
use crate::support::nats::{Cluster, Settings};

/// A later suite asks for more: `PORTCULLIS_NATS_ROUNDS=50`.
const ROUNDS: usize = 3;

const SENDERS: usize = 4;

fn rounds() -> usize {
    let asked = std::env::var("PORTCULLIS_NATS_ROUNDS").ok();
    asked.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

fn connect(cluster: &Cluster) -> Arc<Nats> {
    let mut config = super::config(&cluster.urls());
    config.replicas = 3;
    super::open(&config)
}

/// The name of the server that leads the stream.
async fn leader(cluster: &Cluster) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for server in cluster.servers.iter().filter(|server| server.is_running()) {
            if let Some(leader) = ask_for_leader(&server.url()).await {
                return leader;
            }
        }
        assert!(Instant::now() < deadline, "no leader was elected");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ask_for_leader(url: &str) -> Option<String> {
    let client = async_nats::connect(url).await.ok()?;
    let context = async_nats::jetstream::new(client);
    let asked = tokio::time::timeout(Duration::from_secs(2), context.get_stream(STREAM)).await;
    let stream = asked.ok()?.ok()?;
    stream.cached_info().cluster.as_ref()?.leader.clone()
}

/// Sends events one after another, each until it is acknowledged, until told to stop.
async fn sender(
    log: Arc<Nats>,
    name: usize,
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Vec<String> {
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let ids = [0, 1].map(|half| format!("s{name}-{}-{half}", sent.len()));
        let batch = ids.iter().map(|id| lasting(id)).collect();
        append(&log, batch).await;
        sent.extend(ids);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    sent
}

/// Waits until the senders have had `more` acknowledgements.
async fn acknowledge(acknowledged: &AtomicUsize, more: usize) {
    let goal = acknowledged.load(Ordering::Relaxed) + more;
    let deadline = Instant::now() + PATIENCE;
    while acknowledged.load(Ordering::Relaxed) < goal {
        assert!(
            Instant::now() < deadline,
            "nothing is acknowledged any more"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_die_under_load_and_every_acknowledged_event_arrives() {
    let mut cluster = Cluster::start(&Settings::default());
    let log = connect(&cluster);
    append(&log, vec![lasting("first")]).await;
    let mut replicas: Vec<_> = (0..2)
        .map(|_| Reader::new(&connect(&cluster), None))
        .collect();
    for replica in &mut replicas {
        replica.in_sync().await;
    }
    let done = "done";
    let followers: Vec<_> = replicas
        .into_iter()
        .map(|mut replica| {
            tokio::spawn(async move {
                // Each feed is awaited no longer than the patience; all of them take longer.
                while !replica.seen.iter().rev().take(64).any(|id| id == done) {
                    replica.next().await;
                }
                replica
            })
        })
        .collect();
    let (acknowledged, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let senders: Vec<_> = (0..SENDERS)
        .map(|name| {
            let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
            tokio::spawn(sender(log.clone(), name, acknowledged, stop))
        })
        .collect();
    for _ in 0..rounds() {
        acknowledge(&acknowledged, 20).await;
        let leader = leader(&cluster).await;
        cluster.named(&leader).kill();
        acknowledge(&acknowledged, 20).await;
        cluster.named(&leader).restart();
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = BTreeSet::from(["first".to_owned(), done.to_owned()]);
    for sender in senders {
        sent.extend(sender.await.unwrap());
    }
    append(&log, vec![lasting(done)]).await;
    for follower in followers {
        let replica = follower.await.unwrap();
        let seen: BTreeSet<_> = replica.seen.iter().cloned().collect();
        let missed: Vec<_> = sent.difference(&seen).collect();
        assert!(
            missed.is_empty(),
            "{missed:?} of {}; {replica:?}",
            sent.len()
        );
        assert_eq!(replica.resets, 0, "{replica:?}");
    }
    // And a replica that comes afterwards.
    let mut fresh = Reader::new(&connect(&cluster), None);
    fresh.in_sync().await;
    assert!(sent.is_subset(&fresh.seen.into_iter().collect()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_cluster_stays_in_sync() {
    let cluster = Cluster::start(&Settings::default());
    let log = connect(&cluster);
    append(&log, vec![lasting("first")]).await;
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    reader.losses.clear();
    for _ in 0..6 {
        reader.in_sync().await;
    }
    assert!(reader.losses.is_empty(), "{reader:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_acknowledged_and_nobody_is_in_sync() {
    let mut cluster = Cluster::start(&Settings::default());
    let log = connect(&cluster);
    append(&log, vec![lasting("first")]).await;
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    cluster.servers[0].kill();
    cluster.servers[1].kill();
    reader.lost().await;
    let error = log.append(vec![lasting("alone")]).await.unwrap_err();
    assert!(
        matches!(error, AppendError::Unavailable(_) | AppendError::Unknown(_)),
        "{error:?}"
    );
    // By now every lease has run out, so the whole of another attempt is out of sync.
    tokio::select! {
        biased;
        () = reader.in_sync() => panic!("in sync with a minority: {reader:?}"),
        again = log.append(vec![lasting("alone")]) => assert!(again.is_err()),
    }
    cluster.servers[0].restart();
    reader.in_sync().await;
    append(&log, vec![lasting("together")]).await;
    reader.sees("together").await;
    assert_eq!(reader.resets, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_die_at_once_and_what_was_acknowledged_is_there() {
    let mut cluster = Cluster::start(&Settings::default());
    let log = connect(&cluster);
    let mut sent = Vec::new();
    for n in 0..50 {
        let id = format!("n{n}");
        append(&log, vec![lasting(&id)]).await;
        sent.push(id);
    }
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    for server in &mut cluster.servers {
        server.kill();
    }
    reader.lost().await;
    for server in &mut cluster.servers {
        server.restart();
    }
    append(&log, vec![lasting("after")]).await;
    reader.sees("after").await;
    sent.push("after".to_owned());
    assert_eq!((reader.seen, reader.resets), (sent.clone(), 0));
    let mut fresh = Reader::new(&connect(&cluster), None);
    fresh.in_sync().await;
    assert_eq!(fresh.seen, sent);
}
