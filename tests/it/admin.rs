//! An operator's hands: the admin API and the commands over it, through the real program and the real
//! Envoy.

mod access;
mod agreement;
mod approvals;
mod certificates;
pub(crate) mod commands;
mod decisions;
pub(crate) mod grpc;
mod grpc_access;
mod hostile;
mod openapi;
mod preview;
mod reference;
pub(crate) mod replicas;
mod shadow;
pub(crate) mod watch;

use serde_json::{Value, json};

use crate::support::{Call, Door, Reply, World, WorldBuilder};

const WRITE: &str = "write-secret-0123456789";
const READ: &str = "read-secret-0123456789";

/// A world with a credential for each role.
async fn world() -> World {
    configured(|_| ()).start().await
}

/// The same before it starts, with a configuration that is changed further.
fn configured(change: impl FnOnce(&mut Value)) -> WorldBuilder {
    World::builder().config(|config| {
        config["admin"] = json!({ "credentials": [
            { "name": "ops", "role": "write", "secret": WRITE },
            { "name": "viewer", "role": "read", "secret": READ },
        ]});
        change(config);
    })
}

async fn post(world: &World, target: &str, body: &Value) -> Reply {
    let call = Call::json(target, body).bearer(WRITE);
    call.send(world.portcullis.admin()).await
}

async fn get(world: &World, target: &str) -> Reply {
    let call = Call::get(target).bearer(READ);
    call.send(world.portcullis.admin()).await
}

async fn delete(world: &World, id: &str) -> Reply {
    let call = Call::new("DELETE", &format!("/v1/revocations/{id}")).bearer(WRITE);
    call.send(world.portcullis.admin()).await
}

/// Revokes the tokens of a user, and returns the record.
async fn revoke_subject(world: &World, subject: &str) -> Value {
    let issuer = world.idp.issuer();
    let body =
        json!({ "issuer": issuer, "matches": { "sub": subject }, "reason": "stolen laptop" });
    let reply = post(world, "/v1/revocations", &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.body_json()
}

#[tokio::test]
async fn what_the_api_revokes_is_refused_until_it_is_lifted() {
    let world = world().await;
    let alice = world.idp.token("alice").sign();
    let bob = world.idp.token("bob").sign();
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    let record = revoke_subject(&world, "alice").await;
    assert_eq!(record["source"], "admin");
    assert_eq!(record["cause"], "ops: stolen laptop");
    assert_eq!(record["matches"], json!({ "sub": "alice" }));
    for door in Door::ALL {
        assert_eq!(world.orders(door, &alice).await.status, 401, "{door:?}");
        assert_eq!(world.orders(door, &bob).await.status, 200, "{door:?}");
    }
    let id = record["id"].as_str().unwrap();
    for target in [
        "/v1/revocations",
        "/v1/revocations?claim=sub&value=alice&source=admin&limit=1",
        &format!("/v1/revocations/{id}"),
    ] {
        let listed = get(&world, target).await.body_json();
        assert_eq!(
            listed,
            json!({ "revocations": [record], "more": false }),
            "{target}"
        );
    }
    let others = get(&world, "/v1/revocations?value=bob").await.body_json();
    assert_eq!(others["revocations"], json!([]));

    let explained = post(&world, "/v1/explain", &json!({ "token": alice }))
        .await
        .body_json();
    assert_eq!(explained["decision"], "deny", "{explained}");
    assert_eq!(explained["reason"], "revoked");
    assert_eq!(explained["status"], 401);
    assert_eq!(explained["claims"]["sub"], "alice");
    assert_eq!(explained["revocations"], json!([record]));

    let status = get(&world, "/v1/status").await.body_json();
    assert_eq!(status["live_revocations"], 1, "{status}");
    assert_eq!(status["ready"], true);
    assert_eq!(status["feed_lag_records"], 0);

    let undone = delete(&world, id).await;
    assert_eq!(undone.status, 200, "{}", undone.text());
    assert_eq!(undone.body_json()["revocations"], json!([record]));
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    assert_eq!(delete(&world, id).await.status, 404);
    assert_eq!(
        get(&world, &format!("/v1/revocations/{id}")).await.status,
        404
    );
}

#[tokio::test]
async fn a_stolen_token_is_revoked_alone_and_stays_so_through_a_crash() {
    let mut world = world().await;
    let stolen = world.idp.token("alice").sign();
    let other = world.idp.token("alice").sign();
    let body = json!({ "token": stolen, "reason": "found in a log" });
    let reply = post(&world, "/v1/revocations", &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let record = reply.body_json();
    assert_eq!(record["issued_at_or_before"], Value::Null);
    let location = reply.header("location").unwrap();
    assert_eq!(
        get(&world, location).await.body_json()["revocations"],
        json!([record])
    );
    world.portcullis.kill_9();
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    assert_eq!(world.orders(Door::Envoy, &stolen).await.status, 401);
    assert_eq!(world.orders(Door::Envoy, &other).await.status, 200);
    assert_eq!(
        get(&world, location).await.body_json()["revocations"],
        json!([record])
    );
    for secret in [&stolen, WRITE, READ, "alice"] {
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn an_event_of_a_provider_is_lifted_by_its_id() {
    let world = world().await;
    let alice = world.idp.token("alice").sign();
    world.deactivate("alice").await;
    let listed = get(&world, "/v1/revocations?cause=user.deactivate")
        .await
        .body_json();
    let id = listed["revocations"][0]["id"].as_str().unwrap();
    assert!(id.contains('/'), "{id}");
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
    let undone = delete(&world, &id.replace('/', "%2F")).await;
    assert_eq!(undone.status, 200, "{}", undone.text());
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
}

#[tokio::test]
async fn a_repeated_request_with_its_key_changes_nothing() {
    let world = world().await;
    let body = json!({
        "issuer": world.idp.issuer(), "matches": { "sub": "alice" }, "reason": "ticket 7",
    });
    let send = async |body: &Value| {
        let call = Call::json("/v1/revocations", body).bearer(WRITE);
        let call = call.header("idempotency-key", "\"ticket-7\"");
        call.send(world.portcullis.admin()).await
    };
    let first = send(&body).await;
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(first.body_json()["id"], "ticket-7");
    let again = send(&body).await;
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(again.body_json(), first.body_json());
    let mut other = body.clone();
    other["matches"]["sub"] = json!("bob");
    assert_eq!(send(&other).await.status, 422);
    for cut_off in [json!(null), json!("2026-01-01T00:00:00Z")] {
        let mut other = body.clone();
        other["issued_at_or_before"] = cut_off.clone();
        assert_eq!(send(&other).await.status, 422, "{cut_off}");
    }
    assert_eq!(delete(&world, "ticket-7").await.status, 200);
    assert_eq!(send(&body).await.status, 409, "it does not revoke again");
    let listed = get(&world, "/v1/revocations").await.body_json();
    assert_eq!(listed["revocations"], json!([]));
}
