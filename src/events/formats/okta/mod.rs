//! Okta's event hooks, and the System Log, which has the same events.
//!
//! One delivery may hold several events, in any order. The user of an event is its target and never
//! its actor, who may be an administrator; only of a session that a user ended, which may have no
//! target, the actor is the user.

mod config;
mod kind;
mod mapping;
mod members;
mod system_log;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use crate::core::config_error::ConfigErrors;
use crate::events::answer::Handshake;
use crate::events::auth::Proof;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};
use crate::events::pull::ask::Ask;

pub use config::{Config, User};
pub use kind::Kind;

/// The longest challenge that is answered.
const LONGEST_CHALLENGE: usize = 1024;

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        if let Some(reconcile) = &self.reconcile {
            reconcile.check(errors);
        }
    }

    /// Okta waits 3 s.
    fn patience(&self) -> Duration {
        Duration::from_millis(2500)
    }

    fn proof(&self) -> Proof {
        Proof::Headers(None)
    }

    /// Okta asks once, with `GET`, whether this address is ours.
    fn handshake(&self, request: &Request<Body>) -> Option<Handshake> {
        let challenge = request.headers().get("x-okta-verification-challenge")?;
        let challenge = challenge
            .to_str()
            .ok()
            .filter(|_| request.method() == Method::GET)?;
        (challenge.len() <= LONGEST_CHALLENGE).then(|| Handshake {
            content_type: "application/json",
            body: json!({ "verification": challenge }).to_string(),
        })
    }

    fn is_asked(&self) -> bool {
        self.reconcile.is_some()
    }

    fn asker(&self) -> Result<Option<Box<dyn Ask>>, String> {
        let asker = self.reconcile.as_deref().map(system_log::Asker::build);
        let asker = asker.transpose();
        let asker = asker.map_err(|why| format!("okta.reconcile.from.{why}"))?;
        Ok(asker.map(|asker| Box::new(asker) as _))
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery.body(), origin)
    }
}
