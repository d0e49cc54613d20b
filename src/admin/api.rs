//! What the admin API needs of the other parts.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::access::{Credentials, Current};
use super::configuration::Reload;
use super::refused::Refused;
use super::shown::{readiness, rfc3339};
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
    /// Returns the status that a client gets for a refusal.
    pub status_of: fn(Reason) -> StatusCode,
    pub writer: Writer,
    pub search: Search,
    pub monitor: Monitor,
    pub clock: Clock,
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

    pub(super) fn status(&self) -> Value {
        let status = self.monitor.status();
        let horizon = Some(status.horizon).filter(|at| *at > UnixMillis::default());
        let mut shown = readiness(&self.readiness.state());
        shown["version"] = version::LONG.as_str().into();
        shown["live_revocations"] = status.live.into();
        shown["feed_age_seconds"] = status.feed_age.map(|age| age.as_secs_f64()).into();
        shown["feed_lag_records"] = status.feed_lag.into();
        shown["configuration"] = self.reload.state.borrow().shown();
        shown["horizon"] = horizon.map(rfc3339).into();
        shown
    }
}
