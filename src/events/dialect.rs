//! What a format has to say. The receiver asks for it as data and does the work itself.

use std::time::Duration;

use super::auth::BodyHash;
use super::delivery::{Delivery, Verified};
use super::outcome::{Outcome, Rejection};
use crate::core::config_error::ConfigErrors;

/// Where an event comes from, for the records that it leaves.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The configured name of the source.
    pub source: &'a str,
    /// The `iss` of the tokens that it may revoke.
    pub issuer: &'a str,
}

/// The options of one format, and what senders of that format do.
pub(super) trait Dialect: Send + Sync {
    /// Reports what is wrong with the options, with the format as the current place.
    fn check(&self, errors: &mut ConfigErrors);

    /// Returns how long an answer may take by default: less than a sender of this format waits. Most
    /// senders never try again, so a late answer is a lost event.
    fn patience(&self) -> Duration;

    /// Returns where the signature of a body stands.
    fn signature(&self) -> BodyHash;

    /// Maps an event to what has to be done about it.
    ///
    /// # Errors
    /// When nobody can ever understand this body.
    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection>;
}
