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
mod testing;

use std::sync::Arc;

use async_nats::jetstream::stream::Info;

use crate::core::clock::Moment;
use crate::revocation::record::Revocation;

use super::engine::{self, Engine, Fault, OpenError, Progress, Status};
use super::{AppendError, Cursor};

use position::Position;
use session::Session;
use stream::epoch;

pub use config::{Auth, Config, Tls};
pub use driver::Driver;

/// The log in a JetStream stream.
pub type Nats = Engine<Driver>;

impl engine::Driver for Driver {
    type Config = Config;
    /// The stream, and when it was asked for.
    type Found = (Info, Moment);
    type Session = Session;

    /// A new leader may lag for a moment.
    const BEFORE_BELIEF: u32 = 3;

    fn new(config: &Config, status: Arc<Status>) -> Result<Self, OpenError> {
        Self::new(config, status)
    }

    async fn append(self: &Arc<Self>, batch: Vec<Arc<Revocation>>) -> Result<Cursor, AppendError> {
        group::append(self, batch).await
    }

    async fn probe(&self) -> Result<(), Fault> {
        self.probe_publishing().await
    }

    async fn changed(&self) {
        let mut link = self.link.clone();
        link.mark_unchanged();
        let _ = link.changed().await;
    }

    async fn back(&self) {
        let mut link = self.link.clone();
        if link::broken(&self.client, &link).is_none() {
            return std::future::pending().await;
        }
        while link::broken(&self.client, &link).is_some() {
            if link.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn find(&self) -> Result<(Cursor, Self::Found), Fault> {
        let asked = self.status.clock.moment();
        let info = self.stream().await?;
        let end = Cursor {
            epoch: epoch(&info),
            position: Position::unseen(info.state.last_sequence).to_cursor(),
        };
        Ok((end, (info, asked)))
    }

    /// Another message at our position means that the stream was put back. None may mean that too,
    /// with messages before it that we never saw: all that is left is read again then. That is
    /// little, because what came before is over as well.
    async fn confirms(&self, at: Cursor) -> Result<bool, Fault> {
        let at = Position::of_cursor(at.position);
        if at.sequence == 0 {
            return Ok(true);
        }
        let found = self
            .message(|message| message.sequence(at.sequence))
            .await?;
        Ok(found.is_some_and(|message| at.confirms(&message.payload)))
    }

    async fn open(
        self: &Arc<Self>,
        (info, asked): Self::Found,
        at: Progress,
    ) -> Result<Session, Fault> {
        Session::open(self, at, &info, asked).await
    }
}
