//! What the admin API needs of the other parts.

use std::sync::Arc;

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::access::Current;
use super::approvals::Approvals;
use super::configuration::{self, Reload};
use super::credentials::Credentials;
use super::refused::Refused;
use super::shown::{self, Time};
use crate::audit::Audit;
use crate::core::clock::{Clock, UnixMillis};
use crate::core::readiness::Readiness;
use crate::core::reason::Reason;
use crate::core::version;
use crate::gate::Gate;
use crate::revocation::{Monitor, Search, Writer};

/// What the admin API needs of the other parts.
pub struct Api {
    pub credentials: Current<Credentials>,
    pub gate: Current<Gate>,
    pub readiness: Readiness,
    pub reload: Reload,
    pub audit: Audit,
    /// Returns the status that a client gets for a refusal.
    pub status_of: fn(Reason) -> StatusCode,
    pub writer: Writer,
    pub search: Search,
    pub monitor: Monitor,
    pub clock: Clock,
    pub approvals: Approvals,
}

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

    /// Returns the state of this replica.
    pub(super) fn status(&self) -> Status {
        let status = self.monitor.status();
        let horizon = Some(status.horizon).filter(|at| *at > UnixMillis::default());
        Status {
            readiness: self.readiness.state().into(),
            version: version::LONG.as_str(),
            live_revocations: status.live as u64,
            feed_age_seconds: status.feed_age.map(|age| age.as_secs_f64()),
            feed_lag_records: status.feed_lag,
            configuration: self.reload.state.borrow().shown(),
            audit: self.audit.last().map(|last| last.to_string()),
            horizon: horizon.map(Time),
        }
    }
}

/// The state of one replica.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    #[serde(flatten)]
    pub(super) readiness: shown::Readiness,
    pub(super) version: &'static str,
    pub(super) live_revocations: u64,
    /// Since the log last confirmed that no record is missing; `null` before the replay is over.
    pub(super) feed_age_seconds: Option<f64>,
    /// How many records of the log this replica has not applied; `null` when it cannot tell.
    pub(super) feed_lag_records: Option<u64>,
    pub(super) configuration: configuration::Shown,
    /// The number and the hash of the last line of the audit trail; `null` without one.
    pub(super) audit: Option<String>,
    /// Up to when revocations may have been forgotten; `null` if none was.
    pub(super) horizon: Option<Time>,
}
