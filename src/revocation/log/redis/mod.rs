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
mod testing;

use std::sync::Arc;

use crate::revocation::record::Revocation;

use super::engine::{self, Engine, Fault, OpenError, Progress, Status};
use super::{AppendError, Cursor};

use connection::{Connection, Purpose};
use session::{HEARTBEAT, Session};

pub use address::Server;
pub use config::{Config, Sentinel, Tls};
pub use driver::Driver;

/// The log on Redis or Valkey.
pub type Redis = Engine<Driver>;

impl engine::Driver for Driver {
    type Config = Config;
    type Found = Connection;
    type Session = Session;

    /// The primary itself says where the log ends.
    const BEFORE_BELIEF: u32 = 1;

    fn new(config: &Config, status: Arc<Status>) -> Result<Self, OpenError> {
        Self::new(config, status)
    }

    async fn append(self: &Arc<Self>, batch: Vec<Arc<Revocation>>) -> Result<Cursor, AppendError> {
        self.write(&batch).await
    }

    async fn probe(&self) -> Result<(), Fault> {
        self.probe_writing().await
    }

    async fn upkeep(&self) {
        self.keep_compacting().await;
    }

    async fn find(&self) -> Result<(Cursor, Connection), Fault> {
        // An answer may take as long as a read waits, and then some.
        let silence = HEARTBEAT + self.config.append_timeout.0;
        let (connection, head) = self.connect(Purpose::Read, silence).await?;
        Ok((head.cursor(), connection))
    }

    async fn open(
        self: &Arc<Self>,
        connection: Connection,
        at: Progress,
    ) -> Result<Session, Fault> {
        Ok(Session::new(Arc::clone(self), connection, at))
    }
}
