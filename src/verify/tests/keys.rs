//! Keys come, change and go: over HTTP, from files and from what was kept.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;

/// An identity provider of one thread: it answers each path with what it was told to.
#[derive(Clone, Default)]
pub(super) struct Provider {
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<AtomicUsize>,
    /// Of each question, whether caches were told not to answer it.
    pub(super) no_cache: Arc<Mutex<Vec<bool>>>,
    pub(super) base: String,
}

#[derive(Clone)]
pub(super) enum Answer {
    Text(String),
    Redirect(String),
    /// Compressed by this name, or said to be.
    Encoded(&'static str, Vec<u8>),
    /// With a header.
    With(&'static str, &'static str, String),
    /// Never ends.
    Flood,
    /// Never comes.
    Silence,
}

impl Provider {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self {
            base,
            ..Self::default()
        };
        let app = Router::new().fallback(answer).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        provider
    }

    pub(super) fn on(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.on("/keys", Answer::Text(json!({"keys": keys}).to_string()));
    }

    /// From now on the keys are not there.
    pub(super) fn fail(&self) {
        self.answers.lock().unwrap().clear();
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn config(&self) -> Value {
        let mut config = issuer(&[]);
        config["jwks"] = json!({"uri": format!("{}/keys", self.base)});
        config
    }
}

async fn answer(State(provider): State<Provider>, uri: Uri, headers: HeaderMap) -> Response {
    let no_cache = headers
        .get(header::CACHE_CONTROL)
        .is_some_and(|value| value == "no-cache");
    provider.no_cache.lock().unwrap().push(no_cache);
    provider.asked.fetch_add(1, Ordering::SeqCst);
    let answer = provider.answers.lock().unwrap().get(uri.path()).cloned();
    match answer {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Answer::Text(text)) => text.into_response(),
        Some(Answer::Encoded(name, body)) => {
            ([(header::CONTENT_ENCODING, name)], body).into_response()
        }
        Some(Answer::With(name, value, text)) => ([(name, value)], text).into_response(),
        Some(Answer::Redirect(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(Answer::Flood) => {
            let piece = || Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 4096]));
            let pieces = tokio_stream::iter(std::iter::repeat_with(piece));
            axum::body::Body::from_stream(pieces).into_response()
        }
        Some(Answer::Silence) => std::future::pending().await,
    }
}

/// Runs the verifier until the end of the test.
pub(super) fn run(verifier: &Arc<Verifier>) {
    let shared = Arc::clone(&verifier.shared);
    tokio::spawn(shared.run(tokio_util::sync::CancellationToken::new()));
}

pub(super) async fn refusal(verifier: &Verifier, token: &str) -> Option<Reason> {
    let refused = verifier.verify(Token::new(token)).await.err();
    refused.map(|rejection| rejection.reason)
}

pub(super) fn token(signer: &Signer, kid: &str) -> String {
    signer.token("ES256", kid, &claims())
}

/// Waits until something happened that only shows from outside.
pub(super) async fn until(mut happened: impl AsyncFnMut() -> bool) {
    while !happened().await {
        tokio::task::yield_now().await;
    }
}

pub(super) async fn reached(readiness: &Readiness) {
    let mut states = readiness.watch();
    let state = states.wait_for(|state| state.awaited.is_empty()).await;
    state.unwrap();
}

/// A name for what a test waits for in the readiness.
pub(super) fn name() -> String {
    format!("keys {ISSUER}")
}

#[tokio::test]
async fn nothing_is_known_before_the_keys_are_there() {
    let provider = Provider::start().await;
    let mut world = World::new();
    let verifier = world.verifier(&[provider.config()]);
    assert!(world.readiness.state().awaited.contains_key(&name()));
    let good = token(&P256, "a");
    assert_eq!(refusal(&verifier, &good).await, Some(Reason::NotReady));
    provider.publish(&[P256.jwk("a")]);
    run(&verifier);
    reached(&world.readiness).await;
    assert_eq!(refusal(&verifier, &good).await, None);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_given_up_on_and_comes_back() {
    let provider = Provider::start().await;
    let mut world = World::new();
    world.keys.startup_timeout = crate::core::units::Span(Duration::from_millis(1));
    let mut neighbour = issuer(&[RSA.jwk("rsa")]);
    neighbour["issuer"] = json!(OTHER);
    let verifier = world.verifier(&[provider.config(), neighbour]);
    run(&verifier);
    reached(&world.readiness).await;
    let (lost, fine) = (
        token(&P256, "a"),
        RSA.token("RS256", "rsa", &with("iss", OTHER)),
    );
    assert_eq!(refusal(&verifier, &lost).await, Some(Reason::NotReady));
    assert_eq!(refusal(&verifier, &fine).await, None);
    let mut states = world.readiness.watch();
    let degraded = states
        .wait_for(|state| state.degraded.contains_key(&name()))
        .await;
    drop(degraded.unwrap());
    provider.publish(&[P256.jwk("a")]);
    verifier.refetch(ISSUER);
    until(async || refusal(&verifier, &lost).await.is_none()).await;
    let recovered = states.wait_for(|state| state.degraded.is_empty()).await;
    drop(recovered.unwrap());
}

#[tokio::test]
async fn a_new_key_works_at_once_and_a_removed_one_no_more() {
    let provider = Provider::start().await;
    provider.publish(&[P256.jwk("a")]);
    let mut world = World::new();
    world.keys.cooldown = crate::core::units::Span::secs(0);
    let verifier = world.verifier(&[provider.config()]);
    run(&verifier);
    reached(&world.readiness).await;
    let (old, new) = (token(&P256, "a"), token(&P256_2, "b"));
    assert_eq!(refusal(&verifier, &old).await, None);
    assert_eq!(refusal(&verifier, &new).await, Some(Reason::UnknownKey));

    provider.publish(&[P256.jwk("a"), P256_2.jwk("b")]);
    assert_eq!(refusal(&verifier, &new).await, None);
    let cached = verifier.verify(Token::new(&old)).await.unwrap();
    let again = verifier.verify(Token::new(&old)).await.unwrap();
    assert!(
        Arc::ptr_eq(&cached, &again),
        "a key that stays keeps its cached tokens"
    );

    provider.publish(&[P256_2.jwk("b")]);
    refusal(&verifier, &token(&P256, "c")).await;
    assert_eq!(refusal(&verifier, &old).await, Some(Reason::UnknownKey));
    assert_eq!(refusal(&verifier, &new).await, None);

    // The name stays and the key changes: what the old one signed is over, cached or not.
    provider.publish(&[P256.jwk("b")]);
    refusal(&verifier, &token(&P256, "c")).await;
    assert_eq!(refusal(&verifier, &new).await, Some(Reason::BadSignature));
}

#[tokio::test]
async fn good_keys_go_on_while_the_issuer_fails_until_they_are_too_old() {
    let provider = Provider::start().await;
    provider.publish(&[P256.jwk("a")]);
    let mut world = World::new();
    world.keys.cooldown = crate::core::units::Span::secs(0);
    let mut config = provider.config();
    config["max_token_lifetime"] = json!("48h");
    let verifier = world.verifier(&[config]);
    run(&verifier);
    reached(&world.readiness).await;
    let long = P256.token("ES256", "a", &with("exp", NOW + 40 * 3600));
    assert_eq!(refusal(&verifier, &long).await, None);
    for broken in ["", "{}", "{\"keys\":{}}", "<html>"] {
        provider.on("/keys", Answer::Text(broken.to_owned()));
        let unknown = token(&P256, "unknown");
        let reason = refusal(&verifier, &unknown).await;
        assert_eq!(reason, Some(Reason::KeysUnavailable), "{broken}");
        assert_eq!(refusal(&verifier, &long).await, None, "{broken}");
    }
    provider.fail();
    let last = UnixMillis::from_seconds(NOW).plus(HOUR * 24).0 - 1;
    world.clock.set(UnixMillis(last));
    assert_eq!(refusal(&verifier, &long).await, None);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(
        refusal(&verifier, &long).await,
        Some(Reason::NotReady),
        "cached as it is"
    );
    provider.publish(&[P256.jwk("a")]);
    until(async || refusal(&verifier, &long).await.is_none()).await;
}

#[tokio::test]
async fn the_last_good_keys_survive_a_restart_but_not_their_age() {
    let provider = Provider::start().await;
    provider.publish(&[P256.jwk("a")]);
    let mut world = World::new();
    let verifier = world.verifier(&[provider.config()]);
    run(&verifier);
    let keep = Arc::clone(&world.keep);
    let kept = || keep.load(crate::core::kv::Kind::KeySet, ISSUER).unwrap();
    until(async || kept().is_some()).await;
    provider.fail();

    let restart = |keep: &Arc<dyn KeyValueStore>, age: Duration, config: &Value| {
        let mut world = World::new();
        world.keep = Arc::clone(keep);
        world.clock.advance(age);
        let verifier = world.verifier(std::slice::from_ref(config));
        (
            verifier,
            world.readiness.state().awaited.contains_key(&name()),
        )
    };
    let good = token(&P256, "a");
    let (verifier, awaited) = restart(&keep, Duration::ZERO, &provider.config());
    assert_eq!((refusal(&verifier, &good).await, awaited), (None, false));
    let (verifier, awaited) = restart(&keep, HOUR * 24, &provider.config());
    assert_eq!(
        (refusal(&verifier, &good).await, awaited),
        (Some(Reason::NotReady), true)
    );
    let mut moved = provider.config();
    moved["jwks"]["uri"] = json!("https://id.example.com/elsewhere");
    let (verifier, awaited) = restart(&keep, Duration::ZERO, &moved);
    assert_eq!(
        (refusal(&verifier, &good).await, awaited),
        (Some(Reason::NotReady), true)
    );
    for nonsense in [
        &b"{"[..],
        b"\xff",
        br#"{"origin":"x","fetched_at":0,"set":"{}"}"#,
    ] {
        keep.save(crate::core::kv::Kind::KeySet, ISSUER, nonsense)
            .unwrap();
        let (_, awaited) = restart(&keep, Duration::ZERO, &provider.config());
        assert!(awaited);
    }
}

#[tokio::test]
async fn discovery_asks_both_documents_and_believes_only_the_issuer_itself() {
    let provider = Provider::start().await;
    provider.publish(&[P256.jwk("a")]);
    let tenant = format!("{}/tenant", provider.base);
    let metadata = |issuer: &str| {
        let jwks_uri = format!("{}/keys", provider.base);
        Answer::Text(json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string())
    };
    let mut config = provider.config();
    config["issuer"] = json!(tenant);
    config["jwks"] = json!({"discovery": true});
    let token = P256.token("ES256", "a", &with("iss", tenant.as_str()));
    let oidc = "/tenant/.well-known/openid-configuration";
    let oauth = "/.well-known/oauth-authorization-server/tenant";
    let impostor = format!("{tenant}/");
    for (path, issuer, reason) in [
        (oidc, &tenant, None),
        (oauth, &tenant, None),
        (oidc, &impostor, Some(Reason::NotReady)),
    ] {
        provider
            .answers
            .lock()
            .unwrap()
            .retain(|path, _| path == "/keys");
        provider.on(path, metadata(issuer));
        let mut world = World::new();
        world.keys.startup_timeout = crate::core::units::Span::secs(3600);
        let verifier = world.verifier(std::slice::from_ref(&config));
        run(&verifier);
        let mut states = world.readiness.watch();
        let settled = states
            .wait_for(|state| state.awaited.is_empty() || !state.degraded.is_empty())
            .await;
        let complaints = format!("{:?}", settled.unwrap().degraded);
        assert_eq!(refusal(&verifier, &token).await, reason, "{path} {issuer}");
        if issuer != &tenant {
            let both = complaints.contains(issuer) && complaints.contains(&tenant);
            assert!(both, "{complaints}");
        }
    }
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes_and_a_bad_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let mut config = issuer(&[]);
    config["jwks"] = json!({"file": path});
    let mut world = World::new();
    world.keys.cooldown = crate::core::units::Span::secs(0);
    let verifier = world.verifier(&[config]);
    run(&verifier);
    let write = |keys: &[Value]| {
        std::fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
    };
    write(&[P256.jwk("a")]);
    verifier.refetch(ISSUER);
    reached(&world.readiness).await;
    let (old, new) = (token(&P256, "a"), token(&P256_2, "b"));
    assert_eq!(refusal(&verifier, &old).await, None);
    std::fs::write(&path, "{\"keys\":[").unwrap();
    assert_eq!(
        refusal(&verifier, &new).await,
        Some(Reason::KeysUnavailable)
    );
    assert_eq!(refusal(&verifier, &old).await, None);
    write(&[P256_2.jwk("b")]);
    assert_eq!(refusal(&verifier, &new).await, None);
    assert_eq!(refusal(&verifier, &old).await, Some(Reason::UnknownKey));
    world.clock.advance(Duration::from_secs(500));
    assert_eq!(refusal(&verifier, &new).await, None);
}

#[tokio::test]
async fn everything_is_counted_under_the_issuer() {
    let provider = Provider::start().await;
    provider.publish(&[P256.jwk("a"), json!({"kty": "oct", "k": "AA"}), json!(1)]);
    let mut world = World::new();
    let verifier = world.verifier(&[provider.config()]);
    run(&verifier);
    reached(&world.readiness).await;
    refusal(&verifier, &token(&P256, "random")).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &world.registry).unwrap();
    for line in [
        "token_cache_misses_total 1",
        "key_fetches_total{issuer=\"https://id.example.com\",result=\"ok\"} 2",
        "key_fetches_total{issuer=\"https://id.example.com\",result=\"error\"} 0",
        "keys_usable{issuer=\"https://id.example.com\"} 1",
        "keys_skipped{issuer=\"https://id.example.com\",reason=\"exposed\"} 1",
        "keys_skipped{issuer=\"https://id.example.com\",reason=\"malformed\"} 1",
        "keys_skipped{issuer=\"https://id.example.com\",reason=\"other_purpose\"} 0",
        "keys_loaded_timestamp_seconds{issuer=\"https://id.example.com\"} 1800000000",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
