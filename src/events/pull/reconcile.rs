//! Asking for events that are pushed as well, in case a push was lost.

use schemars::JsonSchema;
use serde::Deserialize;

use super::http;
use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;

/// Asks the provider for its log of events, because a push may have been lost.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the API is reached.
    pub from: http::Config,
    /// How long to wait after an answer without events. From 1s to 1h.
    #[serde(default = "default_every")]
    pub every: Span,
}

fn default_every() -> Span {
    Span::secs(10)
}

impl Config {
    /// Reports what is wrong, with the options of the format as the current place.
    pub(in crate::events) fn check(&self, errors: &mut ConfigErrors) {
        errors.within("reconcile", |errors| {
            errors.within("from", |errors| self.from.check(errors));
            errors.range("every", self.every, Span::secs(1)..=Span::secs(3600));
        });
    }
}
