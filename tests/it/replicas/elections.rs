//! Leaders die under load, and every event that anybody acknowledged is enforced by everybody.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::site::{Doors, Replica, cluster, early_token, leader, locked, on_nats};
use crate::support::nats::Cluster;
use crate::support::{Idp, until};

/// An election takes 4 to 9 seconds of waiting, so several clusters suffer at the same time.
const CLUSTERS: usize = 5;

/// Leaders that die in each: fifty in all. `PORTCULLIS_REPLICAS_ROUNDS` takes another number.
const ROUNDS: usize = 10;

const SENDERS: usize = 4;

/// Between two events of one sender. They are many, and each is checked on each replica.
const PACE: Duration = Duration::from_millis(25);

/// Acknowledgements between two deaths.
const BETWEEN: usize = 40;

fn rounds() -> usize {
    let asked = std::env::var("PORTCULLIS_REPLICAS_ROUNDS").ok();
    asked.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

#[derive(Default)]
struct Load {
    acknowledged: AtomicUsize,
    stop: AtomicBool,
}

/// Sends events, each to one replica after another until one acknowledges it. Returns how many
/// were acknowledged; they are `s{name}-0`, `s{name}-1` and so on.
async fn sender(name: usize, doors: Vec<Doors>, load: &Load) -> usize {
    let mut sent = 0;
    while !load.stop.load(Ordering::Relaxed) {
        let event = locked(&format!("s{name}-{sent}"));
        let mut replica = name + sent;
        while !doors[replica % doors.len()].acknowledges(&event).await {
            replica += 1;
            tokio::time::sleep(PACE).await;
        }
        load.acknowledged.fetch_add(1, Ordering::Relaxed);
        sent += 1;
        tokio::time::sleep(PACE).await;
    }
    sent
}

async fn acknowledgements(load: &Load, more: usize) {
    let goal = load.acknowledged.load(Ordering::Relaxed) + more;
    until("more events are acknowledged", async || {
        (load.acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
    })
    .await;
}

#[test]
fn leaders_die_and_every_acknowledged_event_is_enforced_everywhere() {
    let ordeals: Vec<_> = (0..CLUSTERS).map(|_| std::thread::spawn(run)).collect();
    let (mut events, mut longest) = (0, Duration::ZERO);
    for ordeal in ordeals {
        let (acknowledged, waited) = ordeal.join().unwrap();
        events += acknowledged;
        longest = longest.max(waited);
    }
    println!(
        "{} leaders killed, {events} events acknowledged and each enforced by 3 replicas, longest \
         wait for the next ones {:.1} s",
        CLUSTERS * rounds(),
        longest.as_secs_f64()
    );
}

fn run() -> (usize, Duration) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(ordeal())
}

/// One cluster and its replicas. Returns how many events were acknowledged, and the longest wait
/// for the next ones.
async fn ordeal() -> (usize, Duration) {
    let idp = Idp::start();
    let mut cluster = cluster();
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start(&idp, on_nats(&cluster.urls(), 3)).await);
    }
    for replica in &replicas {
        replica.portcullis.ready().await;
    }
    let doors: Vec<_> = replicas.iter().map(Replica::doors).collect();
    let load = Load::default();
    let senders = (0..SENDERS).map(|name| sender(name, doors.clone(), &load));
    let kill_leaders = kill_leaders(&mut cluster, &load);
    let (sent, longest) = tokio::join!(futures_util::future::join_all(senders), kill_leaders);
    for replica in &replicas {
        replica.healthy().await;
        enforces_all(replica, &idp, &sent).await;
    }
    (sent.iter().sum(), longest)
}

async fn kill_leaders(cluster: &mut Cluster, load: &Load) -> Duration {
    let mut longest = Duration::ZERO;
    acknowledgements(load, BETWEEN).await;
    for _ in 0..rounds() {
        let name = leader(cluster).await;
        let killed = Instant::now();
        cluster.named(&name).kill();
        // What was on its way may still be answered; these can only be new.
        acknowledgements(load, 2 * SENDERS).await;
        longest = longest.max(killed.elapsed());
        cluster.named(&name).restart();
        acknowledgements(load, BETWEEN).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    longest
}

async fn enforces_all(replica: &Replica, idp: &Idp, sent: &[usize]) {
    for (name, sent) in sent.iter().enumerate() {
        for number in 0..*sent {
            let subject = format!("s{name}-{number}");
            let token = early_token(idp, &subject);
            replica.says(&subject, &token, 401).await;
        }
    }
    assert_eq!(replica.status(&early_token(idp, "innocent")).await, 200);
}
