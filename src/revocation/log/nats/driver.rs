//! What appends and followers have in common.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use async_nats::Client;
use async_nats::jetstream;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::revocation::log::engine::{Fault, OpenError, Status};
use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::config::Config;
use super::link::{self, Link};

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
    /// Appends that wait, for the task that the first one starts.
    pub(super) queue: OnceLock<mpsc::UnboundedSender<Member>>,
    /// How often nobody answered since a follower was last in sync.
    silences: AtomicU32,
}

/// Remembers earlier checks of the stream, so that nothing is logged twice.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) said: Vec<String>,
    pub(super) hinted: bool,
    pub(super) probed: Option<Instant>,
}

/// One append that waits for its turn.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) records: Vec<Arc<Revocation>>,
    pub(super) reply: oneshot::Sender<Result<Cursor, AppendError>>,
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
            queue: OnceLock::new(),
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
