//! Listeners: addresses, one accept loop with limits and time-outs for all of them, and how the
//! last answer of a connection reaches its peer.

mod address;
mod backoff;
mod config;
mod connection;
mod metrics;
mod places;
mod problem;
mod serve;

pub use address::{Address, Listener, bind};
pub use backoff::Backoff;
pub use config::{Config, open_files};
pub use connection::Connection;
pub use metrics::Metrics;
pub use places::{Places, Seat};
pub use problem::{PROBLEM, last, problem, uncached};
pub use serve::{Patience, http1, serve};
