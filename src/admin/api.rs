//! What the admin API needs of the other parts.

use std::sync::Arc;

use http::StatusCode;

use super::access::Current;
use super::approvals::Approvals;
use super::configuration::Reload;
use super::credentials::Credentials;
use super::refused::Refused;
use crate::audit::Audit;
use crate::core::clock::{Clock, UnixMillis};
use crate::core::outline::Outline;
use crate::core::readiness::Readiness;
use crate::core::reason::Reason;
use crate::gate::Gate;
use crate::revocation::{Monitor, Search, Writer};

/// What the admin API needs of the other parts.
pub struct Api {
    pub credentials: Current<Credentials>,
    pub gate: Current<Gate>,
    pub readiness: Readiness,
    pub outline: Current<Outline>,
    pub reload: Reload,
    pub audit: Audit,
    /// Returns the status that a client gets for a refusal.
    pub status_of: fn(Reason) -> StatusCode,
    pub writer: Writer,
    pub search: Search,
    pub monitor: Monitor,
    pub sources: Sources,
    pub clock: Clock,
    pub approvals: Approvals,
}

/// Returns when the last event of each source was understood; `None` if none was since the start.
pub type Sources = Box<dyn Fn() -> Vec<(String, Option<UnixMillis>)> + Send + Sync>;

impl Api {
    /// Returns the gate in use.
    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate.load())
    }

    /// Refuses until the log is replayed: before that nobody knows what is revoked.
    pub(super) fn require_ready(&self) -> Result<(), Refused> {
        if self.readiness.knows() {
            return Ok(());
        }
        let why = "Portcullis is not ready yet; GET /readyz says what it waits for";
        Err(Refused::unavailable(why))
    }
}
