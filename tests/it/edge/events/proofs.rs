//! Who may send events: strangers, forgers, and FusionAuth's signature.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{PATH, json_body, locks, on_both_doors, post, results, trusted};
use crate::support::{Call, Idp, Mint, World};

#[tokio::test]
async fn strangers_are_refused_and_change_nothing() {
    let world = World::start().await;
    let alice = world.idp.token("alice").sign();
    let body = locks("alice");
    let event = || Call::json(PATH, &body);
    let strangers = [
        event(),
        event().basic("hooks", "wrong"),
        event().basic("hooks", ""),
        event().basic("", ""),
        event().basic("Hooks", "correct-horse-battery-staple"),
        event().basic("hooks", "correct-horse-battery-staple\n"),
        event().basic("hooks", "correct-horse-battery-stapl"),
        event().header("authorization", "Basic"),
        event().header("authorization", "Basic ****"),
        event().bearer("correct-horse-battery-staple"),
        trusted(event()).basic("hooks", "wrong"),
        event()
            .basic("hooks", "wrong")
            .header("x-forwarded-for", "127.0.0.1"),
    ];
    for call in strangers {
        let (status, text) = post(&world, call.clone()).await;
        assert_eq!(status, 401, "{call:?}: {text}");
    }
    assert!(results(&world, "unauthenticated").await >= 12.0);
    on_both_doors(&world, &alice, 200, "nobody locked alice").await;
    // The provider's own token is no password, and neither door takes events.
    let (status, _) = post(&world, event().bearer(&alice)).await;
    assert_eq!(status, 401);
    let reply = trusted(event()).send(world.portcullis.forward_auth()).await;
    assert_eq!(reply.status, 404);
    world
        .portcullis
        .assert_never_logged("correct-horse-battery-staple");
}

/// What FusionAuth puts beside a body.
fn signature(mint: &Mint, body: &[u8]) -> String {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, body));
    let payload = json!({ "request_body_sha256": hash }).to_string();
    mint.sign_texts(&mint.header_text(), &payload)
}

#[tokio::test]
async fn signed_events_need_both_proofs() {
    let world = World::builder()
        .config(|config| {
            config["events"][0]["auth"]["signature"] = json!({ "algorithms": ["ES256"] });
        })
        .start()
        .await;
    let alice = world.idp.token("alice").sign();
    let body = locks("alice").to_string();
    let mint = world.idp.token("alice");
    let good = signature(&mint, body.as_bytes());
    let signed = |signature: &str| {
        let call = Call::post(PATH, body.as_str()).header("content-type", "application/json");
        call.header("x-fusionauth-signature-jwt", signature)
    };
    let foreign = Idp::start();
    let forged = |mint: Mint| trusted(signed(&signature(&mint, body.as_bytes())));
    let with = |name: &str, value: serde_json::Value| forged(mint.clone().header(name, value));
    for (what, call) in [
        ("no password", signed(&good)),
        ("no signature", json_body(body.as_str())),
        ("another body's", trusted(signed(&signature(&mint, b"{}")))),
        ("a token", trusted(signed(&alice))),
        ("another key", forged(foreign.token("x"))),
        ("alg none", with("alg", json!("none"))),
        ("alg not listed", with("alg", json!("RS256"))),
        ("another kid", with("kid", json!("key-9"))),
        ("another type", with("typ", json!("at+jwt"))),
        ("crit", with("crit", json!([]))),
        (
            "twice",
            trusted(signed(&good)).header("x-fusionauth-signature-jwt", good.as_str()),
        ),
    ] {
        let (status, text) = post(&world, call).await;
        assert_eq!(status, 401, "{what}: {text}");
        on_both_doors(&world, &alice, 200, what).await;
    }
    // A signature is no token either.
    on_both_doors(&world, &good, 401, "a signature as a token").await;
    let (status, text) = post(&world, trusted(signed(&good))).await;
    assert_eq!(status, 200, "{text}");
    on_both_doors(&world, &alice, 401, "proven").await;
}
