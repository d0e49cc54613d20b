//! Any JSON webhook, by rules from its members to the claims of tokens.
//!
//! The first rule whose conditions hold says which tokens are meant. An event that no rule fits is
//! ignored; one that fits a rule but lacks what the rule reads is refused, and never silently so.

mod config;
mod extract;
mod handshake;
mod mapping;
mod moment;
mod path;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::Body;
use http::Request;

use crate::core::config_error::ConfigErrors;
use crate::events::answer;
use crate::events::auth::Proof;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};

pub use config::{Config, CutOff, Pattern, Rule, Value, Word};
pub use handshake::Handshake;
pub use moment::{Moment, Unit};
pub use path::Path;

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        self.check(errors);
    }

    fn claims(&self) -> Vec<&str> {
        let targets = self.rules.iter().flat_map(|rule| rule.target.keys());
        targets.map(String::as_str).collect()
    }

    /// Answers before 3 s, the shortest patience of the known senders without a format of their own.
    fn patience(&self) -> Duration {
        Duration::from_millis(2500)
    }

    fn media_types(&self) -> &'static [&'static str] {
        &[
            "application/json",
            "application/cloudevents+json",
            "text/json",
        ]
    }

    fn proof(&self) -> Proof {
        if self.is_idempotent() {
            Proof::Idempotent
        } else {
            Proof::Headers(None)
        }
    }

    fn handshake(&self, request: &Request<Body>) -> Option<answer::Handshake> {
        self.handshake
            .and_then(|handshake| handshake.answer(request))
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery, origin)
    }
}
