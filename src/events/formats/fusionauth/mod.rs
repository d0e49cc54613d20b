//! FusionAuth's webhooks.
//!
//! The user of an event is the token's `sub`; the application is the token's `applicationId` or,
//! where it has none, its `aud`. Times are in **milliseconds**, lives of tokens in **seconds**.

mod config;
mod event;
mod event_log;
mod kind;
mod mapping;
mod members;
mod refresh_token;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::core::config_error::ConfigErrors;
use crate::events::auth::{BodyHash, Proof};
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};
use crate::events::pull::ask::Ask;

pub use config::{Config, SessionScope};
pub use kind::Kind;

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        self.check(errors);
    }

    /// Answers before a read time-out of 2 s, which third parties publish in their configurations
    /// of FusionAuth's webhooks.
    fn patience(&self) -> Duration {
        Duration::from_millis(1500)
    }

    fn proof(&self) -> Proof {
        Proof::Headers(Some(BodyHash {
            header: "x-fusionauth-signature-jwt",
            claim: "request_body_sha256",
        }))
    }

    fn is_asked(&self) -> bool {
        self.reconcile.is_some()
    }

    fn asker(&self) -> Result<Option<Box<dyn Ask>>, String> {
        let asker = self.reconcile.as_deref().map(event_log::Asker::build);
        let asker = asker.transpose();
        let asker = asker.map_err(|why| format!("fusionauth.reconcile.from.{why}"))?;
        Ok(asker.map(|asker| Box::new(asker) as _))
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery.body(), origin)
    }
}
