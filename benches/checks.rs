//! `checks KIND COUNT` makes that many checks of one kind in this process and prints how much of
//! the processor's time one took. Instruction counts are taken of it too: only [`measured`] is to
//! be counted; everything else is set-up.

#[allow(
    dead_code,
    reason = "shared with the bench's tool, which needs the frame too"
)]
#[path = "kit/body.rs"]
mod body;
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/it/support/keys.rs"]
mod keys;
#[allow(dead_code, reason = "shared with the other benches")]
mod whole;

use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use futures_util::FutureExt;
use keys::{Kind, SigningKey};
use portcullis::policy::Policy;
use prost::Message;
use serde_json::json;
use whole::{Call, Whole, token};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a figure for people, of a count far below 2^52"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().ok_or("which kind of check?")?;
    let count: usize = arguments.next().ok_or("how many checks?")?.parse()?;
    let keys = [
        SigningKey::new(Kind::Es256, "ec-1"),
        SigningKey::new(Kind::Rs256, "rsa-1"),
    ];
    let cache = match kind.as_str() {
        "uncached-rs256" => json!({ "max_size": "0B" }),
        _ => json!({}),
    };
    let policy = match kind.as_str() {
        "policies" => two_hundred_rules(&[]),
        "condition" => two_hundred_rules(&[CONDITION]),
        _ => Policy::default(),
    };
    let answer = match kind.as_str() {
        "assertion" => json!({ "assertion": {
            "issuer": "https://gate.example.com", "audience": "internal", "lifetime": "1h",
        } }),
        _ => json!({}),
    };
    let whole = Whole::answering(&keys.each_ref(), 1000, &cache, policy, &answer);
    let [es256, rs256] = &keys;
    let known = token(es256, 0);
    let calls: Vec<_> = (0..count)
        .map(|number| match kind.as_str() {
            "repeat" | "policies" | "condition" | "assertion" => Ok(known.clone()),
            "first-es256" => Ok(token(es256, number)),
            "first-rs256" | "uncached-rs256" => Ok(token(rs256, number)),
            "garbage" => Ok(format!("garbage-{number:0700}")),
            _ => Err(
                "the kinds are repeat, policies, condition, assertion, first-es256, first-rs256, \
                 uncached-rs256, garbage",
            ),
        })
        .map(|token| token.map(|token| Whole::call(body::framed(&token))))
        .collect::<Result<_, _>>()?;
    let _entered = whole.runtime.enter();
    // What the first check costs once is no part of a check.
    if let Some(call) = calls.first() {
        whole.check(call.clone()).now_or_never();
    }
    let started = on_processor()?;
    for call in calls {
        let answer = measured(&whole, call);
        assert_eq!(passes(&answer), kind != "garbage");
    }
    let each = (on_processor()? - started) / 1000.0 / count.max(1) as f64;
    println!("{kind}: {each:.2} µs");
    Ok(())
}

/// A condition in CEL that the request and the token meet.
const CONDITION: &str = "claims.tid == 'acme' && request.method in ['GET', 'HEAD']";

/// Rules of one host, the last of which matches and has these conditions.
fn two_hundred_rules(conditions: &[&str]) -> Policy {
    let others = (1..200).map(|number| {
        json!({
            "name": format!("service-{number}"),
            "hosts": ["shop.example.com"],
            "prefix": format!("/api/v2/service-{number}"),
            "scopes": [format!("service-{number}")],
        })
    });
    let orders = json!({
        "name": "orders",
        "hosts": ["shop.example.com"],
        "path": "/api/v2/orders/{id}",
        "methods": ["GET", "HEAD"],
        "scopes": ["orders:read"],
        "roles": [{ "claim": "roles", "is": "customer" }],
        "conditions": conditions,
    });
    let config = json!({
        "listen": { "ext_authz": "127.0.0.1:9191" },
        "issuers": [{
            "issuer": "https://id.example.com",
            "any_audience": true,
            "jwks": { "inline": { "keys": [] } },
        }],
        "policies": others.chain([orders]).collect::<Vec<_>>(),
    });
    let config = portcullis::config::parse("rules", config.to_string().as_bytes(), &|_| None);
    config.expect("the rules are sound").policy
}

/// Nanoseconds that this thread has had a processor, which other work disturbs less than it does
/// the time of day.
fn on_processor() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next();
    Ok(first.ok_or("no time")?.parse()?)
}

/// Named to callgrind, so it must stay a function of its own.
#[inline(never)]
fn measured(whole: &Whole, call: Call) -> Bytes {
    let check = pin!(whole.check(call));
    let checked = check.now_or_never();
    checked.expect("a check with known keys waits for nothing")
}

/// Returns whether a framed answer lets the request pass.
fn passes(framed: &[u8]) -> bool {
    let answer = framed.get(5..).map(CheckResponse::decode);
    let answer = answer.expect("a frame").expect("a CheckResponse");
    answer.status.is_some_and(|status| status.code == 0)
}
