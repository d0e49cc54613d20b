//! Replicas around a Redis that is killed.

use serde_json::json;

use super::site::{Replica, early_token, locked};
use crate::support::Idp;
use crate::support::redis::Server;

#[tokio::test]
async fn redis_restarts_with_its_file_and_without_it_and_nobody_passes() {
    let idp = Idp::start();
    let mut server = Server::start().await;
    let store = json!({
        "store": { "redis": {
            "server": format!("unix:{}", server.socket().display()),
            "append_timeout": "2s",
        } },
    });
    let replicas = [
        Replica::start(&idp, store.clone()).await,
        Replica::start(&idp, store.clone()).await,
    ];
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|subject| early_token(&idp, subject));
    for replica in &replicas {
        replica.portcullis.ready().await;
    }
    replicas[0].doors().insist(&locked("alice")).await;
    replicas[1].says("told by the log", &alice, 401).await;

    server.kill();
    let event = locked("carol");
    assert!(!replicas[0].doors().acknowledges(&event).await);
    for replica in &replicas {
        assert_eq!(replica.status(&alice).await, 401);
        assert_eq!(replica.status(&bob).await, 200, "within max_staleness");
    }
    server.restart().await;
    replicas[0].doors().insist(&event).await;
    let late = Replica::start(&idp, store).await;
    late.portcullis.ready().await;
    assert_eq!(late.status(&alice).await, 401, "the file has it");
    for replica in replicas.iter().chain([&late]) {
        replica.says("after the restart", &carol, 401).await;
        replica.healthy().await;
    }

    server.restart_empty().await;
    late.doors().insist(&locked("dave")).await;
    let dave = early_token(&idp, "dave");
    for replica in replicas.iter().chain([&late]) {
        replica.says("in the new history", &dave, 401).await;
        assert_eq!(replica.status(&alice).await, 401, "what is known stays");
        assert_eq!(replica.status(&carol).await, 401);
        assert_eq!(replica.status(&bob).await, 200);
    }
}
