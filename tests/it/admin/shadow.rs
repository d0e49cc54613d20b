//! Revocations, event sources and issuers in shadow.

use serde_json::{Value, json};

use super::commands::Operator;
use super::{configured, delete, get, post, revoke_subject, world};
use crate::support::{Door, World, fusionauth_event};

const WOULD: &str = "portcullis_shadow_refusals_total{reason=\"revoked\"}";

/// The token passes every door, and each says that it would be refused.
async fn would_be_refused(world: &World, token: &str, source: &str) {
    let before = world.portcullis.metric(WOULD).await.unwrap();
    for door in Door::ALL {
        assert_eq!(world.orders(door, token).await.status, 200, "{door:?}");
    }
    let counted = world.portcullis.metric(WOULD).await.unwrap() - before;
    #[expect(clippy::cast_precision_loss, reason = "there are few doors")]
    let doors = Door::ALL.len() as f64;
    assert!((counted - doors).abs() < 0.5, "{counted}");
    let kept = get(world, "/v1/decisions?limit=1").await.body_json();
    let kept = &kept["decisions"][0];
    assert_eq!(kept["decision"], "permit", "{kept}");
    assert_eq!(kept["would_refuse"], "revoked");
    assert_eq!(kept["revoked_by"]["source"], source);
}

async fn refused(world: &World, token: &str) {
    for door in Door::ALL {
        assert_eq!(world.orders(door, token).await.status, 401, "{door:?}");
    }
}

#[tokio::test]
async fn a_revocation_in_shadow_refuses_nobody_until_it_is_promoted() {
    let mut world = world().await;
    let operator = Operator::new(&world);
    let [alice, bob] = ["alice", "bob"].map(|user| world.idp.token(user).sign());
    let issuer = world.idp.issuer();
    let record = operator.json(&[
        "revoke",
        "--shadow",
        "--issuer",
        &issuer,
        "--match",
        "sub=alice",
        "--reason",
        "stolen laptop",
    ]);
    assert_eq!(record["source"], "shadow/admin");
    would_be_refused(&world, &alice, "shadow/admin").await;
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    would_be_refused(&world, &alice, "shadow/admin").await;
    let explained = post(&world, "/v1/explain", &json!({ "token": alice })).await;
    let explained = explained.body_json();
    assert_eq!(explained["decision"], "permit", "{explained}");
    assert_eq!(explained["would_refuse"], "revoked");
    assert_eq!(explained["revocations"], json!([record]));

    let id = record["id"].as_str().unwrap();
    assert_eq!(operator.run(&["promote", "absent"]).status.code(), Some(1));
    let promoted = operator.json(&["promote", id]);
    let promoted = &promoted["revocations"][0];
    assert_eq!(promoted["source"], "admin", "{promoted}");
    assert_eq!(promoted["matches"], record["matches"]);
    assert_eq!(
        promoted["issued_at_or_before"],
        record["issued_at_or_before"]
    );
    refused(&world, &alice).await;
    assert_eq!(world.orders(Door::Envoy, &bob).await.status, 200);
    let listed = get(&world, "/v1/revocations").await.body_json();
    assert_eq!(listed["revocations"], json!([promoted]));
    assert_eq!(
        operator.run(&["promote", id]).status.code(),
        Some(1),
        "it is gone"
    );
    let enforced = promoted["id"].as_str().unwrap();
    assert_eq!(operator.run(&["promote", enforced]).status.code(), Some(1));
    refused(&world, &alice).await;
}

/// Neither a revocation nor a lift in shadow takes anything from what is enforced.
#[tokio::test]
async fn what_is_in_shadow_weakens_nothing_that_is_enforced() {
    let world = world().await;
    let alice = world.idp.token("alice").sign();
    revoke_subject(&world, "alice").await;
    let body = json!({
        "issuer": world.idp.issuer(), "matches": { "sub": "alice" }, "reason": "stolen laptop",
        "shadow": true,
    });
    let in_shadow = post(&world, "/v1/revocations", &body).await.body_json();
    refused(&world, &alice).await;
    assert_eq!(
        delete(&world, in_shadow["id"].as_str().unwrap())
            .await
            .status,
        200
    );
    refused(&world, &alice).await;
    assert_eq!(world.portcullis.metric(WOULD).await, Some(0.0));
}

#[tokio::test]
async fn a_source_in_shadow_locks_and_unlocks_nobody() {
    let change = |config: &mut Value| config["events"][0]["shadow"] = json!(true);
    let world = configured(change).start().await;
    let alice = world.idp.token("alice").sign();
    let bob = world.idp.token("bob").sign();
    revoke_subject(&world, "bob").await;
    for user in ["alice", "bob"] {
        let event = fusionauth_event("user.deactivate", json!({ "user": { "id": user } }));
        assert_eq!(world.portcullis.webhook(&event).await.status, 200);
    }
    would_be_refused(&world, &alice, "shadow/fusionauth").await;
    refused(&world, &bob).await;
    let event = fusionauth_event("user.reactivate", json!({ "user": { "id": "bob" } }));
    assert_eq!(world.portcullis.webhook(&event).await.status, 200);
    refused(&world, &bob).await;

    let listed = get(&world, "/v1/revocations?value=alice").await.body_json();
    let id = listed["revocations"][0]["id"].as_str().unwrap();
    assert!(id.contains('/'), "{id}");
    Operator::new(&world).json(&["promote", id]);
    refused(&world, &alice).await;
}

#[tokio::test]
async fn an_issuer_in_shadow_is_refused_nothing_because_of_revocations() {
    let change = |config: &mut Value| {
        let issuer = config["issuers"][0]["issuer"].clone();
        config["revocations"]["issuers"] = json!([{ "issuer": issuer, "shadow": true }]);
    };
    let world = configured(change).start().await;
    let alice = world.idp.token("alice").sign();
    revoke_subject(&world, "alice").await;
    would_be_refused(&world, &alice, "admin").await;
    let expired = world
        .idp
        .token("alice")
        .claim("iat", 1)
        .claim("exp", 2)
        .sign();
    refused(&world, &expired).await;
}
