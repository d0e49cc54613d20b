//! What a revocation would refuse is told before it is made.

use serde_json::{Value, json};

use super::commands::Operator;
use super::{READ, post, world};
use crate::support::{Call, Door, World};

/// Three users with two tokens each at each of two clients, all seen by Envoy.
async fn seen() -> (World, Vec<String>) {
    let world = world().await;
    let mut tokens = Vec::new();
    for user in ["alice", "bob", "carol"] {
        for client in ["web", "web", "app", "app"] {
            let token = world.idp.token(user).claim("client_id", client).sign();
            assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
            tokens.push(token);
        }
    }
    (world, tokens)
}

fn order(world: &World, matches: &Value) -> Value {
    json!({ "issuer": world.idp.issuer(), "matches": matches, "reason": "leaked secret" })
}

async fn preview(world: &World, matches: Value) -> Value {
    let call = Call::json("/v1/preview", &order(world, &matches)).bearer(READ);
    let reply = call.send(world.portcullis.admin()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.body_json()
}

#[tokio::test]
async fn a_preview_counts_what_the_revocation_then_refuses() {
    let (world, tokens) = seen().await;
    let of_alice = json!({ "sub": "alice" });
    let before = preview(&world, of_alice.clone()).await;
    let expected = json!({
        "tokens": 4, "subjects": 1, "clients": 2, "already_refused": 0, "needs_confirm": false,
        "tokens_seen": 12, "is_complete": true,
    });
    assert_eq!(before, expected);
    let of_web = preview(&world, json!({ "client_id": "web" })).await;
    assert_eq!(
        (&of_web["tokens"], &of_web["subjects"]),
        (&json!(6), &json!(3))
    );
    assert_eq!(of_web["needs_confirm"], true);
    let everything = preview(&world, json!({})).await;
    assert_eq!(everything["tokens"], 12);
    for token in &tokens {
        assert_eq!(
            world.orders(Door::Envoy, token).await.status,
            200,
            "nothing happened"
        );
    }
    let revoked = post(&world, "/v1/revocations", &order(&world, &of_alice)).await;
    assert_eq!(revoked.status, 201, "{}", revoked.text());
    let mut refused = 0;
    for token in &tokens {
        refused += usize::from(world.orders(Door::Envoy, token).await.status == 401);
    }
    assert_eq!(json!(refused), before["tokens"]);
    let after = preview(&world, of_alice).await;
    assert_eq!(
        (&after["tokens"], &after["already_refused"]),
        (&json!(0), &json!(4))
    );
    let everything = preview(&world, json!({})).await;
    assert_eq!(everything["tokens"], 8);
}

#[tokio::test]
async fn a_whole_client_is_revoked_only_with_the_number_that_it_reaches() {
    let (world, tokens) = seen().await;
    let mut body = order(&world, &json!({ "client_id": "web" }));
    let refused = post(&world, "/v1/revocations", &body).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.text().contains("6 of those seen lately"),
        "{}",
        refused.text()
    );
    body["confirm"] = json!(5);
    let refused = post(&world, "/v1/revocations", &body).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains("more than the 5"),
        "{}",
        refused.text()
    );
    assert_eq!(world.orders(Door::Envoy, &tokens[0]).await.status, 200);
    body["confirm"] = json!(6);
    let revoked = post(&world, "/v1/revocations", &body).await;
    assert_eq!(revoked.status, 201, "{}", revoked.text());
    assert_eq!(world.orders(Door::Envoy, &tokens[0]).await.status, 401);
    assert_eq!(world.orders(Door::Envoy, &tokens[2]).await.status, 200);
}

#[tokio::test]
async fn an_operator_looks_first_and_takes_the_last_revocation_back() {
    let (world, tokens) = seen().await;
    let operator = Operator::new(&world);
    let issuer = world.idp.issuer();
    let revoke = [
        "revoke",
        "--issuer",
        &issuer,
        "--match",
        "client_id=app",
        "--reason",
        "leak",
    ];
    let said = operator.text(&[&revoke[..], &["--dry-run"]].concat());
    assert!(
        said.contains("it would refuse 6 tokens of 3 subjects at 1 clients, of 12"),
        "{said}"
    );
    assert!(said.contains("to revoke: --confirm 6\n"), "{said}");
    assert_eq!(world.orders(Door::Envoy, &tokens[2]).await.status, 200);
    assert_eq!(operator.run(&revoke).status.code(), Some(1));
    let record = operator.json(&[&revoke[..], &["--confirm", "6"]].concat());
    assert_eq!(world.orders(Door::Envoy, &tokens[2]).await.status, 401);
    let said = operator.text(&["lift", "--last"]);
    for part in [record["id"].as_str().unwrap(), "client_id=app", "add --yes"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(world.orders(Door::Envoy, &tokens[2]).await.status, 401);
    operator.text(&["lift", "--last", "--yes"]);
    assert_eq!(world.orders(Door::Envoy, &tokens[2]).await.status, 200);
    let nothing = operator.run(&["lift", "--last", "--yes"]);
    assert_eq!(nothing.status.code(), Some(1));
}
