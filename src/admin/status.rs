//! Status, for every protocol: the state of this replica.

use super::api::Api;
use super::shown::Time;
use super::state::{Keys, Status};
use crate::core::clock::UnixMillis;
use crate::core::version;

impl Api {
    /// Returns the state of this replica.
    pub(super) fn status(&self) -> Status {
        let status = self.monitor.status();
        let now = self.clock.now();
        let horizon = Some(status.horizon).filter(|at| *at > UnixMillis::default());
        let issuers = self.gate().verifier.keys().into_iter();
        let sources = (self.sources)().into_iter();
        Status {
            readiness: self.readiness.state().into(),
            version: version::LONG.clone(),
            instance: self.monitor.instance(),
            live_revocations: status.live as u64,
            feed_age_seconds: status.feed_age.map(|age| age.as_secs_f64()),
            feed_lag_records: status.feed_lag,
            configuration: self.reload.state.borrow().shown(),
            issuers: issuers
                .map(|keys| Keys {
                    issuer: keys.issuer,
                    usable: keys.usable,
                    age_seconds: keys.loaded_at.map(|at| now.since(at).as_secs()),
                })
                .collect(),
            sources: sources.map(|(name, at)| (name, at.map(Time))).collect(),
            audit: self.audit.last().map(|last| last.to_string()),
            horizon: horizon.map(Time),
        }
    }
}
