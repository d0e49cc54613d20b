//! Requests that ask for nothing good. None of them revokes anything.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{WRITE, get, post, world};
use crate::support::{Call, Kind, Mint, SigningKey, World};

async fn refused(world: &World, target: &str, body: impl Into<Vec<u8>>, status: u16, detail: &str) {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let call = Call::post(target, body).bearer(WRITE);
    let reply = call.send(world.portcullis.admin()).await;
    assert_eq!(reply.status, status, "{shown}: {}", reply.text());
    let problem = reply.body_json();
    let said = problem["detail"].as_str().unwrap_or_default();
    assert!(said.contains(detail), "{shown}: {said:?} lacks {detail:?}");
    assert!(!said.contains("alice"), "it quotes a value: {said}");
}

/// Signs with a key that only has the name of the issuer's.
fn forged(token: Mint) -> String {
    let stranger = SigningKey::new(Kind::Es256, "key-1");
    token.forged_with(Arc::new(stranger)).sign()
}

/// A good order with a change.
fn order(world: &World, change: fn(&mut Value)) -> String {
    let issuer = world.idp.issuer();
    let mut body = json!({ "issuer": issuer, "matches": { "sub": "alice" }, "reason": "x" });
    change(&mut body);
    body.to_string()
}

async fn assert_nothing_is_revoked(world: &World) {
    let listed = get(world, "/v1/revocations").await.body_json();
    assert_eq!(listed["revocations"], json!([]));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_named_and_revokes_nothing() {
    let world = world().await;
    let issuer = world.idp.issuer();
    let with = |change| order(&world, change);
    let twice = r#"{"issuer":"x","matches":{"sub":"alice","sub":"alice2"},"reason":"x"}"#;
    let again = r#"{"issuer":"x","issuer":"x","matches":{},"reason":"x"}"#;
    let claims = "matches: expected an object of claims";
    for (body, status, detail) in [
        (String::new(), 400, "JSON object"),
        ("[]".to_owned(), 400, "JSON object"),
        ("\"alice\"".to_owned(), 400, "JSON object"),
        ("{".to_owned(), 400, "not valid JSON"),
        ("{}".to_owned(), 400, "reason"),
        (format!("{}x", with(|_| ())), 400, "not valid JSON"),
        ("{\"a\":".repeat(20_000), 413, "65536"),
        ("{\"reason\":".repeat(5000), 400, "expected a string"),
        (" ".repeat((64 << 10) + 1), 413, "65536"),
        (twice.to_owned(), 400, "matches: a claim stands twice"),
        (again.to_owned(), 400, "duplicate field `issuer`"),
        (
            with(|b| b["matchs"] = json!("alice")),
            400,
            "unknown field `matchs`",
        ),
        (with(|b| b["matches"] = json!(["alice"])), 400, claims),
        (
            with(|b| b["matches"]["sub"] = json!(["alice"])),
            400,
            "matches.sub: expected a string",
        ),
        (
            with(|b| b["confirm"] = json!("alice")),
            400,
            "confirm: expected true, false or a number of tokens",
        ),
        (
            with(|b| b["reason"] = Value::Null),
            400,
            "reason: expected a string",
        ),
        (
            with(|b| b["issued_at_or_before"] = json!(1)),
            400,
            "expected a string",
        ),
        (with(|b| b["token"] = json!("alice")), 400, "token alone"),
        (
            json!({ "issuer": issuer, "reason": "x" }).to_string(),
            400,
            "token alone",
        ),
    ] {
        refused(&world, "/v1/revocations", body, status, detail).await;
    }
    assert_nothing_is_revoked(&world).await;
}

#[tokio::test]
async fn an_invalid_request_to_revoke_is_named_and_revokes_nothing() {
    let world = world().await;
    let with = |change| order(&world, change);
    let garbage = json!({ "token": "alice", "reason": "x" }).to_string();
    for (body, detail) in [
        (with(|b| b["matches"]["sub"] = json!("")), "1 to 4096 bytes"),
        (
            with(|b| b["matches"] = json!({ "": "alice" })),
            "names no claim",
        ),
        (
            with(|b| b["matches"] = json!({ "a..b": "alice" })),
            "has an empty part",
        ),
        (with(|b| b["matches"] = json!({})), "\"confirm\": true"),
        (
            with(|b| b["issuer"] = json!("https://other.example.com")),
            "is not configured",
        ),
        (with(|b| b["issuer"] = json!("")), "is not configured"),
        (with(|b| b["reason"] = json!(" ")), "reason must have"),
        (
            with(|b| b["reason"] = json!("a\nb")),
            "no control characters",
        ),
        (
            with(|b| b["reason"] = json!("x".repeat(201))),
            "reason must have",
        ),
        (
            with(|b| b["issued_at_or_before"] = json!("yesterday")),
            "RFC 3339",
        ),
        (garbage, "malformed_token"),
    ] {
        refused(&world, "/v1/revocations", body, 422, detail).await;
    }
    assert_nothing_is_revoked(&world).await;
}

#[tokio::test]
async fn a_token_that_is_no_good_is_not_revoked_and_says_why() {
    let world = world().await;
    let token = world.idp.token("alice");
    let cases = [
        (token.clone().shifted(-7200).sign(), "expired"),
        (
            token
                .clone()
                .claim("iss", "https://other.example.com")
                .sign(),
            "unknown_issuer",
        ),
        (token.clone().claim("aud", "bank").sign(), "wrong_audience"),
        (forged(token), "bad_signature"),
    ];
    for (token, reason) in cases {
        let body = json!({ "token": token, "reason": "stolen" }).to_string();
        refused(&world, "/v1/revocations", body, 422, reason).await;
    }
}

#[tokio::test]
async fn a_query_with_a_misspelled_parameter_is_refused() {
    let world = world().await;
    for (query, detail) in [
        ("isuer=x", "isuer"),
        ("limit=0", "from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("limit=-1", "from 1 to 1000"),
        ("source=a&source=b", "twice"),
    ] {
        let reply = get(&world, &format!("/v1/revocations?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains(detail), "{query}: {}", reply.text());
    }
    for key in ["", "a b", "ä", &"x".repeat(129)] {
        let body =
            json!({ "issuer": world.idp.issuer(), "matches": { "sub": "a" }, "reason": "x" });
        let call = Call::json("/v1/revocations", &body).bearer(WRITE);
        let call = call.header("idempotency-key", key);
        let reply = call.send(world.portcullis.admin()).await;
        assert_eq!(reply.status, 400, "{key}: {}", reply.text());
    }
}

#[tokio::test]
async fn explain_tells_reasons_apart() {
    let world = world().await;
    let explain = async |body: &Value| post(&world, "/v1/explain", body).await.body_json();
    let token = world.idp.token("alice");
    let good = explain(&json!({ "token": format!("{}\n", token.clone().sign()) })).await;
    assert_eq!(good["decision"], "permit", "{good}");
    assert_eq!(
        (&good["status"], &good["revocations"]),
        (&json!(200), &json!([]))
    );
    let expired = explain(&json!({ "token": token.clone().shifted(-7200).sign() })).await;
    assert_eq!(
        (&expired["reason"], &expired["claims"]["sub"]),
        (&json!("expired"), &json!("alice"))
    );
    let forged = explain(&json!({ "token": forged(token.clone()) })).await;
    assert_eq!(
        (&forged["reason"], &forged["claims"]),
        (&json!("bad_signature"), &Value::Null)
    );
    let audience = explain(&json!({ "token": token.clone().claim("aud", "bank").sign() })).await;
    assert_eq!(audience["reason"], "wrong_audience");
    assert!(
        audience["found"].as_str().unwrap().contains("bank"),
        "{audience}"
    );

    let request = |target: &str, headers: Value| json!({ "request": { "method": "GET", "target": target, "headers": headers } });
    let exempt = explain(&request("/healthz", json!([]))).await;
    assert_eq!(exempt["decision"], "bypass");
    let missing = explain(&request("/orders", json!([]))).await;
    assert_eq!(
        (&missing["reason"], &missing["status"]),
        (&json!("missing_token"), &json!(401))
    );
    let bearer = format!("Bearer {}", token.sign());
    let permitted = explain(&request("/orders", json!([["Authorization", bearer]]))).await;
    assert_eq!(
        (&permitted["decision"], &permitted["claims"]["sub"]),
        (&json!("permit"), &json!("alice"))
    );
    for wrong in [
        json!({}),
        json!({ "token": "x", "request": { "method": "", "target": "" } }),
    ] {
        let reply = post(&world, "/v1/explain", &wrong).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
    }
}
