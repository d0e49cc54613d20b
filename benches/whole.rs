//! A whole gate in this process, as the server builds it: real keys, a real log, live revocations
//! in four shapes. For the benches, and for the test that counts allocations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use portcullis::assertion::Keys;
use portcullis::core::clock::Clock;
use portcullis::core::kv::InMemory;
use portcullis::core::readiness::Readiness;
use portcullis::core::request::Request;
use portcullis::doors::{Answers, Check, Doors, ext_authz, serve};
use portcullis::gate::{self, Answered, Decision, Gate};
use portcullis::policy::Policy;
use portcullis::revocation::log::{self, embedded};
use portcullis::revocation::{Action, Draft, Issuer, Target};
use portcullis::verify::Verifier;
use portcullis::{core::token, revocation, verify};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::keys::SigningKey;

pub(crate) const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "shop-api";

/// The call of `Check` as Envoy makes it: a framed message, as one frame of HTTP/2.
pub(crate) type Call = http::Request<Full<Bytes>>;

/// The part of a configuration that checks need.
pub(crate) struct Generation {
    pub(crate) gate: Gate,
    pub(crate) answers: Answers,
}

impl Check for Generation {
    async fn check(&self, request: &Request<'_>) -> Decision {
        self.gate.check(request).await
    }

    fn count(&self, answered: &Answered<'_, '_>, took: Duration) {
        self.gate.count(answered, took);
    }

    fn answers(&self) -> &Answers {
        &self.answers
    }
}

/// Everything between a call and its answer, except HTTP/2.
pub(crate) struct Whole {
    pub(crate) generation: Arc<Generation>,
    pub(crate) runtime: Runtime,
    doors: Arc<Doors<Generation>>,
    _directory: TempDir,
}

impl Whole {
    /// Ready: the log is replayed, the keys are loaded. `live` revocations match no token of
    /// [`token()`].
    pub(crate) fn new(keys: &[&SigningKey], live: usize) -> Self {
        Self::with(keys, live, &json!({}), Policy::default())
    }

    /// The same with these settings of the token cache and these rules.
    pub(crate) fn with(keys: &[&SigningKey], live: usize, cache: &Value, policy: Policy) -> Self {
        Self::answering(keys, live, cache, policy, &json!({}))
    }

    /// The same with these settings of `answer`.
    pub(crate) fn answering(
        keys: &[&SigningKey],
        live: usize,
        cache: &Value,
        policy: Policy,
        answer: &Value,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let directory = TempDir::new().expect("a directory can be made");
        let mut gate = runtime.block_on(gate(&directory, keys, live, cache));
        gate.policy = policy;
        let answer = config(answer);
        let answers = Answers::new(&answer, token::Sources::default());
        let asserts = answer.assertion.as_ref();
        let signing = asserts.map(|asserts| {
            let store = Arc::<InMemory>::default();
            Keys::open(asserts, store, Clock::system()).expect("a key can be made")
        });
        let answers = answers.asserting(&answer, signing);
        let generation = Arc::new(Generation { gate, answers });
        let doors = Doors::new(
            Arc::new(ArcSwap::new(Arc::clone(&generation))),
            &serve::Config::default(),
            Readiness::default(),
            &mut Registry::default(),
        );
        Self {
            generation,
            runtime,
            doors,
            _directory: directory,
        }
    }

    /// Makes a call with a framed message.
    pub(crate) fn call(framed: Vec<u8>) -> Call {
        http::Request::post(ext_authz::CHECK)
            .body(Full::from(framed))
            .expect("a good path")
    }

    /// Answers a call, and returns the framed message of the answer.
    pub(crate) async fn check(&self, call: Call) -> Bytes {
        let mut body = ext_authz::call(&self.doors, call).await.into_body();
        let mut answer = Bytes::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.expect("nothing breaks off").into_data() {
                answer = data;
            }
        }
        answer
    }
}

fn config<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_str(&value.to_string()).expect("a good configuration")
}

async fn gate(directory: &TempDir, keys: &[&SigningKey], live: usize, cache: &Value) -> Gate {
    let (clock, readiness) = (Clock::system(), Readiness::default());
    let mut registry = Registry::default();
    let mut revocations: revocation::Config = config(&json!({}));
    revocations.store = log::Config::Embedded(embedded::Config {
        path: directory.path().join("data"),
    });
    let issuer = Issuer {
        issuer: ISSUER.to_owned(),
        max_token_lifetime: Duration::from_hours(1),
        leeway: Duration::from_mins(1),
    };
    let parts = revocation::open(
        &revocations,
        &[issuer],
        &clock,
        &readiness,
        Arc::new(revocation::Metrics::register(&mut registry)),
    )
    .expect("the log opens");
    let jwks: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    let issuer = json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "jwks": { "inline": { "keys": jwks } },
    });
    let verify = verify::Parts {
        keys: config(&json!({})),
        lifetimes: parts.lifetimes,
        keep: parts.keep,
        clock: clock.clone(),
        readiness: readiness.clone(),
        horizon: parts.horizon,
        metrics: verify::Metrics::register(&mut registry),
    };
    let shared = verify::Shared::new(&config(cache), verify);
    let verifier = Verifier::new(&[config(&issuer)], &shared).expect("the keys are good");
    tokio::spawn(parts.follower.run(CancellationToken::new()));
    readiness.reached().await;
    for start in (0..live).step_by(1000) {
        let numbers = start..live.min(start + 1000);
        let drafts = numbers.map(|number| draft(number, &clock)).collect();
        parts.writer.record(drafts).await.expect("the log takes it");
    }
    Gate {
        readiness,
        policy: Policy::default(),
        sources: token::Sources::new(&token::Config::default()),
        client_ip: None,
        verifier: Arc::new(verifier),
        revocations: parts.reader,
        metrics: Arc::new(gate::Metrics::register(&mut registry)),
        recent: Arc::new(gate::Recent::register(1024, clock, &mut registry)),
        sessions: Arc::default(),
    }
}

/// The shapes take turns: a user, a user at a client, a session, a token.
pub(crate) fn draft(number: usize, clock: &Clock) -> Draft {
    let user = ("sub".to_owned(), format!("gone-{number}"));
    let client = ("client_id".to_owned(), "storefront".to_owned());
    let matches: BTreeMap<_, _> = match number % 4 {
        0 => [user].into(),
        1 => [user, client].into(),
        2 => [("sid".to_owned(), format!("ended-{number}"))].into(),
        _ => [("jti".to_owned(), format!("{number:032x}"))].into(),
    };
    Draft {
        id: number.to_string(),
        target: Target {
            issuer: ISSUER.to_owned(),
            matches,
        },
        action: Action::Revoke,
        issued_at_or_before: None,
        expires_at_or_before: None,
        occurred_at: clock.now(),
        source: "bench".to_owned(),
        cause: "bench".to_owned(),
    }
}

/// A good token, good for an hour, as identity providers make them.
pub(crate) fn token(key: &SigningKey, number: usize) -> String {
    let now = Clock::system().now().seconds();
    let header = json!({ "alg": key.alg, "typ": "JWT", "kid": key.kid });
    let payload = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": format!("alice-{number}"),
        "iat": now,
        "exp": now + 3600,
        "jti": format!("f{number:031x}"),
        "sid": format!("session-{number:012}"),
        "client_id": "storefront",
        "tid": "acme",
        "scope": "openid profile orders:read orders:write",
        "roles": ["customer", "beta"],
    });
    let part = |value: &Value| super::keys::base64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&payload));
    let signature = super::keys::base64url(&key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}
