//! Every reason for a refusal, on both doors: what the client sees, and what the operator sees.
//!
//! Those of policies are in `policy` and `proxies::policies`. `stale` needs a log that falls silent, which the embedded one cannot: see `replicas::outage`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{denials, logged, nothing_broke};
use crate::support::{Behaviour, Call, Door, Kind, Mint, Reply, SigningKey, World, until};

/// An issuer whose keys cannot be had.
const GONE: &str = "https://gone.example.com";
/// An issuer that lets one client in only. It uses the provider's keys.
const PARTNER: &str = "https://partner.example.com";

const BARE: Option<&str> = Some("Bearer realm=\"portcullis\"");
const SCOPE: Option<&str> = Some("Bearer realm=\"portcullis\", error=\"insufficient_scope\"");
const INVALID: Option<&str> = Some("Bearer realm=\"portcullis\", error=\"invalid_token\"");

/// A refusal: the reason, the token if there is one, the client's status and challenge.
type Case = (&'static str, Option<String>, u16, Option<&'static str>);

async fn start() -> World {
    let builder = World::builder().config(|config| {
        let issuers = config["issuers"].as_array_mut().unwrap();
        let uri = issuers[0]["jwks"]["uri"].clone();
        issuers.push(json!({
            "issuer": PARTNER,
            "jwks": { "uri": uri },
            "audiences": ["shop-api"],
            "allowed_clients": ["web"],
        }));
        issuers.push(json!({
            "issuer": GONE,
            // Nobody listens on this port.
            "jwks": { "uri": "http://127.0.0.1:1/keys" },
            "audiences": ["shop-api"],
        }));
        config["answer"] = json!({ "headers": {
            "x-portcullis-subject": "sub",
            "x-portcullis-client": "groups",
        } });
        config["keys"] = json!({ "startup_timeout": "1s" });
    });
    builder.start().await
}

fn invalid(reason: &'static str, token: String) -> Case {
    (reason, Some(token), 401, INVALID)
}

async fn cases(world: &World) -> Vec<Case> {
    let mint = || world.idp.token("eve");
    let now = mint().value("iat").as_u64().unwrap();
    let revoked = world.idp.token("mallory").sign();
    world.deactivate("mallory").await;
    let twice = |mint: &Mint| {
        let payload = mint.payload_text().replacen('{', "{\"sub\":\"root\",", 1);
        mint.sign_texts(&mint.header_text(), &payload)
    };
    let bound = json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    let another = Arc::new(SigningKey::new(Kind::Es256, "another"));
    let elsewhere = mint().claim("iss", "https://elsewhere.example.com").sign();
    vec![
        ("missing_token", None, 401, BARE),
        invalid("malformed_token", twice(&mint())),
        invalid("unknown_issuer", elsewhere),
        invalid("unknown_key", mint().header("kid", "nobody").sign()),
        invalid("unsupported_algorithm", mint().header("alg", "none").sign()),
        invalid("bad_signature", mint().forged_with(another).sign()),
        invalid("expired", mint().shifted(-3600).sign()),
        invalid("not_yet_valid", mint().claim("nbf", now + 280).sign()),
        invalid("wrong_audience", mint().claim("aud", "bank-api").sign()),
        invalid("wrong_type", mint().header("typ", "logout+jwt").sign()),
        invalid("lifetime_exceeded", mint().claim("exp", now + 7200).sign()),
        invalid("missing_claim", mint().without("exp").sign()),
        invalid("bound_token", mint().claim("cnf", bound).sign()),
        invalid("revoked", revoked),
        ("forbidden", Some(partner(mint())), 403, SCOPE),
        (
            "clock_disagreement",
            Some(mint().shifted(3600).sign()),
            503,
            None,
        ),
        (
            "identity_too_long",
            Some(mint().claim("groups", vec!["a-group"; 1200]).sign()),
            503,
            None,
        ),
        (
            "not_ready",
            Some(mint().claim("iss", GONE).sign()),
            503,
            None,
        ),
    ]
}

fn partner(mint: Mint) -> String {
    mint.claim("iss", PARTNER).claim("client_id", "tv").sign()
}

#[tokio::test]
async fn every_reason_is_the_operators_and_none_is_the_clients() {
    let world = start().await;
    let cases = cases(&world).await;
    for door in Door::ALL {
        let mut seen = Vec::new();
        for (reason, token, status, challenge) in &cases {
            let before = denials(&world, reason).await;
            let path = format!("/{door:?}/{}", seen.len());
            let reply = send(&world, door, &path, token.as_deref()).await;
            let challenges: Vec<_> = reply.all("www-authenticate").collect();
            assert_eq!(reply.status, *status, "{door:?} {reason}");
            assert_eq!(challenges, Vec::from_iter(*challenge), "{door:?} {reason}");
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{reason}");
            let retry = (*status == 503).then_some("1");
            assert_eq!(reply.header("retry-after"), retry, "{door:?} {reason}");
            let counted = denials(&world, reason).await - before;
            assert!((counted - 1.0).abs() < 0.5, "{door:?} {reason}: {counted}");
            if door == Door::Envoy {
                check_what_envoy_logs(&world, &path, reason, &reply).await;
            }
            seen.push((reason, *status, *challenge, visible(&reply)));
        }
        nothing_tells_apart(&seen);
    }
    for token in cases.iter().filter_map(|(_, token, ..)| token.as_deref()) {
        world.portcullis.assert_never_logged(token);
    }
    nothing_broke(&world).await;
}

async fn send(world: &World, door: Door, path: &str, token: Option<&str>) -> Reply {
    let call = Call::get(path);
    let call = token.into_iter().fold(call, Call::bearer);
    world.send(door, call).await
}

/// What is wrong with the request itself: 400 or 413, with good tokens and without any.
#[tokio::test]
async fn what_is_wrong_with_a_request_is_not_blamed_on_its_token() {
    let limit = |config: &mut Value| config["doors"] = json!({ "max_message": "16KiB" });
    let world = World::builder().config(limit).start().await;
    let good = world.idp.token("alice").sign();
    let elsewhere = "https://shop.example.com/healthz";
    let large = "x".repeat(20_000);
    for (door, reason, name, value, status) in [
        (Door::Nginx, "spoofed_identity", IDENTITY, "root", 400),
        (Door::Nginx, "unreadable_request", URL, "/healthz", 400),
        (Door::Nginx, "unreadable_request", URL, elsewhere, 400),
        (Door::Envoy, "too_large", "x-rewrite-url", &large, 413),
    ] {
        for token in [Some(&*good), None] {
            let before = denials(&world, reason).await;
            let call = Call::get("/orders").header(name, value);
            let call = token.into_iter().fold(call, Call::bearer);
            let reply = world.send(door, call).await;
            assert_eq!(reply.status, status, "{reason}: {}", reply.text());
            assert_eq!(reply.body_json()["status"], status, "{reason}");
            assert_eq!(reply.header("www-authenticate"), None, "{reason}");
            assert_eq!(reply.header("retry-after"), None, "{reason}");
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{reason}");
            let counted = denials(&world, reason).await - before;
            assert!((counted - 1.0).abs() < 0.5, "{reason}: {counted}");
        }
    }
}

/// Read leniently, the target would be on an exempt route.
#[tokio::test]
async fn a_target_that_is_not_utf8_is_unreadable_at_every_path_of_the_http_door() {
    const TARGET: &[u8] = b"/public/\xff";
    let world = World::start().await;
    let good = world.idp.token("alice").sign();
    let door = world.portcullis.forward_auth();
    let question = |path: &str, method: &str, uri: &str| {
        let call = Call::get(path).header(method, "GET");
        (door, call.header(uri, TARGET))
    };
    for (to, call) in [
        question("/authz/auth-request", "x-original-method", "x-original-uri"),
        question(
            "/authz/forward-auth",
            "x-forwarded-method",
            "x-forwarded-uri",
        ),
        // nginx passes it on.
        (world.edge(Door::Nginx), Call::get(TARGET)),
    ] {
        for call in [call.clone(), call.bearer(&good)] {
            let before = denials(&world, "unreadable_request").await;
            let reply = call.send(to).await;
            assert_eq!(reply.status, 400, "{call:?}: {}", reply.text());
            assert_eq!(reply.header("www-authenticate"), None, "{call:?}");
            let counted = denials(&world, "unreadable_request").await - before;
            assert!((counted - 1.0).abs() < 0.5, "{call:?}: {counted}");
        }
    }
    // hyper answers this one: it is no request of HTTP.
    let call = Call::get(b"/authz/ext-authz/public/\xff").bearer(&good);
    assert_eq!(call.send(door).await.status, 400);
}

/// A token that is too long, or two that differ: nobody says that one of them is bad.
#[tokio::test]
async fn too_long_a_token_and_several_tokens_are_the_requests_fault() {
    let limit = |config: &mut Value| {
        let sources = json!([{ "header": "authorization", "scheme": "Bearer" }, { "query": "t" }]);
        config["token"] = json!({ "max_size": "1KiB", "sources": sources });
    };
    let world = World::builder().config(limit).start().await;
    let good = world.idp.token("alice").sign();
    let path = format!("/orders?t={}", world.idp.token("bob").sign());
    let several = Call::get(&path).bearer(&good);
    let long = Call::get("/orders").bearer(&"a".repeat(2000));
    let invalid = Some("Bearer realm=\"portcullis\", error=\"invalid_request\"");
    for (reason, call, status, challenge) in [
        ("several_tokens", several, 400, invalid),
        ("token_too_large", long, 431, None),
    ] {
        for door in Door::ALL {
            let before = denials(&world, reason).await;
            let reply = world.send(door, call.clone()).await;
            assert_eq!(reply.status, status, "{door:?} {reason}");
            assert_eq!(reply.header("retry-after"), None, "{door:?} {reason}");
            assert_eq!(
                reply.header("www-authenticate"),
                challenge,
                "{door:?} {reason}"
            );
            let counted = denials(&world, reason).await - before;
            assert!((counted - 1.0).abs() < 0.5, "{door:?} {reason}: {counted}");
        }
    }
    world.portcullis.assert_never_logged(&good);
}

/// A token that a newer key may have signed, while the provider does not say: 503, and 503 of another
/// kind once too many wait for its answer.
#[tokio::test]
async fn an_unreachable_key_set_is_not_the_tokens_fault() {
    let patient = |config: &mut Value| {
        config["keys"] = json!({ "timeout": "60s" });
        config["doors"] = json!({ "check_timeout": "60s" });
    };
    let world = World::builder().config(patient).start().await;
    let unknown = world.idp.token("alice").header("kid", "key-9").sign();
    world.idp.behave(Behaviour::Status(500));
    for door in Door::ALL {
        let before = denials(&world, "keys_unavailable").await;
        let path = format!("/unavailable/{door:?}");
        let reply = send(&world, door, &path, Some(&unknown)).await;
        check_unknown(&world, door, &path, "keys_unavailable", &reply).await;
        let counted = denials(&world, "keys_unavailable").await - before;
        assert!((counted - 1.0).abs() < 0.5, "{door:?}: {counted}");
    }
    world.idp.behave(Behaviour::Slow(Duration::from_mins(2)));
    let door = world.portcullis.forward_auth();
    let asked = (0..300).map(|_| {
        let call = Call::get("/authz/auth-request").header("x-original-uri", "/orders");
        let call = call.header("x-original-method", "GET").bearer(&unknown);
        tokio::spawn(async move { call.try_send(door).await })
    });
    let asked: Vec<_> = asked.collect();
    until("256 wait and no more", async || {
        (denials(&world, "overloaded").await > 43.5).then_some(())
    })
    .await;
    for door in Door::ALL {
        let path = format!("/overloaded/{door:?}");
        let reply = send(&world, door, &path, Some(&unknown)).await;
        check_unknown(&world, door, &path, "overloaded", &reply).await;
    }
    let good = world.idp.token("alice").sign();
    for door in Door::ALL {
        assert_eq!(world.orders(door, &good).await.status, 200, "{door:?}");
    }
    for one in asked {
        one.abort();
    }
}

async fn check_unknown(world: &World, door: Door, path: &str, reason: &str, reply: &Reply) {
    assert_eq!(reply.status, 503, "{door:?} {reason}");
    assert_eq!(reply.header("retry-after"), Some("1"), "{door:?} {reason}");
    assert_eq!(reply.header("www-authenticate"), None, "{door:?} {reason}");
    if door == Door::Envoy {
        check_what_envoy_logs(world, path, reason, reply).await;
    }
}

const IDENTITY: &str = "x-portcullis-subject";
const URL: &str = "x-original-url";

/// The body's decision id leads to the reason in Envoy's log and in Portcullis' own.
async fn check_what_envoy_logs(world: &World, path: &str, reason: &str, reply: &Reply) {
    let line = logged(world, path).await;
    assert_eq!(line["reason"], reason, "{line}");
    assert_eq!(line["status"], reply.status, "{line}");
    assert_eq!(line["subject"], Value::Null, "unverified: {line}");
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    let body = reply.body_json();
    assert_eq!(body["status"], reply.status);
    assert_eq!(body["decision_id"], line["decision"]);
    let id = body["decision_id"].as_str().unwrap();
    assert_eq!(body["instance"], format!("urn:portcullis:decision:{id}"));
    let own = world.portcullis.logs(id).await;
    assert!(own.contains(&format!("\"reason\":\"{reason}\"")), "{own}");
}

/// The whole answer but for its date and the decision's id.
fn visible(reply: &Reply) -> String {
    let id = serde_json::from_slice::<Value>(&reply.body)
        .ok()
        .and_then(|body| Some(body["decision_id"].as_str()?.to_owned()));
    let headers = reply.headers.iter().filter(|(name, _)| name != "date");
    let text = format!("{:?} {}", headers.collect::<Vec<_>>(), reply.text());
    match id {
        Some(id) => text.replace(&id, "ID"),
        None => text,
    }
}

/// Answers of the same status and challenge are the same to the last byte.
fn nothing_tells_apart(seen: &[(&&str, u16, Option<&str>, String)]) {
    for (reason, status, challenge, text) in seen {
        assert!(!text.contains(**reason), "{reason} stands in {text}");
        for (other, other_status, other_challenge, other_text) in seen {
            let alike = (status, challenge) == (other_status, other_challenge);
            assert!(!alike || text == other_text, "{reason} and {other} differ");
        }
    }
}
