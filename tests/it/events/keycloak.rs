//! A real Keycloak sends its own back-channel logout messages and adapter actions, and nothing when a user
//! is disabled or gets another password: what `docs/providers/keycloak.md` says.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis::core::clock::Clock;
use serde_json::{Value, json};

use super::on_every_door;
use crate::support::{Call, Door, Process, Reply, World, reserved_port, tool, until};

const ADMIN: &str = "admin";
const PASSWORD: &str = "a-password-of-this-test";
const CLIENT: &str = "shop";
const CLIENT_SECRET: &str = "the-secret-of-the-client";

/// Longer than it takes on a busy machine with two cores.
const LONGEST_START: Duration = Duration::from_mins(3);

struct Keycloak {
    address: SocketAddr,
    process: Process,
}

/// What a user got by logging in.
struct Login {
    access: String,
    refresh: String,
}

impl Keycloak {
    async fn start() -> Self {
        let port = reserved_port();
        let mut command = Command::new(tool("keycloak"));
        command
            .args(["start", "--optimized", "--http-enabled=true"])
            .args(["--hostname-strict=false", "--http-host=127.0.0.1"])
            .arg(format!("--http-port={port}"))
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", PASSWORD);
        let mut keycloak = Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            process: Process::spawn("keycloak", &mut command),
        };
        let started = Instant::now();
        let ready = Call::get("/realms/master");
        while ready.try_send(keycloak.address).await.is_err() {
            let lines = keycloak.process.lines().join("\n");
            assert!(!keycloak.process.has_ended(), "{lines}");
            assert!(started.elapsed() < LONGEST_START, "{lines}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        keycloak
    }

    fn issuer(&self) -> String {
        format!("http://{}/realms/acme", self.address)
    }

    async fn send(&self, call: Call) -> Reply {
        let reply = call.header("host", self.address.to_string());
        let reply = reply.send(self.address).await;
        assert!(reply.status < 300, "{} {}", reply.status, reply.text());
        reply
    }

    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let call = Call::post(path, fields.join("&"));
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        let text = self.send(call).await.text();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Calls the admin API, whose tokens live for a minute.
    async fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let fields = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", ADMIN),
            ("password", PASSWORD),
        ];
        let path_of_tokens = "/realms/master/protocol/openid-connect/token";
        let tokens = self.form(path_of_tokens, &fields).await;
        let body = body.to_string();
        let call = Call::post(&format!("/admin/realms{path}"), body).method(method);
        let call = call.header("content-type", "application/json");
        let token = tokens["access_token"].as_str().unwrap();
        let text = self.send(call.bearer(token)).await.text();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Makes a realm with these users and a client, which is told of logouts at `logout_uri` and has an
    /// admin URL.
    async fn create_realm(&self, logout_uri: &str, admin_uri: &str, users: &[&str]) {
        let password = json!([{ "type": "password", "value": PASSWORD }]);
        let users = users.iter().map(|user| {
            json!({
                "id": user, "username": user, "enabled": true, "credentials": password,
                "email": format!("{user}@example.com"), "firstName": user, "lastName": user,
            })
        });
        let audience = json!({
            "name": "audience",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": { "included.custom.audience": "shop-api", "access.token.claim": "true" },
        });
        let client = json!({
            "clientId": CLIENT,
            "secret": CLIENT_SECRET,
            "directAccessGrantsEnabled": true,
            "adminUrl": admin_uri,
            "attributes": {
                "backchannel.logout.url": logout_uri,
                "backchannel.logout.session.required": "true",
            },
            "protocolMappers": [audience],
        });
        let realm = json!({
            "realm": "acme", "enabled": true, "sslRequired": "none",
            "clients": [client], "users": users.collect::<Vec<_>>(),
        });
        self.admin("POST", "", &realm).await;
    }

    async fn login(&self, user: &str) -> Login {
        let fields = [
            ("grant_type", "password"),
            ("client_id", CLIENT),
            ("client_secret", CLIENT_SECRET),
            ("username", user),
            ("password", PASSWORD),
            ("scope", "openid"),
        ];
        let path = "/realms/acme/protocol/openid-connect/token";
        let tokens = self.form(path, &fields).await;
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Login {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }

    /// Logs a user out by the refresh token, as an application does.
    async fn logout(&self, login: &Login) {
        let fields = [
            ("client_id", CLIENT),
            ("client_secret", CLIENT_SECRET),
            ("refresh_token", &login.refresh),
        ];
        let path = "/realms/acme/protocol/openid-connect/logout";
        self.form(path, &fields).await;
    }
}

/// The script starts Java and passes SIGTERM on to it; killed, it would leave Java behind.
impl Drop for Keycloak {
    fn drop(&mut self) {
        self.process.terminate();
        let asked = Instant::now();
        while !self.process.has_ended() && asked.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Starts a Keycloak, and a Portcullis to which it announces what it can.
async fn start(users: &[&str]) -> (Keycloak, World) {
    let keycloak = Keycloak::start().await;
    let events = format!("127.0.0.1:{}", reserved_port());
    let (logout, admin) = ("/events/keycloak", "/events/keycloak-actions");
    let uri = |path: &str| format!("http://{events}{path}");
    keycloak
        .create_realm(&uri(logout), &uri(admin), users)
        .await;
    let world = World::builder()
        .config(|config| {
            config["listen"]["events"] = json!(events);
            config["issuers"].as_array_mut().unwrap().push(json!({
                "issuer": keycloak.issuer(),
                "jwks": {
                    "uri": format!("{}/protocol/openid-connect/certs", keycloak.issuer()),
                },
                "audiences": ["shop-api"],
                "profile": "keycloak",
            }));
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
