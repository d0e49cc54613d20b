//! What reaches far takes two people.

use serde_json::{Value, json};

use super::commands::Operator;
use super::{READ, WRITE, configured};
use crate::support::{Call, Door, Reply, World};

const CHIEF: &str = "approve-secret-0123456789";

/// A world in which broad revocations take two people.
async fn world() -> World {
    let builder = configured(|_| ());
    let file = builder.home().join("audit.log");
    let builder = builder.config(|config| {
        config["client_ip"] = json!({});
        let issuer = config["issuers"][0]["issuer"].clone();
        config["audit"] = json!({ "file": file });
        config["admin"]["approval"] = json!({});
        let credentials = config["admin"]["credentials"].as_array_mut().unwrap();
        credentials.extend([
            json!({ "name": "chief", "role": "approve", "secret": CHIEF }),
            json!({ "name": "staff", "role": "approve", "issuer": issuer, "scopes": ["approve"] }),
            json!({ "name": "staff-2", "role": "approve", "issuer": issuer, "scopes": ["approve", "more"] }),
        ]);
    });
    builder.start().await
}

fn everything(world: &World) -> Value {
    json!({ "issuer": world.idp.issuer(), "matches": {}, "confirm": true, "reason": "key stolen" })
}

async fn send(world: &World, secret: &str, call: Call) -> Reply {
    call.bearer(secret).send(world.portcullis.admin()).await
}

async fn order(world: &World, secret: &str, body: &Value) -> Reply {
    send(world, secret, Call::json("/v1/revocations", body)).await
}

async fn approve(world: &World, secret: &str, id: &str) -> u16 {
    let call = Call::new("POST", &format!("/v1/approvals/{id}"));
    send(world, secret, call).await.status
}

async fn waiting(world: &World) -> Value {
    let reply = send(world, READ, Call::get("/v1/approvals")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.body_json()["approvals"].clone()
}

fn last_line(world: &World) -> Value {
    let trail = std::fs::read_to_string(world.home.path().join("audit.log")).unwrap();
    serde_json::from_str(trail.lines().next_back().unwrap()).unwrap()
}

#[tokio::test]
async fn an_issuer_is_revoked_once_a_second_person_approves() {
    let world = world().await;
    let token = world.idp.token("alice").sign();
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
    let reply = order(&world, WRITE, &everything(&world)).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let waits = reply.body_json();
    let id = waits["id"].as_str().unwrap();
    assert_eq!(
        reply.header("location"),
        Some(&*format!("/v1/approvals/{id}"))
    );
    assert_eq!(
        (&waits["ordered_by"], &waits["tokens"]),
        (&json!("ops"), &json!(1))
    );
    assert_eq!(waiting(&world).await, json!([waits]));
    let line = last_line(&world);
    assert_eq!(
        (&line["credential"], &line["waits"]),
        (&json!("ops"), &waits["id"])
    );
    for (secret, status) in [(READ, 403), (WRITE, 403), ("wrong-secret-0123456789", 401)] {
        assert_eq!(approve(&world, secret, id).await, status, "{secret}");
    }
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
    let later = world.idp.token("bob").shifted(2).sign();

    let call = Call::new("POST", &format!("/v1/approvals/{id}"));
    let reply = send(&world, CHIEF, call).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let record = reply.body_json();
    assert_eq!(record["id"], waits["id"]);
    assert_eq!(record["cause"], "ops: key stolen");
    assert_eq!(
        record["issued_at_or_before"], waits["issued_at_or_before"],
        "as it was previewed"
    );
    let line = last_line(&world);
    assert_eq!(
        (&line["credential"], &line["revoked"]),
        (&json!("chief"), &record["id"])
    );
    assert_eq!(line["ordered_by"], json!({ "credential": "ops" }));
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 401);
    assert_ne!(
        world.orders(Door::Envoy, &later).await.status,
        401,
        "it came after the order"
    );
    assert_eq!(waiting(&world).await, json!([]));
    assert_eq!(approve(&world, CHIEF, id).await, 404);
}

#[tokio::test]
async fn nobody_approves_their_own_order_whichever_credential_they_use() {
    let world = world().await;
    let person = |name: &str, scope: &str| world.idp.token(name).claim("scope", scope).sign();
    let body = json!({
        "issuer": world.idp.issuer(), "matches": { "client_id": "shop" }, "confirm": true, "reason": "leak",
    });
    for (by, others) in [
        (CHIEF.to_owned(), [CHIEF.to_owned(), CHIEF.to_owned()]),
        (
            person("carol", "approve"),
            [person("carol", "approve"), person("carol", "approve more")],
        ),
    ] {
        let reply = order(&world, &by, &body).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let id = reply.body_json()["id"].as_str().unwrap().to_owned();
        for own in others {
            assert_eq!(approve(&world, &own, &id).await, 403);
        }
        assert_eq!(approve(&world, &person("dave", "approve"), &id).await, 201);
    }
}

#[tokio::test]
async fn what_names_one_person_takes_one_person_and_what_is_previewed_is_the_limit() {
    let world = world().await;
    let narrow =
        json!({ "issuer": world.idp.issuer(), "matches": { "sub": "alice" }, "reason": "x" });
    assert_eq!(order(&world, WRITE, &narrow).await.status, 201);
    let issuer = world.idp.issuer();
    for wide in [
        json!({ "iss": issuer }),
        json!({ "token_use": "access" }),
        json!({ "client#ip": "10.0.0.0/8" }),
        json!({ "client#ip": "2001:db8::/32" }),
        json!({ "sub|token_use": "access" }),
    ] {
        let mut body = everything(&world);
        body["matches"] = wide.clone();
        body["issued_at_or_before"] = json!(null);
        assert_eq!(order(&world, WRITE, &body).await.status, 202, "{wide}");
        body["confirm"] = json!(false);
        assert_eq!(order(&world, WRITE, &body).await.status, 422, "{wide}");
    }
    for narrow in [
        json!({ "client#ip": "10.1.2.3" }),
        json!({ "client#ip": "2001:db8::1" }),
        json!({ "email": "alice@example.com", "token_use": "access" }),
    ] {
        let body = json!({ "issuer": issuer, "matches": narrow, "reason": "x" });
        let reach = send(&world, READ, Call::json("/v1/preview", &body)).await;
        assert_eq!(reach.body_json()["needs_confirm"], false, "{narrow}");
    }
    let mut body = everything(&world);
    body["confirm"] = json!(false);
    assert_eq!(
        order(&world, WRITE, &body).await.status,
        422,
        "it needs confirm all the same"
    );
    body["confirm"] = json!(0);
    let reply = order(&world, WRITE, &body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let id = reply.body_json()["id"].as_str().unwrap().to_owned();
    let token = world.idp.token("bob").shifted(-10).sign();
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
    assert_eq!(
        approve(&world, CHIEF, &id).await,
        409,
        "more than was confirmed"
    );
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
    let withdraw = Call::new("DELETE", &format!("/v1/approvals/{id}"));
    assert_eq!(send(&world, READ, withdraw.clone()).await.status, 403);
    assert_eq!(send(&world, WRITE, withdraw.clone()).await.status, 200);
    assert_eq!(last_line(&world)["withdrawn"], id);
    assert_eq!(send(&world, WRITE, withdraw).await.status, 404);
    assert_eq!(approve(&world, CHIEF, &id).await, 404);
}

#[tokio::test]
async fn a_repeated_order_waits_once_and_a_hundred_at_most_wait() {
    let mut world = world().await;
    let keyed = |key: &str, body: &Value| {
        let call = Call::json("/v1/revocations", body);
        call.header("idempotency-key", key)
    };
    let body = everything(&world);
    let first = send(&world, WRITE, keyed("a", &body)).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let again = send(&world, WRITE, keyed("a", &body)).await;
    assert_eq!((again.status, again.body_json()), (202, first.body_json()));
    let mut other = body.clone();
    other["matches"] = json!({ "aud": "shop-api" });
    let mut stronger = body.clone();
    stronger["issued_at_or_before"] = json!(null);
    for (secret, body) in [(WRITE, &other), (WRITE, &stronger), (CHIEF, &body)] {
        let reply = send(&world, secret, keyed("a", body)).await;
        assert_eq!(reply.status, 422, "{}", reply.text());
    }
    for number in 1..100 {
        let reply = send(&world, WRITE, keyed(&format!("a{number}"), &body)).await;
        assert_eq!(reply.status, 202, "{number}: {}", reply.text());
    }
    let reply = send(&world, WRITE, keyed("b", &body)).await;
    assert_eq!(reply.status, 409, "{}", reply.text());
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    assert_eq!(waiting(&world).await, json!([]), "they wait in memory");
}

#[tokio::test]
async fn commands_order_list_and_approve() {
    let world = world().await;
    let operator = Operator::new(&world);
    let chief = world.home.path().join("chief");
    std::fs::write(&chief, CHIEF).unwrap();
    let chief = chief.to_str().unwrap();
    let issuer = world.idp.issuer();
    let revoke = [
        "revoke",
        "--issuer",
        &issuer,
        "--confirm",
        "--reason",
        "key stolen",
    ];
    let said = operator.text(&[&revoke[..], &["--idempotency-key", "ticket-7"]].concat());
    assert!(said.contains("portcullis approve ticket-7"), "{said}");
    let listed = operator.text(&["approve"]);
    assert!(
        listed.contains("ticket-7") && listed.contains("ops: key stolen"),
        "{listed}"
    );
    assert_eq!(
        operator.json(&["approve"])["approvals"][0]["id"],
        "ticket-7"
    );
    let refused = operator.run(&["approve", "ticket-7"]);
    assert!(!refused.status.success(), "{refused:?}");
    let made = operator.text(&["approve", "ticket-7", "--credentials-file", chief]);
    assert!(made.contains("portcullis lift ticket-7"), "{made}");
    assert!(operator.text(&["approve"]).contains("no order waits"));
    operator.text(&[&revoke[..], &["--idempotency-key", "ticket-8"]].concat());
    operator.text(&["approve", "ticket-8", "--withdraw"]);
    assert!(operator.text(&["approve"]).contains("no order waits"));
}
