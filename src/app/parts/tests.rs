//! What `explain` says is what a door does, for ten thousand requests. No sockets: the requests go to the
//! functions behind them.

use aws_lc_rs::hmac;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http_body_util::BodyExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

use super::*;
use crate::gate::Recent;

const ISSUER: &str = "https://id.example.com";
const KEY: &str = "a secret of the issuer that is long enough for HS256";
const OPS: &str = "write-secret-0123456789";

/// The parts behind a door and behind the admin listener, under one configuration.
struct Site {
    doors: Arc<Doors<Generation>>,
    admin: axum::Router,
    recent: Arc<Recent>,
    shutdown: CancellationToken,
    _home: tempfile::TempDir,
}

fn config(home: &Path) -> Config {
    let text = json!({
        "listen": { "forward_auth": "127.0.0.1:0", "admin": "127.0.0.1:0" },
        "issuers": [{
            "issuer": ISSUER, "secret": { "value": KEY }, "audiences": ["shop-api"],
            "max_token_lifetime": "1h",
        }],
        "revocations": { "store": { "embedded": { "path": home.join("data") } } },
        "token": { "sources": [
            { "header": "authorization", "scheme": "Bearer" }, { "cookie": "session" },
        ]},
        "bypass": [{ "exact": "/healthz" }, { "prefix": "/public/" }],
        "policies": [
            { "name": "admin", "prefix": "/admin", "scopes": ["admin"] },
            { "name": "guest", "prefix": "/guest", "token": "optional" },
            { "name": "fresh", "hosts": ["bank.example.com"], "max_token_age": "2m" },
            { "name": "writers", "methods": ["POST"], "path": "/orders/{id}", "clients": ["web"] },
        ],
        "admin": { "credentials": [{ "name": "ops", "role": "write", "secret": OPS }] },
        "log": { "level": "off" },
    });
    let file = home.join("portcullis.yaml");
    std::fs::write(&file, text.to_string()).unwrap();
    crate::config::load(&file).unwrap()
}

async fn site() -> Site {
    let home = tempfile::tempdir().unwrap();
    let config = config(home.path());
    let (clock, readiness) = (Clock::system(), Readiness::default());
    let (registry, audit) = (&mut Registry::default(), Audit::default());
    let revocations = revocations(&config, &clock, &readiness, registry).unwrap();
    let metrics = verify::Metrics::register(registry);
    let keys = keys(&config, &revocations, &clock, &readiness, metrics);
    let verifier = Verifier::new(&config.issuers, &keys).unwrap();
    let writer = revocations.writer;
    let store = (&writer, &revocations.notes, revocations.keep);
    let metrics = events::Metrics::register(registry);
    let (_, events) = events(&config, store, &clock, &audit, metrics);
    let shared = Shared {
        clock: clock.clone(),
        readiness: readiness.clone(),
        revocations: revocations.reader,
        metrics: Arc::new(gate::Metrics::register(registry)),
        recent: recent(&config, &clock, registry),
        sessions: Arc::default(),
        events,
        audit: audit.clone(),
        assertion_keys: None,
        tracer: Tracer::default(),
    };
    let current: Current = Arc::new(ArcSwap::from_pointee(
        shared.generation(&config, verifier).unwrap(),
    ));
    let (_, state) = watch::channel(admin::Configuration::default());
    let reload = admin::Reload {
        state,
        ask: mpsc::channel(1).0,
    };
    let known = (revocations.search, revocations.monitor);
    let api = api(&current, &readiness, reload, audit, writer, known, clock);
    let doors = Doors::new(current, &config.doors, readiness.clone(), registry);
    let shutdown = CancellationToken::new();
    tokio::spawn(revocations.follower.run(shutdown.clone()));
    readiness.reached().await;
    Site {
        doors,
        admin: api.router(admin::Metrics::new(Registry::default(), Vec::new())),
        recent: shared.recent,
        shutdown,
        _home: home,
    }
}

impl Site {
    async fn api(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {OPS}"));
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.admin.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Asks as Traefik does. Returns the status, and the reason of a refusal.
    async fn door(&self, asked: &Asked) -> (u16, Value) {
        let mut request = http::Request::get("/authz/forward-auth")
            .header("x-forwarded-method", asked.method)
            .header("x-forwarded-uri", &asked.target)
            .header("x-forwarded-host", asked.host);
        for (name, value) in &asked.headers {
            request = request.header(*name, value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let response = forward_auth::answer(&self.doors, &head).await;
        let status = response.status().as_u16();
        if status == 200 {
            return (status, Value::Null);
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let id = body["decision_id"].as_str().unwrap().parse().unwrap();
        let kept = self.recent.find(id).unwrap();
        let reason = kept.reason.map(crate::core::reason::Reason::as_str);
        (status, json!(reason))
    }
}

/// A request of a client.
#[derive(Debug)]
struct Asked {
    method: &'static str,
    target: String,
    host: &'static str,
    headers: Vec<(&'static str, String)>,
}

fn one_of<T: Copy>(random: &mut StdRng, all: &[T]) -> T {
    *all.choose(random).unwrap()
}

fn user(random: &mut StdRng) -> String {
    format!("user-{}", random.random_range(0..8))
}

fn sign(header: &Value, claims: &Value, key: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// Makes a token that is good more often than not.
fn token(random: &mut StdRng, now: u64) -> String {
    let issued = now - random.random_range(1..240);
    let mut claims = json!({
        "iss": ISSUER, "sub": user(random), "client_id": one_of(random, &["web", "app"]),
        "aud": "shop-api", "iat": issued, "exp": issued + 600,
        "scope": one_of(random, &["", "orders", "admin orders"]),
    });
    if random.random() {
        claims["jti"] = json!(format!("t-{}", random.random::<u32>()));
    }
    let mut header = json!({ "alg": "HS256", "typ": one_of(random, &["JWT", "at+jwt"]) });
    let mut key = KEY;
    match random.random_range(0..24) {
        0 => claims["exp"] = json!(now - 100),
        1 => claims["aud"] = json!("other"),
        2 => claims["iss"] = json!("https://evil.example"),
        3 => claims["exp"] = json!(now + 10_000),
        4 => claims["nbf"] = json!(now + 500),
        5 => claims["cnf"] = json!({ "jkt": "x" }),
        6 => header["typ"] = json!("logout+jwt"),
        7 => header["alg"] = json!("none"),
        8 => key = "another secret that is also long enough for HS256",
        9 => claims["sub"] = json!([1]),
        _ => {}
    }
    let token = sign(&header, &claims, key);
    match random.random_range(0..40) {
        0 => token[1..].to_owned(),
        1 => format!("{token}.x"),
        _ => token,
    }
}

fn asked(random: &mut StdRng, now: u64) -> Asked {
    let token = token(random, now);
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let cookie = |token: &str| ("cookie", format!("a=b; session={token}"));
    let headers = match random.random_range(0..12) {
        0 => vec![],
        1 => vec![cookie(&token)],
        2 => vec![bearer(&token), cookie(&token)],
        3 => vec![bearer(&token), cookie("other")],
        4 => vec![("authorization", format!("Basic {token}"))],
        _ => vec![bearer(&token)],
    };
    let targets = [
        "/orders",
        "/orders/7",
        "/orders/7?a=b",
        "/admin",
        "/admin/x",
        "/guest",
        "/public/a",
        "/healthz",
        "/public/../orders",
        "/orders/%2e%2e/admin",
        "/ADMIN",
        "/admin;x",
        "//admin",
    ];
    Asked {
        method: one_of(random, &["GET", "POST", "DELETE"]),
        target: one_of(random, &targets).to_owned(),
        host: one_of(
            random,
            &[
                "shop.example.com",
                "bank.example.com",
                "bank.example.com:443",
            ],
        ),
        headers,
    }
}

/// Revokes something, or lifts what was revoked before.
async fn change(site: &Site, random: &mut StdRng, live: &mut Vec<String>) {
    if live.len() > 12 || (random.random() && !live.is_empty()) {
        let id = live.swap_remove(random.random_range(0..live.len()));
        let path = format!("/v1/revocations/{id}");
        let (status, lifted) = site.api("DELETE", &path, &Value::Null).await;
        assert!(
            status == StatusCode::OK || status == StatusCode::NOT_FOUND,
            "{lifted}"
        );
        return;
    }
    let mut matches = Map::new();
    if random.random_range(0..8) > 0 {
        matches.insert("sub".to_owned(), json!(user(random)));
    }
    if random.random() {
        matches.insert(
            "client_id".to_owned(),
            json!(one_of(random, &["web", "app"])),
        );
    }
    let mut order =
        json!({ "issuer": ISSUER, "matches": matches, "confirm": true, "reason": "test" });
    if random.random() {
        order["issued_at_or_before"] = Value::Null;
    }
    let (status, made) = site.api("POST", "/v1/revocations", &order).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    live.push(made["id"].as_str().unwrap().to_owned());
}

#[tokio::test]
async fn explain_agrees_with_a_door_on_ten_thousand_requests() {
    let site = site().await;
    let random = &mut StdRng::seed_from_u64(10_000);
    let (mut live, mut seen) = (Vec::new(), std::collections::BTreeMap::<String, u32>::new());
    for round in 0..10_000 {
        if round % 100 == 0 {
            change(&site, random, &mut live).await;
        }
        let asked = asked(random, Clock::system().now().seconds());
        let (status, reason) = site.door(&asked).await;
        let request = json!({ "request": {
            "method": asked.method, "target": asked.target, "host": asked.host, "headers": asked.headers,
        }});
        let (answered, explained) = site.api("POST", "/v1/explain", &request).await;
        assert_eq!(answered, StatusCode::OK, "{explained}");
        let said = (&explained["status"], &explained["reason"]);
        assert_eq!(said, (&json!(status), &reason), "{asked:?} {explained}");
        let is_revoked = explained["revocations"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        assert!(is_revoked || reason != "revoked", "{asked:?} {explained}");
        *seen.entry(reason.to_string()).or_default() += 1;
    }
    assert!(
        seen.len() > 12 && seen["null"] > 1000 && seen["\"revoked\""] > 300,
        "{seen:?}"
    );
    site.shutdown.cancel();
}
