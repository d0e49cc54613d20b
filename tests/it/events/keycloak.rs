//! A real Keycloak sends its own back-channel logout messages and adapter actions, and nothing when a user
//! is disabled or gets another password: what `docs/providers/keycloak.md` says.

mod saved_events;
mod server;
mod signals;

use portcullis::core::clock::Clock;
use serde_json::{Value, json};

use self::server::{CLIENT, Keycloak, Login};
use super::on_every_door;
use crate::support::{Door, World, reserved_port, until};

/// Starts a Keycloak, and a Portcullis to which it announces what it can.
async fn start(users: &[&str]) -> (Keycloak, World) {
    let keycloak = Keycloak::start().await;
    let events = format!("127.0.0.1:{}", reserved_port());
    let (logout, admin) = ("/events/keycloak", "/events/keycloak-actions");
    let uri = |path: &str| format!("http://{events}{path}");
    let uris = (uri(logout), uri(admin));
    keycloak
        .create_realm((&uris.0, &uris.1), users, &json!({}))
        .await;
    let world = World::builder()
        .config(|config| {
            config["listen"]["events"] = json!(events);
            let issuers = config["issuers"].as_array_mut().unwrap();
            issuers.push(as_issuer(&keycloak));
            let logout = json!({ "clients": [CLIENT], "types": ["logout+jwt"] });
            let sources = config["events"].as_array_mut().unwrap();
            for (name, format) in [
                ("keycloak", json!({ "oidc-backchannel-logout": logout })),
                (
                    "keycloak-actions",
                    json!({ "keycloak": { "clients": [CLIENT] } }),
                ),
            ] {
                let issuer = keycloak.issuer();
                sources.push(json!({ "name": name, "format": format, "issuer": issuer }));
            }
        })
        .start()
        .await;
    (keycloak, world)
}

/// The realm as an issuer of the configuration.
fn as_issuer(keycloak: &Keycloak) -> Value {
    let issuer = keycloak.issuer();
    json!({
        "issuer": issuer,
        "jwks": { "uri": format!("{issuer}/protocol/openid-connect/certs") },
        "audiences": ["shop-api"],
        "profile": "keycloak",
    })
}

/// Logs in until a token passes that was issued in a later second than the cut-off.
async fn passes_again(keycloak: &Keycloak, world: &World, user: &str) -> Login {
    until("a new login passes", async || {
        let login = keycloak.login(user).await;
        let reply = world.orders(Door::Envoy, &login.access).await;
        (reply.status == 200).then_some(login)
    })
    .await
}

#[tokio::test]
async fn a_not_before_and_a_logout_of_everybody_at_a_real_keycloak_end_all_tokens_of_the_realm() {
    let (keycloak, world) = start(&["alice", "bob"]).await;
    let (alice, bob) = (keycloak.login("alice").await, keycloak.login("bob").await);
    on_every_door(&world, &alice.access, 200, "logged in").await;
    let told = json!({ "successRequests": [format!(
        "http://{}/events/keycloak-actions",
        world.portcullis.door("events")
    )] });

    let now = Clock::system().now().seconds();
    let not_before = json!({ "notBefore": now });
    keycloak.admin("PUT", "/acme", &not_before).await;
    on_every_door(&world, &alice.access, 200, "set, and not pushed").await;
    let pushed = keycloak
        .admin("POST", "/acme/push-revocation", &json!({}))
        .await;
    assert_eq!(pushed, told);
    on_every_door(&world, &alice.access, 401, "the not-before was pushed").await;
    on_every_door(&world, &bob.access, 401, "the not-before was pushed").await;

    let again = passes_again(&keycloak, &world, "alice").await;
    on_every_door(&world, &again.access, 200, "a new login").await;
    let logged_out = keycloak.admin("POST", "/acme/logout-all", &json!({})).await;
    assert_eq!(logged_out, told);
    on_every_door(&world, &again.access, 401, "everybody was logged out").await;
    passes_again(&keycloak, &world, "bob").await;
    world.portcullis.assert_never_logged(&alice.access);
}

#[tokio::test]
async fn a_logout_at_a_real_keycloak_ends_the_access_tokens_and_disabling_a_user_does_not() {
    let (keycloak, world) = start(&["alice", "bob", "carol", "dave"]).await;
    let (alice, bob) = (keycloak.login("alice").await, keycloak.login("bob").await);
    let other_session = keycloak.login("alice").await;
    on_every_door(&world, &alice.access, 200, "logged in").await;
    keycloak.logout(&alice).await;
    on_every_door(&world, &alice.access, 401, "logged out").await;
    on_every_door(&world, &other_session.access, 200, "another session").await;

    on_every_door(&world, &bob.access, 200, "logged in").await;
    keycloak
        .admin("POST", "/acme/users/bob/logout", &json!({}))
        .await;
    on_every_door(&world, &bob.access, 401, "an administrator logged bob out").await;
    let again = keycloak.login("bob").await;
    on_every_door(&world, &again.access, 200, "a new login").await;

    // What the page says: nobody is told of these.
    let (carol, dave) = (keycloak.login("carol").await, keycloak.login("dave").await);
    let disabled = json!({ "enabled": false });
    keycloak.admin("PUT", "/acme/users/carol", &disabled).await;
    let password = json!({ "type": "password", "value": "another", "temporary": false });
    keycloak
        .admin("PUT", "/acme/users/dave/reset-password", &password)
        .await;
    until("what was announced is counted", async || {
        let sample = "portcullis_events_total{source=\"keycloak\",result=\"accepted\"}";
        (world.portcullis.metric(sample).await == Some(2.0)).then_some(())
    })
    .await;
    on_every_door(&world, &carol.access, 200, "carol is disabled").await;
    on_every_door(&world, &dave.access, 200, "dave has another password").await;
    world.portcullis.assert_never_logged(&alice.access);
}
