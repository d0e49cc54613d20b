//! What a real Keycloak announces to nobody is found in the events that it saves.

use serde_json::{Value, json};

use super::server::{Keycloak, READER, READER_SECRET};
use super::{as_issuer, on_every_door};
use crate::support::{Door, World, until};

const NOWHERE: &str = "http://127.0.0.1:9/";

async fn start(users: &[&str]) -> (Keycloak, World) {
    let keycloak = Keycloak::start().await;
    let saved = json!({
        "eventsEnabled": true, "adminEventsEnabled": true, "adminEventsDetailsEnabled": true,
    });
    keycloak
        .create_realm((NOWHERE, NOWHERE), users, &saved)
        .await;
    let secret = tempfile::tempdir().unwrap().keep().join("secret");
    std::fs::write(&secret, READER_SECRET).unwrap();
    let world = World::builder().config(|config| {
        let issuer = keycloak.issuer();
        let issuers = config["issuers"].as_array_mut().unwrap();
        issuers.push(as_issuer(&keycloak));
        let from = json!({
            "endpoint": format!("http://{}/admin/realms/acme", keycloak.address),
            "oauth": {
                "token_endpoint": format!("{issuer}/protocol/openid-connect/token"),
                "client_id": READER, "client_secret_file": secret,
            },
        });
        let options = json!({ "from": from, "every": "1s" });
        config["events"].as_array_mut().unwrap().push(json!({
            "name": "keycloak", "format": { "keycloak-events": options }, "issuer": issuer,
        }));
    });
    let world = world.start().await;
    (keycloak, world)
}

async fn refused(world: &World, token: &str, what: &str) {
    until(what, async || {
        let reply = world.orders(Door::Envoy, token).await;
        (reply.status == 401).then_some(())
    })
    .await;
    on_every_door(world, token, 401, what).await;
}

async fn degraded(world: &World) -> String {
    let readiness: Value = world.portcullis.readiness().await.body_json();
    readiness["degraded"]["pull of keycloak"].to_string()
}

#[tokio::test]
async fn what_a_real_keycloak_announces_to_nobody_is_found_by_asking_also_after_a_crash() {
    let users = ["alice", "bob", "carol", "dave", "erin", "frank", "grace"];
    let (keycloak, mut world) = start(&users).await;
    let mut tokens = Vec::new();
    for user in users {
        let login = keycloak.login(user).await;
        on_every_door(&world, &login.access, 200, user).await;
        tokens.push(login);
    }
    let [alice, bob, carol, dave, erin, frank, grace] = &tokens[..] else {
        panic!("seven users")
    };
    let admin = async |method: &str, path: &str, body: Value| {
        keycloak
            .admin(method, &format!("/acme/users/{path}"), &body)
            .await
    };
    admin("PUT", "alice", json!({ "enabled": false })).await;
    let password = json!({ "type": "password", "value": "another", "temporary": false });
    admin("PUT", "bob/reset-password", password).await;
    admin("DELETE", "carol", json!({})).await;
    admin("POST", "dave/logout", json!({})).await;
    keycloak.logout(erin).await;
    refused(&world, &alice.access, "alice is disabled").await;
    refused(&world, &bob.access, "bob has another password").await;
    refused(&world, &carol.access, "carol is deleted").await;
    refused(&world, &dave.access, "an administrator logged dave out").await;
    refused(&world, &erin.access, "erin logged out").await;
    on_every_door(&world, &grace.access, 200, "nothing happened to grace").await;
    let sample = "portcullis_pull_events_total{source=\"keycloak\",result=\"duplicate\"}";
    assert_eq!(world.portcullis.metric(sample).await, None);
    let sample = "portcullis_pull_caught_up_age_seconds{source=\"keycloak\"}";
    assert!(world.portcullis.metric(sample).await.is_some());
    assert_eq!(degraded(&world).await, "null");

    world.portcullis.kill_9();
    admin("PUT", "frank", json!({ "enabled": false })).await;
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    on_every_door(&world, &alice.access, 401, "after the crash").await;
    refused(&world, &frank.access, "frank was disabled meanwhile").await;
    on_every_door(&world, &grace.access, 200, "nothing happened to grace").await;
    for secret in [READER_SECRET, &*alice.access] {
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn a_realm_that_does_not_save_its_events_is_reported() {
    let (keycloak, world) = start(&["alice"]).await;
    until("the realm was asked", async || {
        let sample = "portcullis_pull_requests_total{source=\"keycloak\",result=\"answered\"}";
        world.portcullis.metric(sample).await
    })
    .await;
    assert_eq!(degraded(&world).await, "null");
    let alice = keycloak.login("alice").await;
    let off = json!({ "eventsEnabled": false, "adminEventsDetailsEnabled": false });
    keycloak.admin("PUT", "/acme", &off).await;
    let mut world = world;
    world.portcullis.kill_9();
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    until("the settings are reported", async || {
        let degraded = degraded(&world).await;
        let both = ["Include representation", "logout"];
        both.iter()
            .all(|what| degraded.contains(what))
            .then_some(())
    })
    .await;
    on_every_door(&world, &alice.access, 200, "nothing happened to alice").await;
    let renamed = json!({ "firstName": "Alice" });
    keycloak.admin("PUT", "/acme/users/alice", &renamed).await;
    refused(
        &world,
        &alice.access,
        "nobody knows whether alice was disabled",
    )
    .await;
}
