//! The events that Keycloak saves, which its admin API tells: what users did, and what administrators did.
//!
//! Keycloak announces most of them to nobody. A body is one event as the API writes it.

mod api;
mod config;
mod kind;
mod mapping;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::core::config_error::ConfigErrors;
use crate::events::auth::Proof;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};
use crate::events::pull::ask::Ask;

pub use config::Config;
pub use kind::Kind;

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        self.check(errors);
    }

    /// Bounds the wait for one record: nobody waits for an answer.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn proof(&self) -> Proof {
        Proof::Asked
    }

    fn is_asked(&self) -> bool {
        true
    }

    fn asker(&self) -> Result<Option<Box<dyn Ask>>, String> {
        let asker = api::Asker::build(self);
        let asker = asker.map_err(|why| format!("keycloak-events.from.{why}"))?;
        Ok(Some(Box::new(asker)))
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery.body(), origin)
    }
}
