//! A decision is found by the id that the client's error carries.

use serde_json::{Value, json};

use super::{READ, configured, delete, get, post, revoke_subject, world};
use crate::support::{Call, Door, Reply, World, until};

async fn kept(world: &World, id: &str) -> Reply {
    get(world, &format!("/v1/decisions/{id}")).await
}

/// The id in the error that a client gets.
fn id_of(reply: &Reply) -> String {
    let id = reply.body_json()["decision_id"].clone();
    id.as_str().unwrap().to_owned()
}

async fn listed(world: &World, query: &str) -> Vec<Value> {
    let reply = get(world, &format!("/v1/decisions{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let decisions = reply.body_json()["decisions"].clone();
    decisions.as_array().unwrap().clone()
}

#[tokio::test]
async fn the_id_in_a_client_error_leads_to_the_revocation() {
    let world = world().await;
    let alice = world.idp.token("alice").sign();
    let record = revoke_subject(&world, "alice").await;
    let call = Call::get("/orders?secret=query-of-alice").bearer(&alice);
    let refused = world.send(Door::Envoy, call).await;
    assert_eq!(refused.status, 401);
    let id = id_of(&refused);
    let found = kept(&world, &id).await;
    assert_eq!(found.status, 200, "{}", found.text());
    for secret in [&*alice, "query-of-alice", READ] {
        assert!(!found.text().contains(secret), "{}", found.text());
    }
    let found = found.body_json();
    let expected = json!({
        "id": id, "at": found["at"], "decision": "deny", "reason": "revoked", "status": 401,
        "door": "ext_authz", "host": found["host"], "method": "GET", "path": "/orders",
        "policy": "default", "issuer": world.idp.issuer(), "expected": null, "found": null,
        "would_refuse": null,
        "revoked_by": {
            "source": "admin", "cause": "ops: stolen laptop", "claims": ["sub"],
            "occurred_at": record["occurred_at"],
        },
        "revocations": [record],
    });
    assert_eq!(found, expected);
    let of_list = listed(&world, "?reason=revoked&outcome=deny&limit=1").await;
    assert_eq!(of_list[0]["id"], found["id"]);
    delete(&world, record["id"].as_str().unwrap()).await;
    assert_eq!(
        kept(&world, &id).await.body_json(),
        expected,
        "also after a lift"
    );
}

/// Through both kinds of doors, with a token and, where none is needed, without one.
#[tokio::test]
async fn what_a_policy_in_shadow_would_refuse_passes_and_is_counted_logged_and_kept() {
    let world = configured(|config| {
        config["policies"] = json!([
            { "name": "soon", "prefix": "/orders", "scopes": ["orders:all"], "shadow": true },
            { "name": "welcome", "prefix": "/orders/open", "token": "optional" },
        ]);
    });
    let world = world.start().await;
    let alice = world
        .idp
        .token("alice")
        .claim("scope", "orders:read")
        .sign();
    let call = || Call::get("/orders").bearer(&alice);
    for (reason, call) in [
        ("insufficient_scope", &call as &dyn Fn() -> Call),
        ("missing_token", &|| Call::get("/orders/open")),
    ] {
        let sample = format!("portcullis_shadow_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(world.portcullis.metric(&sample).await, Some(0.0));
        for door in Door::ALL {
            assert_eq!(
                world.send(door, call()).await.status,
                200,
                "{door:?} {reason}"
            );
        }
        let counted = world.portcullis.metric(&sample).await;
        #[expect(clippy::cast_precision_loss, reason = "there are few doors")]
        let doors = Door::ALL.len() as f64;
        assert_eq!(counted, Some(doors), "{reason}");
    }
    let mut kept = listed(&world, "").await;
    // Sampled probes of the harness.
    kept.retain(|one| !one["would_refuse"].is_null());
    assert_eq!(
        kept.len(),
        2 * Door::ALL.len(),
        "all that would be refused: {kept:?}"
    );
    for one in &kept {
        let (outcome, policy) = match one["would_refuse"].as_str().unwrap() {
            "insufficient_scope" => ("permit", "default"),
            _ => ("bypass", "welcome"),
        };
        assert_eq!(
            (&one["decision"], &one["policy"]),
            (&json!(outcome), &json!(policy))
        );
        assert!(
            one["expected"].as_str().unwrap().contains("policy soon"),
            "{one}"
        );
        assert_eq!(one["reason"], Value::Null);
    }
    until("each of them is logged", async || {
        let lines = world.portcullis.process.lines();
        let logged = lines
            .iter()
            .filter(|line| line.contains("would be denied without shadow"))
            .count();
        (logged == kept.len()).then_some(())
    })
    .await;
    let question = json!({ "request": {
        "method": "GET", "target": "/orders",
        "headers": [["authorization", format!("Bearer {alice}")]],
    }});
    let explained = post(&world, "/v1/explain", &question).await.body_json();
    assert_eq!(explained["decision"], "permit", "{explained}");
    assert_eq!(explained["policy"], "default");
    assert_eq!(explained["would_refuse"], "insufficient_scope");
    assert_eq!(explained["found"], "scope: orders:read");
    revoke_subject(&world, "alice").await;
    for door in Door::ALL {
        assert_eq!(
            world.send(door, call()).await.status,
            401,
            "{door:?}: revoked is revoked"
        );
    }
}

#[tokio::test]
async fn an_issuer_is_told_only_if_the_signature_is_good() {
    let world = world().await;
    let expired = world.idp.token("alice").claim("iat", 1).claim("exp", 2);
    let good = world.idp.token("alice").sign();
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for (token, reason, issuer) in [
        (expired.sign(), "expired", json!(world.idp.issuer())),
        (forged, "bad_signature", Value::Null),
    ] {
        let refused = world.orders(Door::Envoy, &token).await;
        let found = kept(&world, &id_of(&refused)).await.body_json();
        assert_eq!(found["issuer"], issuer, "{found}");
        if found["reason"] != "keys_unavailable" {
            assert_eq!(found["reason"], reason, "{found}");
        }
        assert_eq!(found["status"], refused.status, "{found}");
        assert_eq!(found["revocations"], Value::Null);
    }
}

#[tokio::test]
async fn passes_are_sampled_by_their_id_and_denials_are_all_kept() {
    let world = world().await;
    let good = world.idp.token("alice").sign();
    for _ in 0..200 {
        assert_eq!(world.orders(Door::Envoy, &good).await.status, 200);
        assert_eq!(world.orders(Door::Envoy, "bad").await.status, 401);
    }
    let denied = listed(&world, "?outcome=deny&limit=1000").await;
    assert_eq!(denied.len(), 200);
    let passed = listed(&world, "?outcome=permit&limit=1000").await;
    assert!((1..60).contains(&passed.len()), "{}", passed.len());
    for pass in &passed {
        assert!(pass["id"].as_str().unwrap().ends_with('0'), "{pass}");
        assert_eq!(pass["issuer"], world.idp.issuer(), "{pass}");
    }
    let all = listed(&world, "?limit=1000").await;
    assert_eq!(all.len(), denied.len() + passed.len());
    let times: Vec<_> = all.iter().map(|one| one["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older));
    for (wrong, why) in [
        ("?reason=nothing", "reason must be"),
        ("?outcome=maybe", "outcome must be"),
        ("?limit=0", "limit must be"),
        ("?path=/", "unknown parameter"),
        ("?limit=1&limit=2", "stands twice"),
        ("/xyz", "sixteen digits"),
        ("/0123456789ABCDEF", "sixteen digits"),
    ] {
        let reply = get(&world, &format!("/v1/decisions{wrong}")).await;
        assert_eq!(reply.status, 400, "{wrong}");
        assert!(reply.text().contains(why), "{wrong}: {}", reply.text());
    }
}

#[tokio::test]
async fn the_ring_is_bounded_and_can_be_switched_off() {
    for keep in [0, 3] {
        let builder = World::builder().config(|config| {
            config["admin"] = json!({
                "credentials": [{ "name": "viewer", "role": "read", "secret": READ }],
                "decisions": { "keep": keep },
            });
        });
        let world = builder.start().await;
        for _ in 0..10 {
            assert_eq!(world.orders(Door::Envoy, "bad").await.status, 401);
        }
        let last = id_of(&world.orders(Door::Envoy, "bad").await);
        let is_kept = kept(&world, &last).await.status == 200;
        assert_eq!(is_kept, keep > 0);
        let denied = listed(&world, "?outcome=deny").await;
        assert_eq!(denied.len(), keep);
    }
}
