//! A real oidc-provider sends its own logout messages: log in there, pass through the proxies, log out
//! there, and be refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use serde_json::{Value, json};

use super::on_every_door;
use crate::support::{Call, Process, World, tool};

/// The secret of every client in `oidc_provider.mjs`.
const SECRET: &str = "the-secret-of-every-client-0123456789";

pub(crate) struct Provider {
    address: SocketAddr,
    _process: Process,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/events/oidc_provider.mjs"
        );
        let mut command = Command::new(tool("node"));
        command.arg(script).arg(tool("oidc_provider"));
        let mut process = Process::spawn("oidc-provider", &mut command);
        let port = process.line("where it listens", |line| {
            line.strip_prefix("listening on ")?.parse().ok()
        });
        let port: u16 = port.await;
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            _process: process,
        }
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks the script for something.
    async fn act(&self, target: &str) -> Value {
        let host = self.address.to_string();
        let reply = Call::get(target)
            .header("host", host)
            .send(self.address)
            .await;
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.body_json()
    }

    /// Logs a user in at a client and returns the access token.
    async fn login(&self, client: &str, user: &str) -> String {
        let tokens = self
            .act(&format!("/test/login?client={client}&user={user}"))
            .await;
        let token = tokens["access_token"].as_str();
        token
            .unwrap_or_else(|| panic!("{client}: {tokens}"))
            .to_owned()
    }
}

#[tokio::test]
async fn a_logout_at_a_real_oidc_provider_ends_the_access_tokens() {
    let provider = Provider::start().await;
    let source = |client: &str, options: Value, auth: Value| {
        let mut options = options;
        options["clients"] = json!([client]);
        json!({
            "name": client,
            "format": { "oidc-backchannel-logout": options },
            "issuer": provider.issuer(),
            "auth": auth,
        })
    };
    let by_user = json!({ "sid_fallback": "subject" });
    let secret = json!({ "signature": { "algorithms": ["HS256"], "secret": SECRET } });
    let sources = [
        source("with-sid", json!({ "types": ["logout+jwt"] }), json!({})),
        source("without-sid", by_user.clone(), json!({})),
        source("hs256", by_user, secret),
    ];
    let world = World::builder()
        .config(|config| {
            let issuers = config["issuers"].as_array_mut().unwrap();
            issuers.push(json!({
                "issuer": provider.issuer(),
                "jwks": { "uri": format!("{}/jwks", provider.issuer()) },
                "audiences": ["shop-api"],
                "profile": "rfc9068",
            }));
            config["events"].as_array_mut().unwrap().extend(sources);
        })
        .start()
        .await;
    let events = world.portcullis.door("events");
    for client in ["with-sid", "without-sid", "hs256"] {
        let uri = format!("http://{events}/events/{client}");
        provider
            .act(&format!("/test/tell?client={client}&uri={uri}"))
            .await;
        let stays = provider.login(client, &format!("bob-{client}")).await;
        let goes = provider.login(client, &format!("alice-{client}")).await;
        on_every_door(&world, &goes, 200, client).await;
        provider.act("/test/logout").await;
        // The provider waits for the answer before it says that the user is logged out.
        on_every_door(&world, &goes, 401, client).await;
        on_every_door(&world, &stays, 200, client).await;
        let sample = format!("portcullis_events_total{{source=\"{client}\",result=\"accepted\"}}");
        assert_eq!(
            world.portcullis.metric(&sample).await,
            Some(1.0),
            "{client}"
        );
        world.portcullis.assert_never_logged(&goes);
    }
}
