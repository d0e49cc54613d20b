//! What appends, followers and compaction have in common.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::core::clock::UnixMillis;
use crate::revocation::log::engine::{Fault, OpenError, Status};

use super::config::Config;
use super::confirm::Witness;
use super::connection::{Connection, Purpose};
use super::dial::Dialer;
use super::fault::before_use;
use super::script::{Head, OPEN};
use super::sentinels::find_primary;

/// Speaks to the server that holds the stream.
pub struct Driver {
    pub(super) config: Config,
    pub(super) status: Arc<Status>,
    dialer: Arc<Dialer>,
    /// One connection for all appends of this process.
    pub(super) writer: Mutex<Writer>,
}

/// The connection for appends.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) link: Option<Arc<Link>>,
    /// The last attempt to connect failed like this; nobody tries again before then.
    pub(super) resting: Option<(Instant, Fault)>,
}

pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) witness: Witness,
}

impl Driver {
    pub(super) fn new(config: &Config, status: Arc<Status>) -> Result<Self, OpenError> {
        Ok(Self {
            dialer: Arc::new(Dialer::new(config, &status.clock)?),
            config: config.clone(),
            status,
            writer: Mutex::default(),
        })
    }

    /// Connects to the server that holds the log, alone or behind sentinels, and checks it. `silence` is
    /// how long an answer may take on the connection.
    pub(super) async fn connect(
        &self,
        purpose: Purpose,
        silence: Duration,
    ) -> Result<(Connection, Head), Fault> {
        let server = match (&self.config.sentinel, &self.config.server) {
            (Some(at), _) => find_primary(&self.dialer, at).await?,
            (None, Some(server)) => server.clone(),
            (None, None) => return Err(Fault::Down("no server is configured".to_owned())),
        };
        let connection = self.dialer.server(&server, silence).await?;
        let connection = connection.check(&self.config, purpose).await;
        let connection = connection.map_err(before_use)?;
        let head = self.look(&connection, purpose).await?;
        Ok((connection, head))
    }

    /// Finds the log, or starts it. To write, tries all that an append needs and leaves nothing.
    pub(super) async fn look(
        &self,
        connection: &Connection,
        purpose: Purpose,
    ) -> Result<Head, Fault> {
        let mut open = OPEN.key(&self.config.key);
        // Never made: see `open.lua`.
        open.key(self.config.beside("nowhere"));
        open.arg(self.config.candidate()).arg(match purpose {
            Purpose::Write => "write",
            Purpose::Read => "read",
        });
        let (epoch, last, time): (String, String, u64) = connection.call(&open).await?;
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
