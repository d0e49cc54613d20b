//! A gate of one configuration without its surroundings: keys of its own in place of the issuers',
//! revocations that a case lists, no network.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::core::kv::InMemory;
use crate::core::lifetime::{Bounds, Change, Current, History};
use crate::core::readiness::Readiness;
use crate::core::token;
use crate::gate::{self, Gate};
use crate::revocation::{Action, Draft, Reader, Target, Terms};
use crate::verify::{self, IssuerConfig, Verifier};

const KEY: &str = "test";

/// What all cases of a run share.
pub(super) struct Bench<'c> {
    config: &'c Config,
    gate: Gate,
    key: EcdsaKeyPair,
    clock: Clock,
}

impl<'c> Bench<'c> {
    /// Builds the gate. Reads no key set and no secret.
    ///
    /// # Errors
    /// Why it cannot be built, for people.
    pub(super) async fn new(config: &'c Config) -> Result<Self, String> {
        let clock = Clock::system();
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| "cannot make a key".to_owned())?;
        let (mut registry, readiness) = (Registry::default(), Readiness::default());
        let parts = verify::Parts {
            keys: config.keys.clone(),
            lifetimes: lifetimes(config, &clock),
            keep: Arc::new(InMemory::default()),
            clock: clock.clone(),
            readiness: readiness.clone(),
            horizon: Horizon::default(),
            metrics: verify::Metrics::register(&mut registry),
        };
        let keys = jwks(&key);
        let issuers = config.issuers.iter();
        let issuers: Vec<_> = issuers
            .map(|issuer| issuer.with_keys(keys.clone()))
            .collect();
        let shared = verify::Shared::new(&config.cache, parts);
        let verifier = Verifier::new(&issuers, &shared);
        let verifier = verifier.map_err(|errors| errors.messages().join("; "))?;
        readiness.reached().await;
        let gate = Gate {
            readiness,
            policy: config.policy.clone(),
            sources: token::Sources::new(&config.token),
            client_ip: config.client_ip.clone(),
            verifier: Arc::new(verifier),
            revocations: Reader::of(&[], &config.revocations, &config.lifetimes(), &clock)?,
            metrics: Arc::new(gate::Metrics::register(&mut registry)),
            recent: Arc::new(gate::Recent::register(16, clock.clone(), &mut registry)),
            sessions: Arc::default(),
        };
        Ok(Self {
            config,
            gate,
            key,
            clock,
        })
    }

    /// Returns a gate that knows these revocations of an issuer alone, each by the claims that it matches.
    ///
    /// # Errors
    /// If they match on too many sets of claims.
    pub(super) fn gate(
        &self,
        issuer: &str,
        revoked: &[BTreeMap<String, String>],
    ) -> Result<Gate, String> {
        if revoked.is_empty() {
            return Ok(self.gate.clone());
        }
        let now = self.clock.now();
        let terms = Terms {
            longest_life: Duration::from_hours(24 * 366),
            leeway: Duration::ZERO,
            not_before: now,
        };
        let records = revoked.iter().enumerate().map(|(i, matches)| {
            let draft = Draft {
                id: i.to_string(),
                target: Target {
                    issuer: issuer.to_owned(),
                    matches: matches.clone(),
                },
                action: Action::Revoke,
                issued_at_or_before: None,
                expires_at_or_before: None,
                occurred_at: now,
                source: "test".to_owned(),
                cause: "test".to_owned(),
            };
            draft.receive(now, &terms)
        });
        let records: Vec<_> = records.collect();
        let (revocations, issuers) = (&self.config.revocations, self.config.lifetimes());
        Ok(Gate {
            revocations: Reader::of(&records, revocations, &issuers, &self.clock)?,
            ..self.gate.clone()
        })
    }

    /// Returns a signed token with these claims, and its issuer.
    ///
    /// # Errors
    /// Why there can be no such token.
    pub(super) fn token(&self, claims: &Map<String, Value>) -> Result<(String, String), String> {
        let issuers = &self.config.issuers;
        let issuer = match claims.get("iss").and_then(Value::as_str) {
            Some(issuer) => issuer.to_owned(),
            None => issuers
                .first()
                .map(|issuer| issuer.issuer.clone())
                .unwrap_or_default(),
        };
        let entry = issuers.iter().find(|entry| entry.names().contains(&issuer));
        let now = self.clock.now().seconds();
        let mut all = usual(&issuer, entry, now);
        for (name, value) in claims {
            match timed(value, now)? {
                Value::Null => drop(all.remove(name)),
                value => drop(all.insert(name.clone(), value)),
            }
        }
        let mut header = json!({ "alg": "ES256", "kid": KEY });
        if let Some(typ) = entry.and_then(IssuerConfig::usual_type) {
            header["typ"] = typ.into();
        }
        let part = |value: &[u8]| URL_SAFE_NO_PAD.encode(value);
        let payload = Value::Object(all).to_string();
        let signed = format!(
            "{}.{}",
            part(header.to_string().as_bytes()),
            part(payload.as_bytes())
        );
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| "cannot sign a token".to_owned())?;
        Ok((format!("{signed}.{}", part(signature.as_ref())), issuer))
    }
}

/// Returns the claims that every good token has.
fn usual(issuer: &str, entry: Option<&IssuerConfig>, now: u64) -> Map<String, Value> {
    let audience = entry.and_then(|entry| entry.audiences.first());
    let life = entry.map_or(300, |entry| entry.max_token_lifetime.0.as_secs().min(300));
    let claims = json!({
        "iss": issuer,
        "aud": audience.map_or("any", String::as_str),
        "sub": "alice",
        "iat": now,
        "exp": now + life,
        "jti": "test",
    });
    claims.as_object().cloned().unwrap_or_default()
}

/// Reads `now-10m` and `now+1h` as seconds since the epoch.
fn timed(value: &Value, now: u64) -> Result<Value, String> {
    let Some(rest) = value.as_str().and_then(|text| text.strip_prefix("now")) else {
        return Ok(value.clone());
    };
    if rest.is_empty() {
        return Ok(now.into());
    }
    let Some((sign, span)) = rest.split_at_checked(1) else {
        return Ok(value.clone());
    };
    if !matches!(sign, "+" | "-") {
        return Ok(value.clone());
    }
    let span = humantime::parse_duration(span)
        .map_err(|_| format!("{value} is no time; write it like now-10m"))?;
    let span = span.as_secs();
    Ok(match sign {
        "+" => now.saturating_add(span).into(),
        _ => now.saturating_sub(span).into(),
    })
}

fn jwks(key: &EcdsaKeyPair) -> Value {
    // An uncompressed point: a byte, then both coordinates (SEC 1 §2.3.3).
    let point = &key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
    json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": KEY, "alg": "ES256", "x": x, "y": y }] })
}

fn lifetimes(config: &Config, clock: &Clock) -> HashMap<String, Current> {
    let issuers = config.lifetimes().into_iter();
    let lifetimes = issuers.filter_map(|issuer| {
        let mut history = History::default();
        history.add(Change {
            at: clock.now(),
            bounds: Bounds::new(issuer.longest_life(), issuer.leeway),
        });
        Some((issuer.issuer, Current::new(history.lifetimes()?)))
    });
    lifetimes.collect()
}
