//! `private_key_jwt`: a client proves itself by a token that it signs (RFC 7521 §4.2, RFC 7523 §3).

use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde::Deserialize;

use crate::core::clock::{Clock, UnixMillis};
use crate::verify::FixedKeys;

/// The `client_assertion_type` of RFC 7523 §2.2.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far ahead a token may end, and the client's clock may be. A used token is remembered for as long.
const LONGEST: Duration = Duration::from_mins(10);
const LEEWAY: Duration = Duration::from_mins(1);

/// Tokens that were used, so that nobody uses one again. Some megabytes at most: then the oldest are forgotten.
pub struct Used(Cache<[u8; 32], ()>);

const MOST_USED: u64 = 50_000;

impl Default for Used {
    fn default() -> Self {
        Self::with_room_for(MOST_USED)
    }
}

impl Used {
    fn with_room_for(most: u64) -> Self {
        let cache = Cache::builder().max_capacity(most);
        // The default policy of a full cache turns away what is new.
        let cache = cache.eviction_policy(EvictionPolicy::lru());
        Self(cache.time_to_live(LONGEST + LEEWAY * 2).build())
    }

    /// Returns whether a token with this name is used for the first time.
    fn is_first(&self, name: [u8; 32]) -> bool {
        self.0.entry(name).or_insert(()).is_fresh()
    }
}

/// The claims that count (RFC 7523 §3).
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Returns the client that an assertion claims to be of. Nothing in it is verified.
pub(super) fn claimed(assertion: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let payload = assertion.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Subject = serde_json::from_slice(&payload).ok()?;
    Some(claims.sub)
}

/// Returns whether an assertion is the client's, is for one of `audiences`, holds now and was not used before.
pub(super) fn holds(
    assertion: &str,
    id: &str,
    keys: &FixedKeys,
    audiences: &[String],
    (clock, used): (&Clock, &Used),
) -> bool {
    let Some(payload) = keys.open(assertion) else {
        return false;
    };
    let Ok(claims) = serde_json::from_slice::<Claims>(&payload) else {
        return false;
    };
    let is_for_us = match &claims.aud {
        Audience::One(one) => audiences.contains(one),
        Audience::Many(many) => many.iter().any(|one| audiences.contains(one)),
    };
    let now = clock.now();
    let is_now = claims.exp > seconds(now.minus(LEEWAY))
        && claims.exp <= seconds(now.plus(LONGEST + LEEWAY))
        && claims
            .nbf
            .is_none_or(|begins| begins <= seconds(now.plus(LEEWAY)));
    let is_named = claims.iss == id && claims.sub == id && !claims.jti.is_empty();
    if !(is_for_us && is_now && is_named) {
        return false;
    }
    // The signature may differ each time, and a `jti` belongs to its client.
    let name = digest::digest(&SHA256, format!("{id}\n{}", claims.jti).as_bytes());
    let name = name.as_ref().first_chunk().copied();
    name.is_some_and(|name| used.is_first(name))
}

#[expect(clippy::cast_precision_loss, reason = "seconds of this millennium fit")]
fn seconds(at: UnixMillis) -> f64 {
    at.seconds() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_assertion_is_not_taken_twice_however_many_were_used_before() {
        let used = Used::with_room_for(10);
        for number in 0..100 {
            let mut name = [0; 32];
            name[0] = number;
            assert!(used.is_first(name), "{number}");
            used.0.run_pending_tasks();
            assert!(!used.is_first(name), "{number}");
        }
    }
}
