//! A changed configuration file is applied while the process serves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{Call, Door, Reply, World, until};

const WRITE: &str = "write-secret-0123456789";
const READ: &str = "read-secret-0123456789";

/// A configuration under which only tokens for the audience `name` pass, with a header of that name.
fn generation(base: &Value, name: &str) -> Value {
    let mut config = base.clone();
    config["issuers"][0]["audiences"] = json!([name, "both"]);
    config["answer"] = json!({ "headers": { (format!("x-of-{name}")): "sub" } });
    config
}

/// A world with a credential for each role, under generation `a`, and the configuration of its file.
async fn world() -> (World, Value) {
    let mut base = Value::Null;
    let builder = World::builder().config(|config| {
        config["admin"] = json!({ "credentials": [
            { "name": "ops", "role": "write", "secret": WRITE },
            { "name": "viewer", "role": "read", "secret": READ },
        ]});
        base = config.clone();
        *config = generation(config, "a");
    });
    (builder.start().await, base)
}

/// Replaces the file in one step.
fn replace(world: &World, text: &str) {
    let file = world.home.path().join("portcullis.yaml");
    let next = world.home.path().join("next.yaml");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, &file).unwrap();
}

async fn reload(world: &World, secret: &str) -> Reply {
    let call = Call::post("/v1/reload", "").bearer(secret);
    call.send(world.portcullis.admin()).await
}

/// What `GET /v1/status` says about the configuration.
async fn configuration(world: &World) -> Value {
    let call = Call::get("/v1/status").bearer(READ);
    let status = call.send(world.portcullis.admin()).await.body_json();
    status["configuration"].clone()
}

fn forward_auth(token: &str) -> Call {
    Call::get("/authz/forward-auth")
        .bearer(token)
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-uri", "/orders")
}

/// Files that cannot be applied, each with a part of the reason.
fn bad(base: &Value, turn: usize) -> (String, &'static str) {
    let mut config = generation(base, "a");
    let why = match turn % 5 {
        0 => return ("issuers: [".to_owned(), "portcullis.yaml:1"),
        1 => {
            config["isuers"] = json!([]);
            "did you mean \"issuers\"?"
        }
        2 => {
            config["events"][0]["auth"]["basic"] =
                json!({ "username": "hooks", "password_file": "/nowhere/hooks" });
            "/nowhere/hooks"
        }
        3 => {
            config["listen"]["forward_auth"] = json!("127.0.0.1:1");
            config["log"]["level"] = json!("debug");
            "these changes need a restart: listen, log"
        }
        _ => {
            config["cache"] = json!({ "max_size": "1MiB" });
            "these changes need a restart: cache"
        }
    };
    (config.to_string(), why)
}

/// The tokens of the load, and how many answers there were.
struct Load {
    both: String,
    revoked: String,
    of: [(String, &'static str, &'static str); 2],
    answers: AtomicUsize,
    /// By generation: tokens of its own that passed.
    passed: [AtomicUsize; 2],
    is_over: AtomicBool,
}

impl Load {
    fn new(world: &World) -> Arc<Self> {
        let token = |subject: &str, audience| {
            let token = world.idp.token(subject).claim("aud", audience);
            token.sign()
        };
        Arc::new(Self {
            both: token("alice", "both"),
            revoked: token("mallory", "both"),
            of: [
                (token("alice", "a"), "x-of-a", "x-of-b"),
                (token("alice", "b"), "x-of-b", "x-of-a"),
            ],
            answers: AtomicUsize::new(0),
            passed: Default::default(),
            is_over: AtomicBool::new(false),
        })
    }

    fn goes_on(&self) -> bool {
        self.answers.fetch_add(1, Ordering::Relaxed) < 10_000
            || !self.is_over.load(Ordering::Relaxed)
    }

    /// On one connection, which nobody may close.
    async fn ask(self: Arc<Self>, door: std::net::SocketAddr) {
        let mut stream = TcpStream::connect(door).await.unwrap();
        let mut turn = 0;
        while self.goes_on() {
            turn += 1;
            let (token, own, other) = &self.of[turn % 2];
            let call = forward_auth(token).header("connection", "keep-alive");
            let reply = call.on(&mut stream).await.expect("the connection stays");
            match reply.status {
                200 => {
                    assert_eq!(reply.header(own), Some("alice"), "{}", reply.text());
                    assert_eq!(reply.header(other), None);
                    self.passed[turn % 2].fetch_add(1, Ordering::Relaxed);
                }
                status => assert_eq!(status, 401, "{}", reply.text()),
            }
            let call = forward_auth(&self.both).header("connection", "keep-alive");
            let reply = call.on(&mut stream).await.expect("the connection stays");
            assert_eq!(reply.status, 200, "{}", reply.text());
            let headers = [own, other].map(|name| reply.header(name).is_some());
            assert_ne!(headers[0], headers[1], "both generations, or neither");
        }
    }

    async fn pass_envoy(self: Arc<Self>, envoy: std::net::SocketAddr) {
        while self.goes_on() {
            for (token, status) in [(&self.both, 200), (&self.revoked, 401)] {
                let reply = Call::get("/orders").bearer(token).send(envoy).await;
                assert_eq!(reply.status, status, "{}", reply.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_while_the_configuration_is_replaced_fifty_times() {
    let (world, base) = world().await;
    // First: a token of the next second would be a new login.
    let load = Load::new(&world);
    world.deactivate("mallory").await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        asking.spawn(Arc::clone(&load).ask(world.portcullis.forward_auth()));
        asking.spawn(Arc::clone(&load).pass_envoy(world.edge(Door::Envoy)));
    }
    let mut applied = configuration(&world).await;
    assert_eq!(applied["generation"], 1, "{applied}");
    for turn in 0..25 {
        let (text, why) = bad(&base, turn);
        replace(&world, &text);
        let reply = reload(&world, WRITE).await;
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert!(
            reply.text().contains(&why.replace('"', "\\\"")),
            "{}",
            reply.text()
        );
        let state = configuration(&world).await;
        for kept in ["generation", "hash"] {
            assert_eq!(state[kept], applied[kept]);
        }
        assert!(state["error"].as_str().unwrap().contains(why), "{state}");
        assert!(state["failing_since"].is_string(), "{state}");

        let name = ["b", "a"][turn % 2];
        replace(&world, &generation(&base, name).to_string());
        let reply = reload(&world, WRITE).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let state = configuration(&world).await;
        assert_eq!(state, reply.body_json());
        assert_eq!(
            state["generation"],
            applied["generation"].as_u64().unwrap() + 1
        );
        assert_eq!(
            [&state["error"], &state["failing_since"]],
            [&Value::Null; 2]
        );
        applied = state;
    }
    load.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    assert_eq!(applied["generation"], 26);
    for passed in &load.passed {
        assert!(
            passed.load(Ordering::Relaxed) > 0,
            "a generation was never seen"
        );
    }
    let metric = async |name: &str| world.portcullis.metric(name).await;
    assert_eq!(metric("portcullis_config_generation").await, Some(26.0));
    assert_eq!(
        metric("portcullis_config_failing_since_timestamp_seconds").await,
        Some(0.0)
    );
    let failures = metric("portcullis_config_reloads_total{result=\"failed\"}").await;
    assert!(failures >= Some(25.0), "{failures:?}");
    let hash = format!(
        "portcullis_config_hash{{hash=\"{}\"}}",
        applied["hash"].as_str().unwrap()
    );
    assert_eq!(metric(&hash).await, Some(1.0));
}

#[tokio::test]
async fn keys_and_verified_tokens_survive_what_does_not_concern_them() {
    let (world, base) = world().await;
    let both = world.idp.token("alice").claim("aud", "both").sign();
    let pass = async || {
        forward_auth(&both)
            .send(world.portcullis.forward_auth())
            .await
            .status
    };
    assert_eq!(pass().await, 200);
    let misses = async || {
        world
            .portcullis
            .metric("portcullis_token_cache_misses_total")
            .await
    };
    let (fetched, before) = (world.idp.key_fetches(), misses().await);
    let mut config = generation(&base, "a");
    config["bypass"] = json!([{ "exact": "/new" }]);
    replace(&world, &config.to_string());
    assert_eq!(reload(&world, WRITE).await.status, 200);
    assert_eq!(pass().await, 200);
    assert_eq!(misses().await, before);
    // The token is judged anew by other rules, with the same keys.
    config["issuers"][0]["audiences"] = json!(["another"]);
    replace(&world, &config.to_string());
    assert_eq!(reload(&world, WRITE).await.status, 200);
    assert_eq!(pass().await, 401);
    assert_eq!(world.idp.key_fetches(), fetched);
}

/// As Kubernetes replaces a mounted `ConfigMap`.
fn swap_link(home: &Path, version: &str, text: &str) {
    let directory = home.join(version);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("portcullis.yaml"), text).unwrap();
    let link = home.join("..tmp");
    std::os::unix::fs::symlink(version, &link).unwrap();
    std::fs::rename(&link, home.join("..data")).unwrap();
}

#[tokio::test]
async fn a_swapped_link_and_a_signal_apply_the_file() {
    let (world, base) = world().await;
    let home = world.home.path();
    let of = |name| world.idp.token("alice").claim("aud", name).sign();
    let (a, b) = (of("a"), of("b"));
    let status = async |token: &str| {
        forward_auth(token)
            .send(world.portcullis.forward_auth())
            .await
            .status
    };
    let reached = async |generation: u64| {
        until("the file is applied", async || {
            (configuration(&world).await["generation"] == generation).then_some(())
        })
        .await;
    };
    assert_eq!([status(&a).await, status(&b).await], [200, 401]);
    swap_link(home, "v1", &generation(&base, "a").to_string());
    let file = home.join("portcullis.yaml");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("..data/portcullis.yaml", &file).unwrap();
    swap_link(home, "v2", &generation(&base, "b").to_string());
    reached(2).await;
    assert_eq!([status(&a).await, status(&b).await], [401, 200]);
    // In place, with the old length and time, so that only the signal tells.
    let second = home.join("v2/portcullis.yaml");
    let stamp = std::fs::metadata(&second).unwrap().modified().unwrap();
    std::fs::write(&second, generation(&base, "a").to_string()).unwrap();
    let written = std::fs::File::options().write(true).open(&second).unwrap();
    written.set_modified(stamp).unwrap();
    world.portcullis.process.signal("HUP");
    reached(3).await;
    assert_eq!([status(&a).await, status(&b).await], [200, 401]);
}

#[tokio::test]
async fn only_the_role_write_reloads_and_a_reload_changes_who_has_it() {
    let (world, base) = world().await;
    assert_eq!(reload(&world, READ).await.status, 403);
    assert_eq!(reload(&world, "somebody-else-0123").await.status, 401);
    let mut config = generation(&base, "a");
    config["admin"]["credentials"][0]["secret"] = json!("another-secret-0123456789");
    config["events"][0]["name"] = json!("renamed");
    replace(&world, &config.to_string());
    assert_eq!(reload(&world, WRITE).await.status, 200);
    assert_eq!(reload(&world, WRITE).await.status, 401);
    let unchanged = reload(&world, "another-secret-0123456789").await;
    assert_eq!(unchanged.status, 200, "{}", unchanged.text());
    assert_eq!(unchanged.body_json()["generation"], 2);
    let event = Call::post("/events/fusionauth", "{}");
    assert_eq!(
        event.send(world.portcullis.door("events")).await.status,
        404
    );
    world.portcullis.assert_never_logged("another-secret");
}

#[tokio::test]
async fn keys_are_refreshed_ahead_of_time_and_a_silent_provider_blocks_no_other() {
    let (world, base) = world().await;
    let token = world.idp.token("alice").claim("aud", "both").sign();
    let status = async || {
        let call = forward_auth(&token);
        call.send(world.portcullis.forward_auth()).await.status
    };
    let apply = async |uri: String| {
        let mut config = generation(&base, "a");
        config["issuers"][0]["jwks"]["uri"] = json!(uri);
        replace(&world, &config.to_string());
        let reply = reload(&world, WRITE).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    assert_eq!(status().await, 200);
    let fetched = world.idp.key_fetches();
    apply(format!("{}?moved", world.idp.jwks_uri())).await;
    assert_eq!(world.idp.key_fetches(), fetched + 1);
    assert_eq!(status().await, 200);
    let nobody = crate::support::reserved_port();
    apply(format!("http://127.0.0.1:{nobody}/keys")).await;
    assert_eq!(status().await, 503);
    let degraded = async || {
        let reply = world.portcullis.readiness().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let degraded = reply.body_json()["degraded"].clone();
        degraded.as_object().unwrap().len()
    };
    until("the readiness names the keys", async || {
        (degraded().await == 1).then_some(())
    })
    .await;
    apply(world.idp.jwks_uri()).await;
    assert_eq!(status().await, 200);
    until("its report is gone with the keys", async || {
        (degraded().await == 0).then_some(())
    })
    .await;
}
