//! The second bar: the server that one would write first, from the same crates.
//!
//! tonic decodes with envoy-types, jsonwebtoken's `decode` verifies with a key from a map, and
//! revocations sit in an unbounded moka cache with an expiry per entry. It does not cache tokens,
//! follow a log or wait until it knows.
//!
//! `obvious serve ADDRESS JWKS LIVE` answers checks on one worker thread, with so many live
//! revocations in the four shapes that `kit fill` writes. `obvious measure LIVE` prints what they
//! take in memory and what a look-up costs.

#![expect(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

mod resident;
mod serving;

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use envoy_types::ext_authz::v3::pb::{Authorization, CheckRequest, CheckResponse};
use envoy_types::ext_authz::v3::{
    CheckRequestExt, CheckResponseExt, DeniedHttpResponseBuilder, OkHttpResponseBuilder,
};
use envoy_types::pb::envoy::r#type::v3::StatusCode;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use moka::Expiry;
use moka::sync::Cache;
use serde::Deserialize;
use tonic::{Request, Response, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "shop-api";
const DAY: Duration = Duration::from_hours(24);
const LOOK_UPS: usize = 200_000;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: u64,
    jti: String,
    sid: String,
    client_id: String,
}

#[derive(Clone)]
struct Revocation {
    /// Seconds; tokens issued later are good.
    issued_at_or_before: u64,
    forget_after: Duration,
}

struct ByEntry;

impl Expiry<String, Revocation> for ByEntry {
    fn expire_after_create(&self, _: &String, held: &Revocation, _: Instant) -> Option<Duration> {
        Some(held.forget_after)
    }

    fn expire_after_update(
        &self,
        _: &String,
        held: &Revocation,
        _: Instant,
        left: Option<Duration>,
    ) -> Option<Duration> {
        left.max(Some(held.forget_after))
    }
}

struct Obvious {
    keys: HashMap<String, (Algorithm, DecodingKey)>,
    revoked: Cache<String, Revocation>,
}

impl Obvious {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what the server that one would write first calls"
    )]
    fn permits(&self, token: &str) -> Option<Claims> {
        let kid = decode_header(token).ok()?.kid?;
        let (algorithm, key) = self.keys.get(&kid)?;
        let mut validation = Validation::new(*algorithm);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        let claims = decode::<Claims>(token, key, &validation).ok()?.claims;
        (!is_revoked(&self.revoked, &claims)).then_some(claims)
    }
}

#[tonic::async_trait]
impl Authorization for Obvious {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner();
        let headers = request.get_client_headers();
        let held = headers.and_then(|headers| headers.get("authorization"));
        let token = held.and_then(|held| held.strip_prefix("Bearer "));
        let mut response = CheckResponse::new();
        if let Some(claims) = token.and_then(|token| self.permits(token)) {
            let mut answer = OkHttpResponseBuilder::new();
            answer
                .add_header("x-portcullis-subject", claims.sub, None, false)
                .add_header("x-portcullis-issuer", ISSUER, None, false)
                .add_header("x-portcullis-client", claims.client_id, None, false);
            response.set_status(Status::ok(""));
            response.set_http_response(answer);
        } else {
            let mut answer = DeniedHttpResponseBuilder::new();
            answer.set_http_status(StatusCode::Unauthorized);
            response.set_status(Status::unauthenticated(""));
            response.set_http_response(answer);
        }
        Ok(Response::new(response))
    }
}

fn is_revoked(revoked: &Cache<String, Revocation>, claims: &Claims) -> bool {
    let keys = [
        format!("sub={}", claims.sub),
        format!("sub={}&client_id={}", claims.sub, claims.client_id),
        format!("sid={}", claims.sid),
        format!("jti={}", claims.jti),
    ];
    let mut found = keys.iter().filter_map(|key| revoked.get(key));
    found.any(|revocation| claims.iat <= revocation.issued_at_or_before)
}

/// The shapes take turns, as in `kit fill`.
fn filled(live: usize) -> Cache<String, Revocation> {
    let revoked = Cache::builder().expire_after(ByEntry).build();
    for number in 0..live {
        let key = match number % 4 {
            0 => format!("sub=gone-{number}"),
            1 => format!("sub=gone-{number}&client_id=storefront"),
            2 => format!("sid=ended-{number:012}"),
            _ => format!("jti={number:032x}"),
        };
        let revocation = Revocation {
            issued_at_or_before: u64::MAX,
            forget_after: DAY,
        };
        revoked.insert(key, revocation);
    }
    revoked.run_pending_tasks();
    revoked
}

fn keys(file: &str) -> Result<HashMap<String, (Algorithm, DecodingKey)>, Box<dyn Error>> {
    let set: JwkSet = serde_json::from_slice(&std::fs::read(file)?)?;
    let mut keys = HashMap::new();
    for jwk in &set.keys {
        let kid = jwk.common.key_id.clone().ok_or("a key has no kid")?;
        let algorithm = jwk.common.key_algorithm.ok_or("a key has no alg")?;
        let algorithm = algorithm.to_string().parse()?;
        keys.insert(kid, (algorithm, DecodingKey::from_jwk(jwk)?));
    }
    Ok(keys)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and times far below 2^52"
)]
fn measure(live: usize) -> Result<(), Box<dyn Error>> {
    let before = resident::bytes()?;
    let revoked = filled(live);
    let bytes = resident::bytes()?.saturating_sub(before);
    let tokens: Vec<Claims> = (0..1024).map(token).collect();
    let started = Instant::now();
    let hits = (0..LOOK_UPS)
        .filter(|i| is_revoked(&revoked, &tokens[i % tokens.len()]))
        .count();
    let nanoseconds = started.elapsed().as_secs_f64() * 1e9 / LOOK_UPS as f64;
    println!(
        "{}",
        serde_json::json!({
            "live": live,
            "resident_bytes_each": bytes as f64 / live.max(1) as f64,
            "look_up_ns": nanoseconds,
            "hits": hits,
        })
    );
    Ok(())
}

/// A token that nothing matches.
fn token(number: usize) -> Claims {
    Claims {
        sub: format!("alice-{number}"),
        iat: 1,
        jti: format!("f{number:031x}"),
        sid: format!("session-{number:012}"),
        client_id: "storefront".to_owned(),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["measure", live] => measure(live.parse()?),
        ["serve", address, jwks, live] => {
            let server = Obvious {
                keys: keys(jwks)?,
                revoked: filled(live.parse()?),
            };
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            runtime.block_on(serving::serve(address, server))
        }
        _ => Err("usage: obvious serve ADDRESS JWKS LIVE | obvious measure LIVE".into()),
    }
}
