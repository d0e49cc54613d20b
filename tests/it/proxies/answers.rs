//! What a policy tells the upstream and the client, through every real proxy: headers with fixed values, the
//! audience of the assertion, and the protected resource (RFC 9728).

use serde_json::{Value, json};

use super::Site;
use super::assertions::{key_set, verified};
use crate::support::{Call, Proxy};

const RESOURCE: &str = "https://shop.example.com/mcp";
const DOCUMENT: &str = "/.well-known/oauth-protected-resource/mcp";

fn answering(config: &mut Value) {
    config["answer"]["headers"] = json!({
        "x-portcullis-subject": "sub",
        "x-realm": { "claim": "realm_access", "as": "json" },
        "x-scopes": { "claim": "groups", "join": "space" },
        "x-payload": { "as": "json" },
    });
    config["policies"] = json!([
        { "name": "gold", "prefix": "/gold", "answer": {
            "audience": "gold", "headers": { "X-Tier": "gold, first" },
        } },
        { "name": "open", "prefix": "/open", "token": "none", "answer": {
            "headers": { "x-tier": "none", "x-open": "yes" },
        } },
        { "name": "mcp", "prefix": "/mcp", "scopes": ["mcp:use"], "answer": {
            "resource": { "url": RESOURCE, "name": "It's the \"shop\"" },
        } },
    ]);
}

async fn a_policy_says_what_is_told(proxy: Proxy) {
    let site = Site::configured(proxy, answering).await;
    let token = site.idp.token("alice").claim("groups", json!(["a b", "c"]));
    let token = token.claim("realm_access", json!({ "roles": ["x", 7] }));
    let token = token.sign();
    let payload = token.split('.').nth(1).unwrap();
    // The second time the answer is kept.
    for _ in 0..3 {
        for (call, tier, open) in [
            (
                Call::get("/gold/1").bearer(&token),
                &["gold, first"][..],
                &[][..],
            ),
            (Call::get("/orders").bearer(&token), &[], &[]),
            (Call::get("/open/1"), &["none"], &["yes"]),
            (Call::get("/healthz"), &[], &[]),
        ] {
            let reply = site.send(call.clone()).await;
            assert_eq!(reply.status, 200, "{proxy:?} {call:?}");
            let echo = reply.echo();
            assert_eq!(echo.all("x-tier"), tier, "{proxy:?} {call:?}");
            assert_eq!(echo.all("x-open"), open, "{proxy:?} {call:?}");
            for name in [
                "x-tier",
                "X_Tier",
                "x.tier",
                "X-OPEN",
                "x-realm",
                "x-payload",
            ] {
                let reply = site.send(call.clone().header(name, "root")).await;
                assert!(matches!(reply.status, 200 | 400), "{proxy:?} {name}");
                assert!(!reply.text().contains("root"), "{proxy:?} {name}");
            }
        }
        let echo = site.send(Call::get("/orders").bearer(&token)).await.echo();
        assert_eq!(
            echo.all("x-realm"),
            ["eyJyb2xlcyI6WyJ4Iiw3XX0"],
            "{proxy:?}"
        );
        assert_eq!(echo.all("x-scopes"), ["a%20b c"], "{proxy:?}");
        assert_eq!(echo.all("x-payload"), [payload], "{proxy:?}");
    }
    let keys = key_set(site.portcullis.forward_auth()).await;
    for (target, audience, other) in [
        ("/gold/1", "gold", "internal"),
        ("/orders", "internal", "gold"),
        ("/gold/1", "gold", "internal"),
    ] {
        let echo = site.send(Call::get(target).bearer(&token)).await.echo();
        let assertion = echo.all("x-portcullis-assertion")[0];
        assert!(verified(assertion, &keys, audience).is_some(), "{proxy:?}");
        assert_eq!(verified(assertion, &keys, other), None, "{proxy:?}");
    }
    // Whose audience would it be?
    let between = Call::get("/orders/..%2fgold").bearer(&token);
    assert_eq!(site.send(between).await.status, 400, "{proxy:?}");
    clients_find_the_document(proxy, &site, &token).await;
}

async fn clients_find_the_document(proxy: Proxy, site: &Site, token: &str) {
    let challenge = format!("resource_metadata=\"https://shop.example.com{DOCUMENT}\"");
    for (call, status) in [
        (Call::get("/mcp"), 401),
        (Call::get("/mcp").bearer("a.b.c"), 401),
        (Call::get("/mcp").bearer(token), 403),
    ] {
        let reply = site.send(call).await;
        assert_eq!(reply.status, status, "{proxy:?}");
        let found = reply.header("www-authenticate").unwrap();
        assert!(found.contains(&challenge), "{proxy:?}: {found}");
    }
    let other = site.send(Call::get("/orders")).await;
    let other = other.header("www-authenticate").unwrap().to_owned();
    assert!(!other.contains("resource_metadata"), "{proxy:?}: {other}");

    let reply = site.send(Call::get(DOCUMENT)).await;
    assert_eq!(reply.status, 200, "{proxy:?}: {}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        reply.body_json(),
        json!({
            "resource": RESOURCE,
            "resource_name": "It's the \"shop\"",
            "authorization_servers": [site.idp.issuer()],
            "scopes_supported": ["mcp:use"],
            "bearer_methods_supported": ["header"],
        }),
        "{proxy:?}"
    );
    let elsewhere = Call::get(DOCUMENT).header("host", "other.example.com");
    for call in [
        elsewhere,
        Call::get(&format!("{DOCUMENT}/../../../orders")),
        Call::get(&format!("{DOCUMENT}/%2e%2e/%2e%2e/%2e%2e/orders")),
        Call::get("/.well-known/oauth-protected-resource/../../orders"),
    ] {
        let reply = site.send(call.clone()).await;
        assert!(matches!(reply.status, 400..=404), "{proxy:?} {call:?}");
        assert!(!reply.text().contains("\"target\""), "{proxy:?} {call:?}");
    }
}

#[tokio::test]
async fn a_policy_says_what_is_told_through_envoy() {
    a_policy_says_what_is_told(Proxy::Envoy).await;
}

#[tokio::test]
async fn a_policy_says_what_is_told_through_envoy_over_http() {
    a_policy_says_what_is_told(Proxy::EnvoyHttp).await;
}

#[tokio::test]
async fn a_policy_says_what_is_told_through_nginx() {
    a_policy_says_what_is_told(Proxy::Nginx).await;
}

#[tokio::test]
async fn a_policy_says_what_is_told_through_caddy() {
    a_policy_says_what_is_told(Proxy::Caddy).await;
}

#[tokio::test]
async fn a_policy_says_what_is_told_through_traefik() {
    a_policy_says_what_is_told(Proxy::Traefik).await;
}

#[tokio::test]
async fn a_policy_says_what_is_told_through_haproxy() {
    a_policy_says_what_is_told(Proxy::Haproxy).await;
}

#[tokio::test]
async fn a_policy_says_what_is_told_through_apache() {
    a_policy_says_what_is_told(Proxy::Apache).await;
}
