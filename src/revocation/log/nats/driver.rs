//! The driver: what appends and followers have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use async_nats::Client;
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{self};
use tokio::sync::{Mutex, watch};

use crate::core::clock::Moment;
use crate::revocation::log::engine::{self, Fault, Progress, Status};
use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::config::Config;
use super::group::Group;
use super::link::{self, Link, OpenError};
use super::position::Position;
use super::session::Session;
use super::stream::{Checked, epoch};

/// After so many silences another server is tried: the one in use may be cut off.
const SILENCES: u32 = 5;

/// Speaks to the servers of a stream.
pub struct Driver {
    pub(super) config: Config,
    pub(super) status: Arc<Status>,
    pub(super) client: Client,
    pub(super) jetstream: jetstream::Context,
    pub(super) link: watch::Receiver<Link>,
    /// The history in use; `None` until the stream was found fit.
    pub(super) epoch: ArcSwapOption<[u8; 16]>,
    pub(super) checked: Mutex<Checked>,
    pub(super) group: Group,
    /// How often nobody answered since a follower was last in sync.
    silences: AtomicU32,
}

impl Driver {
    pub(super) fn new(config: &Config, status: Arc<Status>) -> Result<Self, OpenError> {
        let (client, link) = link::connect(config)?;
        Ok(Self {
            config: config.clone(),
            status,
            jetstream: jetstream::new(client.clone()),
            client,
            link,
            epoch: ArcSwapOption::empty(),
            checked: Mutex::default(),
            group: Group::default(),
            silences: AtomicU32::new(0),
        })
    }

    /// Nobody answered: another server might.
    pub(super) async fn silence(&self, why: &str) -> Fault {
        if self.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES {
            self.silences.store(0, Ordering::Relaxed);
            // An error means that the client has ended, which the next attempt will say.
            let _ = self.client.force_reconnect().await;
        }
        Fault::Down(why.to_owned())
    }

    pub(super) fn is_heard(&self) {
        self.silences.store(0, Ordering::Relaxed);
    }
}

impl engine::Driver for Driver {
    /// The stream, and when it was asked for.
    type Found = (Info, Moment);
    type Session = Session;

    /// A new leader may lag for a moment.
    const BEFORE_BELIEF: u32 = 3;

    async fn append(self: &Arc<Self>, batch: Vec<Arc<Revocation>>) -> Result<Cursor, AppendError> {
        Group::append(self, batch).await
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
