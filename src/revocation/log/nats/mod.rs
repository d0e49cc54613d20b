//! The log on NATS JetStream: one stream that all replicas append to and follow.
//!
//! A message holds what one event says, or several, so an event is kept whole or not at all. It is
//! acknowledged once most of the stream's servers have it; whether that means *on disk* depends on
//! the servers' `sync_interval` (`docs/stores/nats.md`).

mod append;
mod config;
mod driver;
mod durability;
mod group;
mod link;
mod position;
mod session;
mod settings;
mod stream;

use std::sync::Arc;

use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::revocation::retention::Retention;

use super::engine::{Engine, Status};

pub use config::{Auth, Config, Tls};
pub use driver::Driver;
pub use link::OpenError;

/// The log in a JetStream stream.
pub type Nats = Engine<Driver>;

impl Nats {
    /// Begins to connect and returns at once; the servers may be down. Until they are reached,
    /// appends fail as unavailable and followers see [`super::Feed::Lost`]. Raises `horizon` as far
    /// as messages have left the stream. Must be called within a tokio runtime.
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
