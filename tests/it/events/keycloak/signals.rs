//! A real Keycloak transmits Shared Signals to a stream that `portcullis ssf` made, and its p2-inc extension posts
//! webhooks, which the preset maps.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::super::on_every_door;
use super::server::Keycloak;
use super::{as_issuer, passes_again};
use crate::support::{Call, World, reserved_port, until};

const AUDIENCE: &str = "https://portcullis.example.com/signals";
const SIGNALS_SECRET: &str = "Bearer the-secret-of-the-stream";
const HOOK_SECRET: &str = "the-secret-of-the-webhook";
const RECEIVER: &str = "receiver";
const RECEIVER_SECRET: &str = "the-secret-of-the-receiver";

/// The rules of the preset, with a secret that is at hand.
fn webhook(issuer: &str) -> Value {
    let preset = include_str!("../../../../presets/keycloak-p2.yaml");
    let mut preset: Value = serde_saphyr::from_str(preset).unwrap();
    let source = &mut preset["events"][0];
    source["name"] = json!("keycloak-webhook");
    source["issuer"] = json!(issuer);
    source["auth"] = json!({ "hmac": { "header": "X-Keycloak-Signature", "secret": HOOK_SECRET } });
    source.take()
}

/// Starts a Keycloak whose realm transmits signals and posts webhooks, and a Portcullis to which it can.
async fn start(users: &[&str]) -> (Keycloak, World) {
    let keycloak = Keycloak::start().await;
    let settings = json!({
        "attributes": { "ssf.transmitterEnabled": "true" },
        "eventsListeners": ["jboss-logging", "ext-event-webhook"],
        "adminEventsEnabled": true,
        "adminEventsDetailsEnabled": true,
    });
    keycloak.create_realm(("", ""), users, &settings).await;
    let events = format!("127.0.0.1:{}", reserved_port());
    let world = World::builder()
        .config(|config| {
            config["listen"]["events"] = json!(events);
            let issuers = config["issuers"].as_array_mut().unwrap();
            issuers.push(as_issuer(&keycloak));
            let sources = config["events"].as_array_mut().unwrap();
            sources.push(json!({
                "name": "keycloak-signals",
                "format": { "shared-signals": { "audience": [AUDIENCE] } },
                "issuer": keycloak.issuer(),
                "auth": { "header": { "name": "Authorization", "value": SIGNALS_SECRET } },
            }));
            sources.push(webhook(&keycloak.issuer()));
        })
        .start()
        .await;
    (keycloak, world)
}

impl Keycloak {
    /// Makes the client of a receiver, as the page of the provider says.
    async fn create_receiver(&self, push_to: &str) {
        let client = json!({
            "clientId": RECEIVER, "secret": RECEIVER_SECRET, "serviceAccountsEnabled": true,
            "standardFlowEnabled": false,
            "attributes": {
                "ssf.enabled": "true", "ssf.defaultSubjects": "ALL", "ssf.streamAudience": AUDIENCE,
                "ssf.validPushUrls": push_to, "ssf.minVerificationInterval": "0",
            },
        });
        self.admin("POST", "/acme/clients", &client).await;
        let path = format!("/acme/clients?clientId={RECEIVER}");
        let client = self.admin("GET", &path, &json!({})).await[0]["id"].clone();
        let scopes = self.admin("GET", "/acme/client-scopes", &json!({})).await;
        for scope in scopes.as_array().unwrap() {
            if matches!(scope["name"].as_str(), Some("ssf.read" | "ssf.manage")) {
                let (client, scope) = (client.as_str().unwrap(), scope["id"].as_str().unwrap());
                let path = format!("/acme/clients/{client}/optional-client-scopes/{scope}");
                self.admin("PUT", &path, &json!({})).await;
            }
        }
    }

    async fn token_of_receiver(&self) -> String {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", RECEIVER),
            ("client_secret", RECEIVER_SECRET),
            ("scope", "ssf.read+ssf.manage"),
        ];
        let path = "/realms/acme/protocol/openid-connect/token";
        let tokens = self.form(path, &fields).await;
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    async fn create_webhook(&self, url: &str) {
        let hook = json!({
            "enabled": "true", "url": url, "secret": HOOK_SECRET, "eventTypes": ["*"],
        });
        let call = Call::json("/realms/acme/webhooks", &hook);
        self.send(call.bearer(&self.admin_token().await)).await;
    }
}

/// Runs `portcullis ssf`, which must succeed, and returns what it says.
fn ssf(action: &str, transmitter: &str, home: &Path, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["ssf", action, "--transmitter", transmitter, "--token-file"]);
    let output = command.arg(home.join("token")).args(more).output().unwrap();
    let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{action}: {said}");
    said
}

async fn counted(world: &World, source: &str, kind: &str) {
    let labels = format!("source=\"{source}\",type=\"{kind}\"");
    let sample = format!("portcullis_events_by_type_total{{{labels}}}");
    until(&sample, async || {
        let counted = world.portcullis.metric(&sample).await;
        counted.is_some_and(|count| count >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "its last step has not passed on a loaded machine; run it alone with --ignored"]
async fn a_real_keycloak_pushes_shared_signals_and_webhooks_that_end_the_tokens_they_are_about() {
    let users = ["alice", "bob", "carol", "dave", "erin"];
    let (keycloak, world) = start(&users).await;
    let events = world.portcullis.door("events");
    let push_to = format!("http://{events}/events/keycloak-signals");
    keycloak.create_receiver(&push_to).await;
    let (issuer, home) = (keycloak.issuer(), world.home.path());
    std::fs::write(home.join("token"), keycloak.token_of_receiver().await).unwrap();
    std::fs::write(home.join("secret"), SIGNALS_SECRET).unwrap();
    let secret = home.join("secret").display().to_string();
    let create = ["--push-to", &push_to, "--authorization-file", &secret];
    let said = ssf("create", &issuer, home, &create);
    assert!(said.contains(&format!("audience: [{AUDIENCE}]")), "{said}");
    let stream = said.lines().find_map(|line| line.strip_prefix("stream: "));
    let stream = ["--stream", stream.unwrap()];
    ssf("verify", &issuer, home, &stream);
    counted(&world, "keycloak-signals", "verification").await;
    let said = ssf("check", &issuer, home, &stream);
    assert!(said.contains("status: enabled"), "{said}");

    let alice = keycloak.login("alice").await;
    let (other_session, bob) = (keycloak.login("alice").await, keycloak.login("bob").await);
    on_every_door(&world, &alice.access, 200, "logged in").await;
    on_every_door(&world, &bob.access, 200, "logged in").await;
    keycloak.logout(&alice).await;
    counted(&world, "keycloak-signals", "session-revoked").await;
    on_every_door(&world, &alice.access, 401, "logged out").await;
    on_every_door(&world, &other_session.access, 200, "another session").await;
    let password =
        json!({ "type": "password", "value": super::server::PASSWORD, "temporary": false });
    let path = "/acme/users/bob/reset-password";
    keycloak.admin("PUT", path, &password).await;
    counted(&world, "keycloak-signals", "credential-change").await;
    on_every_door(&world, &bob.access, 401, "another password").await;
    passes_again(&keycloak, &world, "bob").await;
    ssf("remove", &issuer, home, &stream);

    // The webhook tells what no signal does.
    let [carol, dave, erin] = ["carol", "dave", "erin"].map(|user| keycloak.login(user));
    let (carol, dave, erin) = (carol.await, dave.await, erin.await);
    let url = format!("http://{events}/events/keycloak-webhook");
    keycloak.create_webhook(&url).await;
    on_every_door(&world, &carol.access, 200, "logged in").await;
    let disabled = json!({ "enabled": false });
    keycloak.admin("PUT", "/acme/users/carol", &disabled).await;
    counted(&world, "keycloak-webhook", "admin.USER-UPDATE").await;
    on_every_door(&world, &carol.access, 401, "disabled").await;
    keycloak
        .admin("DELETE", "/acme/users/dave", &json!({}))
        .await;
    counted(&world, "keycloak-webhook", "admin.USER-DELETE").await;
    on_every_door(&world, &dave.access, 401, "deleted").await;
    on_every_door(&world, &erin.access, 200, "somebody else").await;
    keycloak.logout(&erin).await;
    counted(&world, "keycloak-webhook", "access.LOGOUT").await;
    on_every_door(&world, &erin.access, 401, "logged out").await;
    world.portcullis.assert_never_logged(HOOK_SECRET);
    world.portcullis.assert_never_logged(&erin.access);
}
