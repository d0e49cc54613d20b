//! Okta's event hooks.
//!
//! One delivery may hold several events, in any order. The user of an event is its target and never
//! its actor, who may be an administrator; only of a session that a user ended, which may have no
//! target, the actor is the user.

mod config;
mod kind;
mod mapping;
mod members;
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

pub use config::{Config, User};
pub use kind::Kind;

/// The longest challenge that is answered.
const LONGEST_CHALLENGE: usize = 1024;

impl Dialect for Config {
    fn check(&self, _errors: &mut ConfigErrors) {}

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

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery.body(), origin)
    }
}
