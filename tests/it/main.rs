//! Integration tests: one binary, against real proxies and a real Portcullis process.

mod support;

mod architecture;
mod config;
mod harness;
