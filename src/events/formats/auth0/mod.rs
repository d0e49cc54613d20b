//! Auth0's Event Streams: events about users and organizations, in the form of `CloudEvents` 1.0.
//!
//! Auth0 announces no session and no token there. What it announces and means here: a user deleted or
//! blocked, and a member who left an organization or lost a role in it.

mod config;
mod mapping;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::core::config_error::ConfigErrors;
use crate::events::auth::Proof;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};

pub use config::{Config, Kind};

impl Dialect for Config {
    fn check(&self, _errors: &mut ConfigErrors) {}

    /// Auth0's patience is not documented; most senders wait longer than this.
    fn patience(&self) -> Duration {
        Duration::from_millis(2500)
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/json", "application/cloudevents+json"]
    }

    fn proof(&self) -> Proof {
        Proof::Headers(None)
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery.body(), origin)
    }
}
