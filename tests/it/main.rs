//! Integration tests: one binary, against real proxies and a real Portcullis process.

#![expect(
    clippy::unwrap_used,
    reason = "in a test it says what failed, and where"
)]

mod support;

mod architecture;
mod child;
mod config;
mod documents;
mod durability;
mod edge;
mod fault;
mod harness;
mod log_contract;
mod nats;
mod never_forgets;
mod redis;
mod replicas;
mod transfer;
mod world;
