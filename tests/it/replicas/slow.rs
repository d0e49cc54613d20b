//! A replica that stands still for longer than anybody waits for it, while events go on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::core::clock::Clock;
use portcullis::revocation::log::Log;
use portcullis::revocation::log::nats::{Config, Nats};
use portcullis::revocation::{Action, Retention, Revocation, Target};
use serde_json::json;

use super::site::{Replica, Verdict, early_token, locked, on_nats};
use crate::support::nats::{Server, Settings};
use crate::support::{Idp, redis, until};

/// `max_staleness` as configured here, and how old a leader's word may be.
const BOUND: Duration = Duration::from_secs(3 + 3);

/// Records of one event, and events: many times what fits into the buffers of a connection.
const CROWD: usize = 512;
const EVENTS: usize = 60;

/// Asks for so long as `looked` finds nothing; the user must never pass.
async fn never_accepts(replica: &Replica, token: &str, done: impl Fn(Verdict) -> bool) {
    until("the replica says what is awaited", async || {
        let verdict = replica.doors().check(token).await;
        assert_ne!(verdict, Verdict::Accepted, "later than the bound");
        done(verdict).then_some(())
    })
    .await;
}

fn crowd(idp: &Idp, event: usize) -> Vec<Arc<Revocation>> {
    let now = Clock::system().now();
    let record = |user: usize| Revocation {
        id: format!("{event}-{user}"),
        target: Target {
            issuer: idp.issuer(),
            matches: BTreeMap::from([("sub".to_owned(), format!("user-{event}-{user}"))]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(now),
        expires_at_or_before: None,
        occurred_at: now,
        forget_after: now.plus(Duration::from_hours(2)),
        source: "test".to_owned(),
        cause: "user.deactivate".to_owned(),
        received_at: now,
        bounds: None,
        turn: None,
        note: None,
        original: None,
    };
    (0..CROWD).map(|user| Arc::new(record(user))).collect()
}

#[tokio::test]
async fn a_replica_that_its_server_gave_up_comes_back_without_a_gap() {
    let idp = Idp::start();
    let server = Server::start(&Settings {
        more: "debug: true, ping_interval: \"1s\", ping_max: 1".to_owned(),
        ..Settings::default()
    });
    let mut store = on_nats(&[server.url()], 1);
    store["max_staleness"] = json!("3s");
    let told = Replica::start(&idp, store.clone()).await;
    let slow = Replica::start(&idp, store).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| early_token(&idp, subject));
    for replica in [&told, &slow] {
        replica.healthy().await;
        assert_eq!(replica.status(&alice).await, 200);
    }

    slow.portcullis.process.signal("STOP");
    told.doors().insist(&locked("alice")).await;
    let acknowledged = Instant::now();
    let mut config = Config::on(&[server.url()]);
    config.replicas = 1;
    let retention = Retention::default();
    retention.set(HashMap::new(), Duration::ZERO);
    let log = Nats::connect(
        &config,
        &Clock::system(),
        &retention,
        &portcullis::core::horizon::Horizon::default(),
    )
    .unwrap();
    for event in 0..EVENTS {
        log.append(crowd(&idp, event)).await.unwrap();
    }
    until("the server gives the replica up", async || {
        server
            .log()
            .contains("Stale Client Connection")
            .then_some(())
    })
    .await;
    let mut more = 0;
    while acknowledged.elapsed() < BOUND {
        told.doors().insist(&locked(&format!("more-{more}"))).await;
        more += 1;
    }

    slow.portcullis.process.signal("CONT");
    never_accepts(&slow, &alice, |verdict| verdict == Verdict::Refused).await;
    slow.says("in sync again", &bob, 200).await;
    let users = (0..EVENTS).map(|event| format!("user-{event}-{}", event % CROWD));
    for subject in users.chain((0..more).map(|number| format!("more-{number}"))) {
        let token = early_token(&idp, &subject);
        assert_eq!(slow.status(&token).await, 401, "{subject}");
    }
    slow.healthy().await;
}

/// The answer to its last question waits for it, and says no more than what was true then.
#[tokio::test]
async fn what_redis_said_before_a_pause_is_not_news_after_it() {
    let idp = Idp::start();
    let mut server = redis::Server::start().await;
    let at = format!("unix:{}", server.socket().display());
    // So patient that the pause alone is no reason to give the connection up.
    let redis = json!({ "server": at, "append_timeout": "1m" });
    let store = json!({ "store": { "redis": redis }, "max_staleness": "3s" });
    let told = Replica::start(&idp, store.clone()).await;
    let slow = Replica::start(&idp, store).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|subject| early_token(&idp, subject));
    for replica in [&told, &slow] {
        replica.healthy().await;
        assert_eq!(replica.status(&alice).await, 200);
    }

    slow.portcullis.process.signal("STOP");
    told.doors().insist(&locked("alice")).await;
    told.doors().insist(&locked("carol")).await;
    let acknowledged = Instant::now();
    server.kill();
    until("nothing from before the pause may count", async || {
        (acknowledged.elapsed() > BOUND).then_some(())
    })
    .await;

    slow.portcullis.process.signal("CONT");
    assert_eq!(slow.status(&bob).await, 503, "it cannot know");
    never_accepts(&slow, &carol, |_| {
        let lines = slow.portcullis.process.lines();
        lines.iter().any(|line| line.contains("cannot be reached"))
    })
    .await;
    assert_eq!(slow.status(&bob).await, 503);

    server.restart().await;
    never_accepts(&slow, &carol, |verdict| verdict == Verdict::Refused).await;
    slow.says("in sync again", &bob, 200).await;
    assert_eq!(slow.status(&alice).await, 401);
}
