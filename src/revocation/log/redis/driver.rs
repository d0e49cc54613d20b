//! The driver: what appends, followers and compaction have in common.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::core::clock::UnixMillis;
use crate::revocation::log::engine::{self, Fault, Progress, Status};
use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::append::Writer;
use super::config::Config;
use super::confirm::Witness;
use super::connection::{Connection, Purpose};
use super::dial::{Dialer, OpenError};
use super::script::{Head, Scripts};
use super::session::{HEARTBEAT, Session};

/// Speaks to the server that holds the stream.
pub struct Driver {
    pub(super) config: Config,
    pub(super) status: Arc<Status>,
    pub(super) dialer: Arc<Dialer>,
    pub(super) scripts: Scripts,
    /// One connection for all appends of this process.
    pub(super) writer: Mutex<Writer>,
}

impl Driver {
    pub(super) fn new(config: &Config, status: Arc<Status>) -> Result<Self, OpenError> {
        Ok(Self {
            dialer: Arc::new(Dialer::new(config, &status.clock)?),
            scripts: Scripts::new(config),
            config: config.clone(),
            status,
            writer: Mutex::default(),
        })
    }

    /// Connects and checks. `silence` is how long an answer may take on the connection.
    pub(super) async fn connect(
        &self,
        purpose: Purpose,
        silence: Duration,
    ) -> Result<(Connection, Head), Fault> {
        let line = self.dialer.primary(silence).await?;
        let connection = line.check(&self.config, purpose).await?;
        let head = self.look(&connection, purpose).await?;
        Ok((connection, head))
    }

    /// Finds the log, or starts it. To write, tries all that an append needs and leaves nothing.
    pub(super) async fn look(
        &self,
        connection: &Connection,
        purpose: Purpose,
    ) -> Result<Head, Fault> {
        let answer: (String, String, u64) = connection.call(&self.scripts.open(purpose)).await?;
        let (epoch, last, time) = answer;
        let allowed = self.config.compact_grace.0 / 2;
        self.status.compare_clocks(UnixMillis(time), allowed);
        Head::read(&epoch, last.as_bytes()).ok_or_else(|| {
            let server = &connection.server;
            Fault::Down(format!("{server}: the log's head cannot be read"))
        })
    }

    pub(super) fn witness(&self, connection: &Connection) -> Witness {
        Witness::of(&self.dialer, &connection.server)
    }
}

impl engine::Driver for Driver {
    type Found = Connection;
    type Session = Session;

    /// The primary itself says where the log ends.
    const BEFORE_BELIEF: u32 = 1;

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
