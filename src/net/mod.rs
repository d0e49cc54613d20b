//! Listeners: addresses, one accept loop with limits and time-outs, and connections that close
//! without losing their last answer. And the HTTP client, for requests to providers.

mod address;
mod backoff;
mod client;
mod config;
mod connection;
mod metrics;
mod places;
mod problem;
mod safe_url;
mod serve;
mod tls;

pub use address::{Address, Listener, bind};
pub(crate) use backoff::Backoff;
pub(crate) use client::{
    Access, Clients, Files, authorities, chain, client_basic, read_body, read_file,
};
pub(crate) use config::{Config, open_files};
pub(crate) use connection::Connection;
pub(crate) use metrics::Metrics;
pub(crate) use places::{Places, Seat};
pub(crate) use problem::{PROBLEM, last, problem, uncached};
pub(crate) use safe_url::{safe_url, without_query};
pub(crate) use serve::{Patience, http, http1, serve};
pub(crate) use tls::{Config as TlsConfig, Tls};
