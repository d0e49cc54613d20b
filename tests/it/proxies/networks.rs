//! Networks are revoked by the address that each real proxy tells, whatever the client writes.

use serde_json::{Value, json};

use super::Site;
use crate::support::{Call, Proxy};

const SECRET: &str = "an operator's secret, long enough";

fn configured(config: &mut Value) {
    config["admin"] =
        json!({ "credentials": [{ "name": "ops", "role": "write", "secret": SECRET }] });
    config["client_ip"] = json!({});
}

impl Site {
    /// Revokes a network, and returns the id to lift it by.
    async fn revoke_network(&self, network: &str) -> String {
        self.revoke_as(network, false).await
    }

    async fn revoke_as(&self, network: &str, shadow: bool) -> String {
        let body = json!({
            "issuer": self.idp.issuer(), "matches": { "client#ip": network },
            "issued_at_or_before": null, "reason": "test", "shadow": shadow, "confirm": true,
        });
        let call = Call::json("/v1/revocations", &body).bearer(SECRET);
        let reply = call.send(self.portcullis.admin()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.body_json()["id"].as_str().unwrap().to_owned()
    }

    async fn lift(&self, id: &str) {
        let call = Call::new("DELETE", &format!("/v1/revocations/{id}")).bearer(SECRET);
        let reply = call.send(self.portcullis.admin()).await;
        assert_eq!(reply.status / 100, 2, "{}", reply.text());
    }
}

/// The address of the test as the proxy has it. Envoy takes its machine's for one of loopback.
async fn own_address(proxy: Proxy, site: &Site, token: &str) -> String {
    if proxy != Proxy::Envoy {
        return "127.0.0.0/8".to_owned();
    }
    let echo = site.send(Call::get("/orders").bearer(token)).await.echo();
    let told = echo.all("x-forwarded-for");
    let (_, last) = told[0].rsplit_once(',').unwrap_or(("", told[0]));
    last.trim().to_owned()
}

async fn a_revoked_network_is_the_proxys_word(proxy: Proxy) {
    let mut site = Site::configured(proxy, configured).await;
    let token = site.idp.token("alice").sign();
    let spoofed = |address: &str| {
        let call = Call::get("/orders").bearer(&token);
        let call = call.header("x-forwarded-for", address);
        call.header("x-real-ip", address)
    };
    assert_eq!(site.orders(&token).await, 200, "{proxy:?}");
    let elsewhere = site.revoke_network("203.0.113.0/24").await;
    for address in ["203.0.113.9", "192.0.2.1, 203.0.113.9", "nonsense"] {
        let status = site.send(spoofed(address)).await.status;
        assert_eq!(status, 200, "{proxy:?} {address}");
    }
    let here = site
        .revoke_network(&own_address(proxy, &site, &token).await)
        .await;
    assert_eq!(site.orders(&token).await, 401, "{proxy:?}");
    for address in [
        "203.0.113.9",
        "192.0.2.1",
        "192.0.2.1, 192.0.2.2",
        "",
        "nonsense",
    ] {
        let status = site.send(spoofed(address)).await.status;
        assert_eq!(status, 401, "{proxy:?} {address:?}");
    }
    assert_eq!(
        site.send(Call::get("/healthz")).await.status,
        200,
        "{proxy:?}"
    );

    site.portcullis.kill_9();
    site.portcullis.restart().await;
    site.portcullis.ready().await;
    assert_eq!(site.orders(&token).await, 401, "{proxy:?}");
    site.lift(&here).await;
    assert_eq!(site.orders(&token).await, 200, "{proxy:?}");
    site.lift(&elsewhere).await;
}

#[tokio::test]
async fn a_revoked_network_is_the_proxys_word_through_envoy() {
    a_revoked_network_is_the_proxys_word(Proxy::Envoy).await;
}

#[tokio::test]
async fn a_revoked_network_is_the_proxys_word_through_nginx() {
    a_revoked_network_is_the_proxys_word(Proxy::Nginx).await;
}

#[tokio::test]
async fn a_revoked_network_is_the_proxys_word_through_caddy() {
    a_revoked_network_is_the_proxys_word(Proxy::Caddy).await;
}

#[tokio::test]
async fn a_revoked_network_is_the_proxys_word_through_traefik() {
    a_revoked_network_is_the_proxys_word(Proxy::Traefik).await;
}

#[tokio::test]
async fn a_revoked_network_is_the_proxys_word_through_haproxy() {
    a_revoked_network_is_the_proxys_word(Proxy::Haproxy).await;
}

#[tokio::test]
async fn a_revoked_network_is_the_proxys_word_through_apache() {
    a_revoked_network_is_the_proxys_word(Proxy::Apache).await;
}

/// A proxy that does not say who asks passes nobody while a network is revoked; nor can one be revoked where
/// nobody says so at all.
#[tokio::test]
async fn without_an_address_nothing_is_guessed() {
    let site = Site::configured(Proxy::Nginx, configured).await;
    let token = site.idp.token("alice").sign();
    let question = || {
        let call = Call::get("/authz/forward-auth").bearer(&token);
        let call = call.header("x-forwarded-method", "GET");
        call.header("x-forwarded-uri", "/orders")
    };
    let door = site.portcullis.forward_auth();
    assert_eq!(question().send(door).await.status, 200);
    site.revoke_as("2001:db8::/32", true).await;
    for address in ["2001:db8::7", "x"] {
        let call = question().header("x-forwarded-for", address);
        assert_eq!(call.send(door).await.status, 200, "{address}");
    }
    let id = site.revoke_network("2001:db8::/32").await;
    assert_eq!(question().send(door).await.status, 503);
    for (address, status) in [("2001:db8::7", 401), ("2001:db9::7", 200), ("x", 503)] {
        let call = question().header("x-forwarded-for", address);
        assert_eq!(call.send(door).await.status, status, "{address}");
    }
    let explained = json!({ "request": {
        "method": "GET", "target": "/orders",
        "headers": [["authorization", format!("Bearer {token}")], ["x-forwarded-for", "2001:db8::7"]],
    } });
    let call = Call::json("/v1/explain", &explained).bearer(SECRET);
    let reply = call.send(site.portcullis.admin()).await.body_json();
    assert_eq!(reply["reason"], "revoked", "{reply}");
    let revocations = reply["revocations"].as_array().unwrap();
    assert!(
        revocations.iter().any(|one| one["id"] == json!(id)),
        "{reply}"
    );
    site.lift(&id).await;
    assert_eq!(question().send(door).await.status, 200);

    for (network, message) in [
        ("2001:db8::1/32", "has bits behind its prefix"),
        ("0.0.0.0/0", "must have a prefix"),
        ("shop.example.com", "is no IP address"),
    ] {
        let body = json!({
            "issuer": site.idp.issuer(), "matches": { "client#ip": network }, "reason": "test",
        });
        let call = Call::json("/v1/revocations", &body).bearer(SECRET);
        let reply = call.send(site.portcullis.admin()).await;
        assert_eq!(reply.status, 422, "{network}");
        assert!(reply.text().contains(message), "{}", reply.text());
    }
    let unknown = Site::configured(Proxy::Nginx, |config| {
        configured(config);
        config.as_object_mut().unwrap().remove("client_ip");
    })
    .await;
    let body = json!({
        "issuer": unknown.idp.issuer(), "matches": { "client#ip": "10.0.0.0/8" }, "reason": "test",
    });
    let call = Call::json("/v1/revocations", &body).bearer(SECRET);
    let reply = call.send(unknown.portcullis.admin()).await;
    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("needs client_ip"), "{}", reply.text());
}
