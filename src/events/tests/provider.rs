//! Providers whose messages prove themselves: recorded ones, and one that signs what a test wants.

use std::collections::HashMap;
use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::core::horizon::Horizon;
use crate::core::lifetime::{Current, Lifetimes};
use crate::core::readiness::Readiness;
use crate::verify;

/// The time of messages that a test signs, in seconds.
pub(super) const NOW: u64 = 1_800_000_000;

static OURS: LazyLock<EcdsaKeyPair> = LazyLock::new(key_pair);
static STRANGE: LazyLock<EcdsaKeyPair> = LazyLock::new(key_pair);

fn key_pair() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

/// The public half of what [`sign`] uses.
fn jwks() -> Value {
    let (x, y) = OURS.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "ours", "x": x, "y": y }] })
}

/// Signs with the provider's key.
pub(super) fn sign(header: &Value, claims: &Value) -> String {
    sign_with(&OURS, header, claims)
}

/// Signs with another key, under the name of the provider's.
pub(super) fn forge(header: &Value, claims: &Value) -> String {
    sign_with(&STRANGE, header, claims)
}

fn sign_with(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let signed = unsigned(header, claims);
    let tag = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// The signed text of a JWS.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

pub(super) fn header(typ: &str) -> Value {
    json!({ "alg": "ES256", "kid": "ours", "typ": typ })
}

/// Sources as an operator writes them, in JSON.
pub(super) fn source(config: &Value) -> SourceConfig {
    serde_saphyr::from_str(&config.to_string()).unwrap()
}

/// What `check-config` says about a source.
pub(super) fn problems(config: &Value) -> Vec<String> {
    let mut errors = crate::core::config_error::ConfigErrors::new();
    check(&[source(config)], &mut errors);
    errors.messages()
}

/// A receiver of one source, with the keys of [`ISSUER`] at hand.
pub(super) fn door_of(config: &Value) -> Door {
    door_at(config, ISSUER, &jwks(), NOW)
}

/// A receiver of one source at `now` seconds, with these keys of this issuer at hand.
pub(super) fn door_at(config: &Value, issuer: &str, jwks: &Value, now: u64) -> Door {
    let clock = Clock::manual(UnixMillis::from_seconds(now));
    let entry = json!({ "issuer": issuer, "audiences": ["api"], "jwks": { "inline": jwks } });
    let entry: verify::IssuerConfig = serde_saphyr::from_str(&entry.to_string()).unwrap();
    let lifetimes = Current::new(Lifetimes::new(Duration::from_hours(1)));
    let parts = verify::Parts {
        keys: verify::KeysConfig::default(),
        lifetimes: HashMap::from([(issuer.to_owned(), lifetimes)]),
        keep: Arc::new(crate::core::kv::InMemory::default()),
        clock: clock.clone(),
        readiness: Readiness::default(),
        horizon: Horizon::default(),
        metrics: verify::Metrics::register(&mut Registry::default()),
    };
    let shared = verify::Shared::new(&verify::CacheConfig::default(), parts);
    let verifier = Verifier::new(&[entry], &shared);
    let keys = FakeKeys {
        verifier: Some(Arc::new(verifier.unwrap())),
        ..FakeKeys::default()
    };
    let (limits, record) = (ListenerConfig::default(), FakeRecord::default());
    door_with(&source(config), limits, record, keys, clock)
}

/// Makes a request of a recorded one, for another path.
pub(super) fn recorded(http: &str, path: &str) -> Request<Body> {
    let http = http.replace("\r\n", "\n");
    let (head, body) = http.split_once("\n\n").unwrap();
    let mut request = Request::post(path);
    for line in head.lines().skip(1) {
        let (name, value) = line
            .split_once(": ")
            .unwrap_or((line.trim_end_matches(':'), ""));
        request = request.header(name, value);
    }
    request
        .body(Body::from(body.trim_end().to_owned()))
        .unwrap()
}

/// What was recorded: one line per record, without the source and the issuer.
pub(super) fn lines(door: &Door) -> Vec<String> {
    let recorded = door.record.recorded.lock().unwrap();
    let line = |draft: &Draft| {
        let matches = draft.target.matches.iter();
        let matches: Vec<_> = matches
            .map(|(claim, value)| format!("{claim}={value}"))
            .collect();
        let until = draft.issued_at_or_before;
        let until = until.map_or("-".to_owned(), |until| until.0.to_string());
        format!(
            "{:?} {} until {until} {}",
            draft.action,
            matches.join(" "),
            draft.cause
        )
    };
    recorded.iter().map(line).collect()
}
