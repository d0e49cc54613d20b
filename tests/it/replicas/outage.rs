//! The engine is gone: at the start of a replica, and while it runs.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::site::{Replica, cluster, early_token, locked, on_nats};
use crate::support::nats::{Server, Settings};
use crate::support::{Idp, until};

/// The shortest that may be configured.
const MAX_STALENESS: &str = "3s";

fn with(mut revocations: Value, when_stale: &str) -> Value {
    revocations["max_staleness"] = json!(MAX_STALENESS);
    revocations["when_stale"] = json!(when_stale);
    revocations["store"]["nats"]["publish_timeout"] = json!("1s");
    revocations
}

#[tokio::test]
async fn a_restart_without_the_engine_comes_up_with_what_was_known() {
    let idp = Idp::start();
    let mut server = Server::start(&Settings::default());
    let store = on_nats(&[server.url()], 1);
    let mut allowing = Replica::start(&idp, with(store.clone(), "allow")).await;
    let mut denying = Replica::start(&idp, with(store.clone(), "deny")).await;
    let (alice, bob) = (early_token(&idp, "alice"), early_token(&idp, "bob"));
    for replica in [&allowing, &denying] {
        replica.portcullis.ready().await;
    }
    allowing.doors().insist(&locked("alice")).await;
    denying.says("told by the log", &alice, 401).await;

    server.kill();
    allowing.portcullis.restart().await;
    denying.portcullis.restart().await;
    let fresh = Replica::start(&idp, with(store, "allow")).await;

    allowing.portcullis.ready().await;
    assert_eq!(allowing.status(&alice).await, 401, "it knew that");
    assert_eq!(allowing.status(&bob).await, 200, "when_stale: allow");
    let (_, body) = allowing.readiness().await;
    assert!(body["degraded"]["revocations"].is_string(), "{body}");

    denying.portcullis.logs("is replayed").await;
    // Its keys may come a moment later; until then everybody gets another 503.
    until("it refuses because it is stale", async || {
        denying.says("when_stale: deny", &bob, 503).await;
        (denying.denials("stale").await > 0.0).then_some(())
    })
    .await;
    assert_eq!(denying.status(&alice).await, 401, "it knew that too");
    denying.withdrawn().await;

    // It has looked for the engine, and still it does not guess.
    fresh.portcullis.logs("cannot be reached").await;
    assert_eq!(fresh.status(&bob).await, 503, "it knows nothing");
    assert_eq!(fresh.status(&alice).await, 503);
    let (status, body) = fresh.readiness().await;
    assert_eq!(status, 503);
    assert!(body["awaited"]["revocations"].is_string(), "{body}");

    server.restart();
    for replica in [&allowing, &denying, &fresh] {
        replica.healthy().await;
        replica.says("the engine is back", &bob, 200).await;
        assert_eq!(replica.status(&alice).await, 401);
    }
}

/// What comes is enforced before it is on this replica's own disk, but it is acknowledged after.
#[tokio::test]
async fn what_a_replica_acknowledged_it_knows_after_a_kill_without_the_engine() {
    let idp = Idp::start();
    let mut server = Server::start(&Settings::default());
    let store = with(on_nats(&[server.url()], 1), "allow");
    let mut replica = Replica::start(&idp, store).await;
    replica.portcullis.ready().await;
    let users: Vec<_> = (0..40).map(|user| format!("user-{user}")).collect();
    let doors = replica.doors();
    let locking = users
        .iter()
        .map(async |user| doors.insist(&locked(user)).await);
    join_all(locking).await;

    replica.portcullis.kill_9();
    server.kill();
    replica.portcullis.restart().await;
    replica.portcullis.ready().await;
    for user in &users {
        let token = early_token(&idp, user);
        assert_eq!(replica.status(&token).await, 401, "{user}");
    }
    let bob = early_token(&idp, "bob");
    assert_eq!(replica.status(&bob).await, 200, "when_stale: allow");
}

/// Told to stop, a replica first writes down what it enforces, also what others acknowledged.
#[tokio::test]
async fn what_a_replica_enforced_it_knows_after_a_restart_without_the_engine() {
    let idp = Idp::start();
    let mut server = Server::start(&Settings::default());
    let store = with(on_nats(&[server.url()], 1), "allow");
    let mut hearing = Replica::start(&idp, store.clone()).await;
    let taking = Replica::start(&idp, store).await;
    for replica in [&hearing, &taking] {
        replica.portcullis.ready().await;
    }
    let last = early_token(&idp, "user-19");
    for user in 0..20 {
        taking
            .doors()
            .insist(&locked(&format!("user-{user}")))
            .await;
    }
    hearing.says("told by the log", &last, 401).await;
    assert!(hearing.portcullis.terminate().await.success());

    server.kill();
    hearing.portcullis.restart().await;
    hearing.portcullis.ready().await;
    for user in 0..20 {
        let token = early_token(&idp, &format!("user-{user}"));
        assert_eq!(hearing.status(&token).await, 401, "user {user}");
    }
}

#[tokio::test]
async fn without_a_majority_of_servers_the_feed_grows_stale_and_then_heals() {
    let idp = Idp::start();
    let mut cluster = cluster();
    let store = on_nats(&cluster.urls(), 3);
    let denying = Replica::start(&idp, with(store.clone(), "deny")).await;
    let allowing = Replica::start(&idp, with(store, "allow")).await;
    let (alice, bob) = (early_token(&idp, "alice"), early_token(&idp, "bob"));
    for replica in [&denying, &allowing] {
        replica.healthy().await;
        assert_eq!(replica.status(&bob).await, 200);
    }
    denying.doors().insist(&locked("alice")).await;

    cluster.servers[0].kill();
    cluster.servers[1].kill();
    denying.says("past max_staleness", &bob, 503).await;
    assert!(denying.denials("stale").await > 0.0);
    assert!(denying.denials("not_ready").await < 1.0);
    assert_eq!(denying.status(&alice).await, 401, "known for certain");
    let age = denying
        .portcullis
        .metric("portcullis_revocations_feed_age_seconds");
    assert!(
        age.await.unwrap() > 2.5,
        "it is brought up to date now and then"
    );
    denying.withdrawn().await;
    assert_eq!(allowing.status(&bob).await, 200, "when_stale: allow");
    allowing.says("told by the log, before", &alice, 401).await;
    let event = locked("carol");
    for replica in [&denying, &allowing] {
        assert!(!replica.doors().acknowledges(&event).await);
    }

    cluster.servers[0].restart();
    denying.says("two of three are enough", &bob, 200).await;
    denying.doors().insist(&event).await;
    let carol = early_token(&idp, "carol");
    for replica in [&denying, &allowing] {
        replica.says("the event came through", &carol, 401).await;
        replica.healthy().await;
        assert_eq!(replica.status(&alice).await, 401);
        assert_eq!(replica.status(&bob).await, 200);
    }
}

#[tokio::test]
async fn events_are_refused_without_the_engine_and_taken_when_they_come_again() {
    let idp = Idp::start();
    let mut server = Server::start(&Settings::default());
    let store = with(on_nats(&[server.url()], 1), "allow");
    let replica = Replica::start(&idp, store).await;
    replica.portcullis.ready().await;
    server.kill();
    let events: Vec<_> = (0..4).map(|user| locked(&format!("user-{user}"))).collect();
    for event in &events {
        let reply = replica.doors().deliver(event).await.unwrap();
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    for user in 0..4 {
        let token = early_token(&idp, &format!("user-{user}"));
        assert_eq!(replica.status(&token).await, 200, "nothing was promised");
    }
    server.restart();
    for (user, event) in events.iter().enumerate() {
        replica.doors().insist(event).await;
        let token = early_token(&idp, &format!("user-{user}"));
        assert_eq!(replica.status(&token).await, 401);
    }
}

#[tokio::test]
async fn when_stale_of_each_issuer_holds_while_the_engine_is_gone() {
    let (strict, lenient) = (Idp::start(), Idp::start());
    let mut server = Server::start(&Settings::default());
    let mut revocations = with(on_nats(&[server.url()], 1), "deny");
    revocations["issuers"] = json!([{ "issuer": lenient.issuer(), "when_stale": "allow" }]);
    let replica = Replica::start_trusting(&[&strict, &lenient], revocations).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| early_token(&strict, subject));
    let guest = early_token(&lenient, "guest");
    replica.healthy().await;
    replica.doors().insist(&locked("alice")).await;
    for token in [&bob, &guest] {
        assert_eq!(replica.status(token).await, 200);
    }

    server.kill();
    replica.says("when_stale: deny", &bob, 503).await;
    assert_eq!(replica.status(&guest).await, 200, "when_stale: allow");
    assert_eq!(replica.status(&alice).await, 401, "known for certain");
    // It is of use to some, so proxies go on asking it.
    let (status, body) = replica.readiness().await;
    assert_eq!(status, 200, "{body}");
    assert!(body["degraded"]["revocations"].is_string(), "{body}");

    server.restart();
    replica.healthy().await;
    replica.says("the engine is back", &bob, 200).await;
    assert_eq!(replica.status(&guest).await, 200);
}
