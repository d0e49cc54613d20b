//! Upstreams verify the signed assertion by the key set of Portcullis, through every real proxy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use super::Site;
use crate::support::{Call, Portcullis, Proxy, until};

const HEADER: &str = "x-portcullis-assertion";

pub(super) async fn key_set(at: SocketAddr) -> JwkSet {
    let reply = Call::get("/.well-known/jwks.json").send(at).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(!reply.text().contains("\"d\":"), "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

/// Verifies as an upstream does, and returns the claims.
#[expect(
    clippy::disallowed_methods,
    reason = "upstreams have no verifier of ours"
)]
pub(super) fn verified(assertion: &str, keys: &JwkSet, audience: &str) -> Option<Value> {
    let header = decode_header(assertion).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap())?;
    let mut rules = Validation::new(header.alg);
    rules.set_audience(&[audience]);
    rules.set_issuer(&["https://gate.example.com"]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    let key = DecodingKey::from_jwk(key).unwrap();
    Some(decode::<Value>(assertion, &key, &rules).ok()?.claims)
}

impl Site {
    /// The assertion that the upstream sees with a token.
    async fn assertion(&self, token: &str) -> String {
        let echo = self.send(Call::get("/orders").bearer(token)).await.echo();
        let values = echo.all(HEADER);
        assert_eq!(values.len(), 1, "{values:?}");
        values[0].to_owned()
    }
}

async fn upstreams_verify_the_assertion(proxy: Proxy) {
    let mut site = Site::configured(proxy, |config| {
        config["answer"]["assertion"]["claims"] = json!({ "roles": "realm_access.roles" });
    })
    .await;
    let roles = json!({ "roles": ["buyer", "seller"] });
    let token = site.idp.token("alice").claim("realm_access", roles);
    let token = token.claim("scope", "orders:read orders:write");
    let token = token.claim("client_id", "shop").sign();
    let keys = key_set(site.portcullis.forward_auth()).await;

    let first = site.assertion(&token).await;
    let claims = verified(&first, &keys, "internal").unwrap();
    let issuer = site.idp.issuer();
    for (name, value) in [
        ("sub", json!("alice")),
        ("token_iss", json!(issuer)),
        ("client_id", json!("shop")),
        ("scope", json!("orders:read orders:write")),
        ("roles", json!(["buyer", "seller"])),
    ] {
        assert_eq!(claims[name], value, "{proxy:?} {name}: {claims}");
    }
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(lifetime, 60, "{proxy:?}");
    assert_eq!(claims["jti"].as_str().unwrap().len(), 16, "{proxy:?}");
    assert_eq!(verified(&first, &keys, "elsewhere"), None);

    // From its second request on a token keeps its assertion. Another token never gets it.
    let second = site.assertion(&token).await;
    assert_eq!(site.assertion(&token).await, second, "{proxy:?}");
    let bob = site.assertion(&site.idp.token("bob").sign()).await;
    assert_eq!(verified(&bob, &keys, "internal").unwrap()["sub"], "bob");
    let exempt = site.send(Call::get("/healthz")).await.echo();
    assert!(exempt.all(HEADER).is_empty(), "{proxy:?}");

    site.portcullis.kill_9();
    site.portcullis.restart().await;
    site.portcullis.ready().await;
    for listener in ["forward_auth", "events", "admin"] {
        let again = key_set(site.portcullis.door(listener)).await;
        assert_eq!(again, keys, "{proxy:?} {listener}");
    }
    let after = site.assertion(&token).await;
    assert!(verified(&after, &keys, "internal").is_some(), "{proxy:?}");
}

#[tokio::test]
async fn upstreams_verify_the_assertion_through_envoy() {
    upstreams_verify_the_assertion(Proxy::Envoy).await;
}

#[tokio::test]
async fn upstreams_verify_the_assertion_through_envoy_over_http() {
    upstreams_verify_the_assertion(Proxy::EnvoyHttp).await;
}

#[tokio::test]
async fn upstreams_verify_the_assertion_through_nginx() {
    upstreams_verify_the_assertion(Proxy::Nginx).await;
}

#[tokio::test]
async fn upstreams_verify_the_assertion_through_caddy() {
    upstreams_verify_the_assertion(Proxy::Caddy).await;
}

#[tokio::test]
async fn upstreams_verify_the_assertion_through_traefik() {
    upstreams_verify_the_assertion(Proxy::Traefik).await;
}

#[tokio::test]
async fn upstreams_verify_the_assertion_through_haproxy() {
    upstreams_verify_the_assertion(Proxy::Haproxy).await;
}

#[tokio::test]
async fn upstreams_verify_the_assertion_through_apache() {
    upstreams_verify_the_assertion(Proxy::Apache).await;
}

fn make_key(path: &Path, algorithm: &[&str]) {
    let status = Command::new("openssl")
        .arg("genpkey")
        .args(algorithm)
        .args(["-out"])
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success());
}

/// As an operator replaces a key: both are published, then they change places.
#[tokio::test]
async fn a_key_of_a_file_is_replaced_while_requests_pass() {
    let mut home = None;
    let site = Site::configured(Proxy::Envoy, |config| {
        let files = tempfile::tempdir().unwrap();
        let [one, two] = ["one.pem", "two.pem"].map(|name| files.path().join(name));
        make_key(
            &one,
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        );
        make_key(&two, &["-algorithm", "ED25519"]);
        config["answer"]["assertion"]["key_files"] = json!([one, two]);
        home = Some(files);
    })
    .await;
    let home = home.unwrap();
    let keys = key_set(site.portcullis.forward_auth()).await;
    let kid = |assertion: &str| decode_header(assertion).unwrap().kid;
    let kids: Vec<_> = keys
        .keys
        .iter()
        .map(|key| key.common.key_id.clone())
        .collect();
    let before = site.assertion(&site.idp.token("alice").sign()).await;
    assert_eq!(kid(&before), kids[0]);

    let file = |name: &str| home.path().join(name);
    std::fs::rename(file("one.pem"), file("old.pem")).unwrap();
    std::fs::rename(file("two.pem"), file("one.pem")).unwrap();
    std::fs::rename(file("old.pem"), file("two.pem")).unwrap();
    until("the other key signs", async || {
        let assertion = site.assertion(&site.idp.token("bob").sign()).await;
        assert!(verified(&assertion, &keys, "internal").is_some());
        (kid(&assertion) == kids[1]).then_some(())
    })
    .await;
    let now = key_set(site.portcullis.forward_auth()).await;
    for assertion in [
        &before,
        &site.assertion(&site.idp.token("eve").sign()).await,
    ] {
        assert!(verified(assertion, &now, "internal").is_some());
    }
}

/// Claims that users choose can make it longer than a header may be.
#[tokio::test]
async fn an_assertion_that_fits_no_header_refuses_or_drops_it() {
    for (too_long, status) in [("refuse", 503), ("drop", 200)] {
        for proxy in [Proxy::Envoy, Proxy::Nginx] {
            let site = Site::configured(proxy, |config| {
                config["answer"]["too_long"] = json!(too_long);
                config["answer"]["assertion"]["claims"] = json!({ "groups": "groups" });
            })
            .await;
            let groups = json!(vec!["g".repeat(100); 70]);
            let token = site.idp.token("alice").claim("groups", groups).sign();
            for _ in 0..3 {
                let call = Call::get("/orders").bearer(&token);
                let reply = site.send(call.clone()).await;
                assert_eq!(reply.status, status, "{proxy:?} {too_long}");
                let spoofed = site.send(call.header(HEADER, "root")).await;
                assert!(!spoofed.text().contains("root"), "{proxy:?} {too_long}");
                if status == 200 {
                    assert!(reply.echo().all(HEADER).is_empty(), "{proxy:?}");
                }
            }
        }
    }
}

/// The key set alone is for everybody.
#[tokio::test]
async fn without_an_assertion_there_is_no_key_set() {
    let home = tempfile::tempdir().unwrap();
    let unreachable = "http://127.0.0.1:9/jwks";
    let config = Portcullis::config(home.path(), "https://id.example.com", unreachable);
    let portcullis = Portcullis::start(home.path(), config).await;
    for listener in ["forward_auth", "events", "admin"] {
        for path in [
            "/.well-known/jwks.json",
            "/.well-known/openid-configuration",
            "/.well-known/",
        ] {
            let reply = Call::get(path).send(portcullis.door(listener)).await;
            assert_eq!(reply.status, 404, "{listener} {path}");
        }
    }
}
