//! Integration tests: one binary, against real proxies and a real Portcullis process.

mod support;

mod architecture;
mod config;
mod durability;
mod fault;
mod harness;
mod log_contract;
