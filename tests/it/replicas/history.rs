//! The history of `max_token_lifetime` lies in the log: a replica that begins with an empty directory
//! decides as the others do.

use portcullis::core::clock::Clock;
use serde_json::{Value, json};

use super::site::{Replica, early, early_token, locked, on_nats};
use crate::support::nats::{Server, Settings};
use crate::support::{Idp, redis};

fn allow(hours: &'static str) -> impl Fn(&mut Value) {
    move |config| config["issuers"][0]["max_token_lifetime"] = json!(hours)
}

async fn fresh_replicas_decide_as_the_others(store: Value) {
    let idp = Idp::start();
    let mut old = Replica::start(&idp, store.clone()).await;
    old.portcullis.ready().await;
    let now = Clock::system().now().seconds();
    let lives = |hours: u64| {
        let mint = idp.token("alice").claim("iat", now - 600);
        mint.claim("exp", now - 600 + hours * 3600).sign()
    };
    let (short, long) = (early_token(&idp, "alice"), lives(2));
    assert_eq!(old.status(&long).await, 401, "longer than 1h");

    // From now on such tokens may be issued. This one was issued before.
    old.portcullis.reconfigure(allow("3h"));
    old.portcullis.restart().await;
    old.portcullis.ready().await;
    assert_eq!(old.status(&long).await, 401, "issued before the raise");

    // A token without `iat` counts as issued as early as its life may be long. When these were issued
    // that was an hour, which makes it 2,460 seconds ago; with three hours they would be older.
    let [carol, dave] = ["carol", "dave"].map(|user| early(&idp, user).without("iat").sign());
    for (user, seconds) in [("carol", 5000), ("dave", 2000)] {
        let mut lock = locked(user);
        lock["event"]["createInstant"] = json!((now - seconds) * 1000);
        old.doors().insist(&lock).await;
    }
    assert_eq!(old.status(&carol).await, 200, "issued after the lock");
    assert_eq!(old.status(&dave).await, 401, "issued before the lock");

    let fresh = Replica::start_changed(&idp, store.clone(), "", allow("3h")).await;
    fresh.portcullis.ready().await;
    assert_eq!(fresh.status(&carol).await, 200, "issued after the lock");
    assert_eq!(fresh.status(&dave).await, 401, "issued before the lock");
    let behind = Replica::start_changed(&idp, store.clone(), "", allow("30m")).await;
    for replica in [&fresh, &behind] {
        replica.portcullis.ready().await;
        assert_eq!(replica.status(&long).await, 401);
        assert!(replica.denials("lifetime_exceeded").await > 0.0);
    }
    assert_eq!(behind.status(&short).await, 401, "it lives 40 minutes");
    // All of them keep to the shortest now, and no restart without a directory forgets it.
    let last = Replica::start_changed(&idp, store, "", allow("3h")).await;
    last.portcullis.ready().await;
    assert_eq!(last.status(&long).await, 401);
    assert_eq!(last.status(&short).await, 401);
    old.says("another replica was told so", &short, 401).await;
    assert_eq!(old.status(&long).await, 401);
}

#[tokio::test]
async fn a_fresh_replica_on_nats_holds_tokens_to_the_bounds_of_their_time() {
    let server = Server::start(&Settings::default());
    fresh_replicas_decide_as_the_others(on_nats(&[server.url()], 1)).await;
}

#[tokio::test]
async fn a_fresh_replica_on_redis_holds_tokens_to_the_bounds_of_their_time() {
    let server = redis::Server::start().await;
    let socket = format!("unix:{}", server.socket().display());
    let store = json!({ "store": { "redis": { "server": socket } } });
    fresh_replicas_decide_as_the_others(store).await;
}
