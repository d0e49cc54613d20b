//! A Keycloak as a child process, with one realm.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Call, Process, Reply, reserved_port, tool};

const ADMIN: &str = "admin";
pub(super) const PASSWORD: &str = "a-password-of-this-test";
pub(super) const CLIENT: &str = "shop";
const CLIENT_SECRET: &str = "the-secret-of-the-client";

pub(super) const READER: &str = "portcullis";
pub(super) const READER_SECRET: &str = "the secret: of/the+reader";

/// Longer than it takes on a busy machine with two cores.
const LONGEST_START: Duration = Duration::from_mins(10);

pub(super) struct Keycloak {
    pub(super) address: SocketAddr,
    process: Process,
}

/// What a user got by logging in.
pub(super) struct Login {
    pub(super) access: String,
    refresh: String,
}

impl Keycloak {
    pub(super) async fn start() -> Self {
        let port = reserved_port();
        let mut command = Command::new(tool("keycloak"));
        command
            .args(["start", "--optimized", "--http-enabled=true"])
            .args(["--hostname-strict=false", "--http-host=127.0.0.1"])
            .arg(format!("--http-port={port}"))
            // It would push to addresses of the internet only, and every half minute.
            .arg("--spi-ssf-transmitter--default--allow-insecure-push-targets=true")
            .arg("--spi-ssf-transmitter--default--outbox-drainer-interval=1s")
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

    pub(super) fn issuer(&self) -> String {
        format!("http://{}/realms/acme", self.address)
    }

    pub(super) async fn send(&self, call: Call) -> Reply {
        let reply = call.header("host", self.address.to_string());
        let reply = reply.send(self.address).await;
        assert!(reply.status < 300, "{} {}", reply.status, reply.text());
        reply
    }

    pub(super) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Value {
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
    pub(super) async fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let token = self.admin_token().await;
        let body = body.to_string();
        let call = Call::post(&format!("/admin/realms{path}"), body).method(method);
        let call = call.header("content-type", "application/json");
        let text = self.send(call.bearer(&token)).await.text();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) async fn admin_token(&self) -> String {
        let fields = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", ADMIN),
            ("password", PASSWORD),
        ];
        let path_of_tokens = "/realms/master/protocol/openid-connect/token";
        let tokens = self.form(path_of_tokens, &fields).await;
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// Makes a realm with these users, `settings`, and a client, which is told of logouts at the first
    /// address and has the second one as its admin URL.
    pub(super) async fn create_realm(
        &self,
        (logout_uri, admin_uri): (&str, &str),
        users: &[&str],
        settings: &Value,
    ) {
        let password = json!([{ "type": "password", "value": PASSWORD }]);
        let users = users.iter().map(|user| -> Value {
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
        // Reads the saved events of the realm.
        let reader = json!({
            "clientId": READER, "secret": READER_SECRET, "serviceAccountsEnabled": true,
            "standardFlowEnabled": false,
        });
        let account = json!({
            "username": format!("service-account-{READER}"), "enabled": true,
            "serviceAccountClientId": READER, "clientRoles": { "realm-management": ["view-events"] },
        });
        let users: Vec<_> = users.chain([account]).collect();
        let mut realm = json!({
            "realm": "acme", "enabled": true, "sslRequired": "none",
            "clients": [client, reader], "users": users,
        });
        let settings = settings.as_object().unwrap().clone();
        realm.as_object_mut().unwrap().extend(settings);
        self.admin("POST", "", &realm).await;
    }

    pub(super) async fn login(&self, user: &str) -> Login {
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
    pub(super) async fn logout(&self, login: &Login) {
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
