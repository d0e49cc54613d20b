//! Integration tests: one binary, against real proxies and a real Portcullis process.

#![expect(
    clippy::unwrap_used,
    reason = "in a test it says what failed, and where"
)]

#[allow(
    dead_code,
    reason = "shared with the bench's tool, which needs the frame too"
)]
#[path = "../../benches/kit/body.rs"]
mod body;
mod support;
#[allow(dead_code, reason = "shared with the benches")]
#[path = "../../benches/whole.rs"]
mod whole;

use support::keys;

mod admin;
mod allocations;
mod architecture;
mod audit;
mod child;
mod config;
mod console;
mod documents;
mod durability;
mod edge;
mod events;
mod fault;
mod fuzz;
mod harness;
mod insecure;
mod log_contract;
mod monitoring;
mod nats;
mod never_forgets;
mod oauth;
mod oauth_assertion;
mod policy;
mod presets;
mod proxies;
mod redis;
mod reload;
mod reload_issuers;
mod replicas;
mod traces;
mod transfer;
mod world;
