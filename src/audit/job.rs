//! What the thread that writes is asked to do.

use std::sync::atomic::AtomicU64;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::core::clock::UnixMillis;

/// What may be left out when there is too much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// Refusals because of a revocation.
    Refusals,
    /// What a revocation in shadow would refuse.
    Shadow,
    /// Requests of senders and operators that did not prove who they are.
    Strangers,
}

impl Sampled {
    pub(super) const ALL: [Self; 3] = [Self::Refusals, Self::Shadow, Self::Strangers];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Refusals => "refusals",
            Self::Shadow => "shadow",
            Self::Strangers => "strangers",
        }
    }
}

/// What the chain does not have and has not said yet.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    pub(super) samples: [AtomicU64; Sampled::ALL.len()],
    /// Lines that must not be lost, and that could not be written.
    pub(super) lines: AtomicU64,
}

/// Makes the members of a line, on the thread that writes.
pub(super) type Body = Box<dyn FnOnce() -> Value + Send>;

pub(super) enum Job {
    Line {
        at: UnixMillis,
        kind: &'static str,
        body: Body,
        written: Option<oneshot::Sender<()>>,
        _place: OwnedSemaphorePermit,
    },
    /// Asks whether lines can be written.
    Probe(oneshot::Sender<()>),
    Stop,
}
