//! How far a replica is behind, as its metrics tell.

use async_nats::jetstream;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{Replica, locked, on_nats};
use crate::support::nats::{Server, Settings};
use crate::support::redis::{self, STREAM};
use crate::support::{Idp, Portcullis, until};

const LAG: &str = "portcullis_revocations_feed_lag_records";

async fn until_lag(portcullis: &Portcullis, expected: f64) {
    let what = format!("the lag is {expected}");
    until(&what, async || {
        let lag = portcullis.metric(LAG).await.expect("a gauge");
        ((lag - expected).abs() < 0.5).then_some(())
    })
    .await;
}

/// One that took an event has nothing more to take; behind what it cannot read, it says how much
/// waits.
async fn tells(idp: &Idp, store: Value, spoil: impl AsyncFnOnce()) {
    let replica = Replica::start(idp, store).await;
    replica.doors().insist(&locked("alice")).await;
    until_lag(&replica.portcullis, 0.0).await;
    spoil().await;
    until_lag(&replica.portcullis, 1.0).await;
    replica.doors().insist(&locked("bob")).await;
    until_lag(&replica.portcullis, 2.0).await;
}

#[tokio::test]
async fn the_lag_is_what_a_jetstream_replica_has_not_applied() {
    let idp = Idp::start();
    let server = Server::start(&Settings::default());
    let mut store = on_nats(&[server.url()], 1);
    store["sync_timeout"] = json!("100ms");
    tells(&idp, store, async || {
        let client = async_nats::connect(server.url()).await.unwrap();
        let jetstream = jetstream::new(client);
        let sent = jetstream.publish("portcullis.revocations.v1", "garbage".into());
        sent.await.unwrap().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_lag_is_what_a_redis_replica_has_not_applied() {
    let idp = Idp::start();
    let server = redis::Server::start().await;
    let at = format!("unix:{}", server.socket().display());
    let store = json!({ "store": { "redis": { "server": at } }, "sync_timeout": "100ms" });
    tells(&idp, store, async || {
        let garbage = ["XADD", STREAM, "*", "what", "is this"];
        server.run::<String>(&garbage).await;
    })
    .await;
}

#[tokio::test]
async fn an_embedded_log_has_no_lag_once_an_event_is_acknowledged() {
    let idp = Idp::start();
    let home = TempDir::new().unwrap();
    let config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
    let portcullis = Portcullis::start(home.path(), config).await;
    portcullis.ready().await;
    assert_eq!(portcullis.webhook(&locked("alice")).await.status, 200);
    until_lag(&portcullis, 0.0).await;
}
