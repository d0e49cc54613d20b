//! Hostile tokens through the real Envoy: each is refused for its own reason, says nothing to its
//! sender, and leaves nothing of itself in a log; cold, and beside good tokens in the cache.

mod tokens;

use std::collections::BTreeSet;

use serde_json::json;

use super::{denials, logged, nothing_broke};
use crate::support::{Call, Door, Reply, World, until};
use tokens::Keys;

/// Stands in every hostile token; unverified, so it must appear nowhere.
const NAME: &str = "mallory-7f3a9c";

async fn start(keys: &Keys) -> World {
    let builder = World::builder().idp(|idp| {
        for jwk in keys.published() {
            idp.publish(jwk);
        }
    });
    let builder = builder.config(|config| {
        config["keys"] = json!({ "refresh": "1h", "cooldown": "1s" });
    });
    builder.start().await
}

#[tokio::test]
async fn every_kind_is_refused_for_its_own_reason() {
    let keys = Keys::new();
    let world = start(&keys).await;
    let cases = tokens::hostile(&world.idp, &keys);
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert!(names.len() >= 80, "only {} kinds", names.len());
    assert_eq!(names.len(), cases.len(), "a name stands twice");

    judge(&world, &cases, "cold").await;
    let good = tokens::good(&world.idp, &keys);
    for _seen_before in [false, true] {
        for token in &good {
            let reply = world.orders(Door::Envoy, token).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    }
    judge(&world, &cases, "warm").await;
    for token in &good {
        assert_eq!(world.orders(Door::Envoy, token).await.status, 200);
    }
    nothing_broke(&world).await;
    nothing_leaks(&world, &cases);
}

async fn judge(world: &World, cases: &[tokens::Case], when: &str) {
    for (i, case) in cases.iter().enumerate() {
        let what = format!("{} ({when})", case.name);
        let before = denials(world, case.reason).await;
        let (path, reply) = answer(world, case, &format!("/{when}/{i}")).await;
        let is_ours = case.reason == "token_too_large";
        let status = if is_ours { 431 } else { 401 };
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        let expected = "Bearer realm=\"portcullis\", error=\"invalid_token\"";
        let expected = (!is_ours).then_some(expected);
        assert_eq!(reply.header("www-authenticate"), expected, "{what}");
        let line = logged(world, &path).await;
        assert_eq!(line["reason"], case.reason, "{what}");
        assert!(denials(world, case.reason).await > before, "{what}");
    }
}

/// The answer, and the path under which it was given: a token whose key is unknown gets 503 until
/// the keys may be fetched again.
async fn answer(world: &World, case: &tokens::Case, path: &str) -> (String, Reply) {
    let mut tries = 0;
    until(case.name, async || {
        tries += 1;
        let path = format!("{path}/{tries}");
        let call = Call::get(&path).bearer(&case.token);
        let reply = world.send(Door::Envoy, call).await;
        (reply.status != 503).then_some((path, reply))
    })
    .await
}

/// Not the token, not a part of it, not what it says.
fn nothing_leaks(world: &World, cases: &[tokens::Case]) {
    let logs = [
        world.portcullis.process.lines().join("\n"),
        world.envoy.process.lines().join("\n"),
    ];
    for log in &logs {
        assert!(!log.contains(NAME));
        for case in cases {
            for part in case.token.split('.').filter(|part| part.len() > 30) {
                assert!(!log.contains(part), "{} is in a log", case.name);
            }
        }
    }
}

fn header(value: String) -> Call {
    Call::get("/orders").header("authorization", value)
}

#[tokio::test]
async fn the_scheme_is_read_without_case() {
    let world = World::start().await;
    let token = world.idp.token("alice").sign();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "] {
        for door in Door::ALL {
            let reply = world.send(door, header(format!("{scheme} {token}"))).await;
            assert_eq!(reply.status, 200, "{door:?} {scheme:?}");
        }
    }
}

#[tokio::test]
async fn a_token_elsewhere_is_none_and_two_are_too_many() {
    let world = World::start().await;
    let token = world.idp.token("alice").sign();
    let large = header(format!("Bearer {}", "a".repeat(17 << 10)));
    for (reason, status, calls) in [
        ("missing_token", 401, elsewhere(&token)),
        ("malformed_token", 401, doubtful(&token)),
        ("token_too_large", 431, vec![large]),
    ] {
        for call in calls {
            let before = denials(&world, reason).await;
            let reply = world.send(Door::Envoy, call.clone()).await;
            assert_eq!(reply.status, status, "{call:?}");
            let counted = denials(&world, reason).await > before;
            assert!(counted, "{call:?} is not {reason}");
            // nginx refuses some of them itself.
            let by_nginx = world.send(Door::Nginx, call.clone()).await.status;
            assert!(
                by_nginx == 400 || by_nginx == status,
                "{by_nginx}: {call:?}"
            );
        }
    }
    let twice = header(format!("Bearer {token}, Bearer {token}"));
    for call in [twice, header(format!("Bearer {token}")).bearer(&token)] {
        let reply = world.send(Door::Envoy, call).await;
        assert_eq!(reply.status, 200, "the same token twice is one");
    }
    world.portcullis.assert_never_logged(&token);
}

/// A good token where none is sought.
fn elsewhere(token: &str) -> Vec<Call> {
    let orders = || Call::get("/orders");
    vec![
        header(token.to_owned()),
        header(format!("Basic {token}")),
        header(format!("Bearer{token}")),
        header("Bearer".to_owned()),
        header(String::new()),
        orders().header("cookie", format!("access_token={token}")),
        orders().header("proxy-authorization", format!("Bearer {token}")),
        orders().header("x-authorization", format!("Bearer {token}")),
        orders().header("authorization_", format!("Bearer {token}")),
        Call::get(&format!("/orders?access_token={token}")),
    ]
}

/// Not one token, or none that anybody could have been given.
fn doubtful(token: &str) -> Vec<Call> {
    let good = || header(format!("Bearer {token}"));
    vec![
        header(format!("Bearer x {token}")),
        good().bearer("x"),
        header("Bearer x".to_owned()).bearer(token),
        header("Basic eA==".to_owned()).bearer(token),
        Call::get("/orders").header("authorization", b"Bearer \xff\xfe".to_vec()),
    ]
}
