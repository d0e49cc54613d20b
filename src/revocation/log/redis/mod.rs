//! The log on Redis or Valkey: one stream, on the one server that holds it at a time.
//!
//! # What lies there
//! A batch is one entry of the stream `key`, with the fields `r` (the records), `p` (the id of
//! the entry before it) and `x` (when the last of its records may be forgotten). A consumer group
//! of the stream, which nobody reads with, carries the epoch and the id of the newest entry.
//!
//! # What is promised
//! An acknowledged record is as durable as the server is configured, and not more: see
//! `docs/stores/redis.md`.

mod address;
mod append;
mod compact;
mod config;
mod confirm;
mod connection;
mod dial;
mod driver;
mod entry;
mod fault;
mod script;
mod sentinels;
mod session;

use std::sync::Arc;

use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::revocation::retention::Retention;

use super::engine::{Engine, Status};

pub use address::Server;
pub use config::{Config, Sentinel, Tls};
pub use dial::OpenError;
pub use driver::Driver;

/// The log on Redis or Valkey.
pub type Redis = Engine<Driver>;

impl Redis {
    /// Prepares the log. No server is asked yet: one that is down, or must not be used as it is
    /// configured, shows in [`super::Log::append`] and [`super::Log::follow`], which keep trying.
    /// Raises `horizon` as far as any replica's compaction has deleted entries.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn connect(
        config: &Config,
        clock: &Clock,
        retention: &Retention,
        horizon: &Horizon,
    ) -> Result<Self, OpenError> {
        let status = Status::new(clock, retention, horizon);
        Ok(Self::new(Driver::new(config, Arc::clone(&status))?, status))
    }
}
