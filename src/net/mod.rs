//! Listeners: addresses, one accept loop with limits and time-outs, and connections that close
//! without losing their last answer.

mod address;
mod backoff;
mod config;
mod connection;
mod metrics;
mod places;
mod problem;
mod serve;
mod tls;

pub use address::{Address, Listener, bind};
pub use backoff::Backoff;
pub use config::{Config, open_files};
pub use connection::Connection;
pub use metrics::Metrics;
pub use places::{Places, Seat};
pub use problem::{PROBLEM, last, problem, uncached};
pub use serve::{Patience, http1, serve};
pub use tls::{Config as TlsConfig, Tls};
