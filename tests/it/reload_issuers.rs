//! Issuers come, change and go by a reload, and no revocation is lost on the way.

use serde_json::{Value, json};

use crate::support::nats::{Server, Settings};
use crate::support::{Call, Idp, Portcullis, Reply, fusionauth_event};

const WRITE: &str = "write-secret-0123456789";

/// A running Portcullis, and the configuration of its file.
struct Reloaded {
    portcullis: Portcullis,
    config: Value,
    home: tempfile::TempDir,
}

impl Reloaded {
    async fn start(idp: &Idp, store: Value) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
        config["admin"] = json!({ "credentials": [
            { "name": "ops", "role": "write", "secret": WRITE },
        ]});
        if !store.is_null() {
            config["revocations"] = json!({ "store": store, "max_staleness": "10m", "local": { "path": home.path().join("local") } });
        }
        let portcullis = Portcullis::start(home.path(), config).await;
        portcullis.ready().await;
        let config = portcullis.config.clone();
        // With the ports that were chosen.
        let mut reloaded = Self {
            portcullis,
            config,
            home,
        };
        reloaded.restart().await;
        reloaded
    }

    async fn restart(&mut self) {
        self.portcullis.config = self.config.clone();
        self.portcullis.restart().await;
        self.portcullis.ready().await;
    }

    async fn reload(&self, config: &Value) -> Reply {
        let next = self.home.path().join("next.yaml");
        std::fs::write(&next, config.to_string()).unwrap();
        std::fs::rename(&next, self.home.path().join("portcullis.yaml")).unwrap();
        let call = Call::post("/v1/reload", "").bearer(WRITE);
        call.send(self.portcullis.admin()).await
    }

    async fn apply(&mut self, config: Value) {
        let reply = self.reload(&config).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        self.config = config;
    }

    async fn status(&self, token: &str) -> u16 {
        self.ask(token, "/orders", "192.0.2.1").await.status
    }

    async fn ask(&self, token: &str, path: &str, from: &str) -> Reply {
        let call = Call::get("/authz/forward-auth")
            .bearer(token)
            .header("x-forwarded-for", from)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-uri", path);
        call.send(self.portcullis.forward_auth()).await
    }

    async fn revoke_network(&self, idp: &Idp, network: &str) {
        let body = json!({
            "issuer": idp.issuer(), "matches": { "client#ip": network },
            "issued_at_or_before": null, "reason": "test", "confirm": true,
        });
        let call = Call::json("/v1/revocations", &body).bearer(WRITE);
        let reply = call.send(self.portcullis.admin()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    async fn lock(&self, source: &str, subject: &str) {
        let event = fusionauth_event("user.deactivate", json!({ "user": { "id": subject } }));
        let call = Call::json(&format!("/events/{source}"), &event);
        let call = call.basic("hooks", "correct-horse-battery-staple");
        let reply = call.send(self.portcullis.door("events")).await;
        assert!((200..300).contains(&reply.status), "{}", reply.text());
    }
}

fn with_issuer(config: &Value, idp: &Idp, life: &str) -> Value {
    let mut config = config.clone();
    let (mut issuer, mut source) = (config["issuers"][0].clone(), config["events"][0].clone());
    issuer["issuer"] = json!(idp.issuer());
    issuer["jwks"]["uri"] = json!(idp.jwks_uri());
    issuer["max_token_lifetime"] = json!(life);
    source["name"] = json!("second");
    source["issuer"] = json!(idp.issuer());
    config["issuers"].as_array_mut().unwrap().push(issuer);
    config["events"].as_array_mut().unwrap().push(source);
    config
}

#[tokio::test]
async fn a_new_issuer_and_its_events_need_no_restart_and_survive_one() {
    let (first, second) = (Idp::start(), Idp::start());
    let mut replica = Reloaded::start(&first, Value::Null).await;
    let base = replica.config.clone();
    let [alice, mallory] = ["alice", "mallory"].map(|subject| second.token(subject).sign());
    assert_eq!(replica.status(&alice).await, 401, "nobody knows its issuer");
    replica.apply(with_issuer(&base, &second, "1h")).await;
    assert_eq!(replica.status(&alice).await, 200);
    replica.lock("second", "mallory").await;
    assert_eq!(replica.status(&mallory).await, 401);
    replica.restart().await;
    assert_eq!(replica.status(&alice).await, 200);
    assert_eq!(replica.status(&mallory).await, 401);

    // Away and back again: what was revoked stays so.
    replica.apply(base.clone()).await;
    assert_eq!(replica.status(&alice).await, 401);
    replica.apply(with_issuer(&base, &second, "1h")).await;
    assert_eq!(replica.status(&alice).await, 200);
    assert_eq!(replica.status(&mallory).await, 401);
    let own = first.token("alice").sign();
    assert_eq!(replica.status(&own).await, 200);
}

#[tokio::test]
async fn a_new_issuer_brings_its_policy_sessions_and_networks_at_once() {
    let (first, second) = (Idp::start(), Idp::start());
    let mut replica = Reloaded::start(&first, Value::Null).await;
    let base = replica.config.clone();
    let mut next = with_issuer(&base, &second, "1h");
    next["issuers"][1]["session"] = json!({ "max_age": "1h" });
    next["client_ip"] = json!({});
    next["policies"] = json!([{
        "name": "partners", "prefix": "/partners/", "issuers": [second.issuer()],
        "answer": { "headers": { "x-tier": "gold" } },
    }]);
    let now = portcullis::core::clock::Clock::system().now().seconds();
    let logged_in = |ago: u64| {
        let token = second.token("alice").claim("sid", "session");
        token.claim("auth_time", now - ago).sign()
    };
    let (own, fresh, old) = (
        first.token("bob").sign(),
        logged_in(60),
        logged_in(2 * 3600),
    );
    let before = replica.ask(&own, "/partners/a", "192.0.2.1").await;
    assert_eq!((before.status, before.header("x-tier")), (200, None));

    replica.apply(next.clone()).await;
    let told = replica.ask(&fresh, "/partners/a", "192.0.2.1").await;
    assert_eq!((told.status, told.header("x-tier")), (200, Some("gold")));
    let elsewhere = replica.ask(&fresh, "/orders", "192.0.2.1").await;
    assert_eq!((elsewhere.status, elsewhere.header("x-tier")), (200, None));
    let foreign = replica.ask(&own, "/partners/a", "192.0.2.1").await;
    assert_ne!(foreign.status, 200, "it is for the new issuer alone");
    assert_eq!(replica.status(&own).await, 200);
    assert_eq!(replica.status(&old).await, 401, "its session has ended");
    replica.revoke_network(&second, "203.0.113.0/24").await;
    let caught = replica.ask(&fresh, "/orders", "203.0.113.9").await;
    assert_eq!(caught.status, 401);
    assert_eq!(replica.status(&fresh).await, 200);

    // Without any of it, and the same file again.
    replica.apply(base).await;
    let before = replica.ask(&own, "/partners/a", "192.0.2.1").await;
    assert_eq!((before.status, before.header("x-tier")), (200, None));
    assert_eq!(replica.status(&fresh).await, 401);
    replica.apply(next).await;
    let caught = replica.ask(&fresh, "/orders", "203.0.113.9").await;
    assert_eq!(caught.status, 401, "the revocation of the network stayed");
    assert_eq!(replica.status(&fresh).await, 200);
}

#[tokio::test]
async fn an_issuer_goes_into_shadow_and_out_of_it_by_a_reload() {
    let idp = Idp::start();
    let mut replica = Reloaded::start(&idp, Value::Null).await;
    let mallory = idp.token("mallory").sign();
    replica.lock("fusionauth", "mallory").await;
    assert_eq!(replica.status(&mallory).await, 401);
    let enforced = replica.config.clone();
    let mut tried = enforced.clone();
    tried["revocations"]["issuers"] = json!([{ "issuer": idp.issuer(), "shadow": true }]);
    replica.apply(tried).await;
    assert_eq!(replica.status(&mallory).await, 200);
    replica.apply(enforced).await;
    assert_eq!(replica.status(&mallory).await, 401);
}

#[tokio::test]
async fn a_raise_by_a_reload_revives_no_token_and_a_cut_holds_at_once() {
    let idp = Idp::start();
    let mut replica = Reloaded::start(&idp, Value::Null).await;
    let life = |config: &Value, life: &str| {
        let mut config = config.clone();
        config["issuers"][0]["max_token_lifetime"] = json!(life);
        config
    };
    let base = replica.config.clone();
    let now = portcullis::core::clock::Clock::system().now().seconds();
    let lives = |issued_at: u64, hours: u64| {
        let token = idp.token("alice").claim("iat", issued_at);
        token.claim("exp", issued_at + hours * 3600).sign()
    };
    let (before, hour) = (lives(now - 60, 3), lives(now - 60, 1));
    assert_eq!(
        [replica.status(&before).await, replica.status(&hour).await],
        [401, 200]
    );
    replica.apply(life(&base, "3h")).await;
    assert_eq!(
        replica.status(&before).await,
        401,
        "it was issued before the raise"
    );
    // A token of the next second is one of after the raise; its `iat` is within the leeway.
    let later = portcullis::core::clock::Clock::system().now().seconds() + 2;
    assert_eq!(replica.status(&lives(later, 3)).await, 200);
    replica.apply(life(&base, "30m")).await;
    assert_eq!(replica.status(&hour).await, 401);
    replica.restart().await;
    assert_eq!(replica.status(&hour).await, 401);
    assert_eq!(replica.status(&before).await, 401);
}

#[tokio::test]
async fn without_the_log_a_new_issuer_is_refused_as_a_whole_and_applied_later() {
    let (first, second) = (Idp::start(), Idp::start());
    let mut server = Server::start(&Settings::default());
    let store = json!({ "nats": { "servers": [server.url()], "replicas": 1 } });
    let replica = Reloaded::start(&first, store).await;
    let (own, alice) = (first.token("alice").sign(), second.token("alice").sign());
    assert_eq!(replica.status(&own).await, 200);
    server.kill();
    let mut next = with_issuer(&replica.config, &second, "1h");
    next["issuers"][0]["audiences"] = json!(["another"]);
    let reply = replica.reload(&next).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(
        reply
            .text()
            .contains("the log of revocations cannot be reached"),
        "{}",
        reply.text()
    );
    assert_eq!(
        replica.status(&own).await,
        200,
        "nothing of the file is in use"
    );
    assert_ne!(replica.status(&alice).await, 200);
    server.restart();
    crate::support::until("the file is applied", async || {
        (replica.status(&alice).await == 200).then_some(())
    })
    .await;
    assert_eq!(replica.status(&own).await, 401, "all of it is");
}
