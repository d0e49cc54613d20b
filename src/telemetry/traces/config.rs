//! What an operator writes about traces.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;
use crate::net::safe_url;

/// Where spans go, by OTLP over HTTP in protobuf, and which requests have one.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of a collector, with its path: `http://127.0.0.1:4318/v1/traces`. https, or http to this very
    /// machine.
    pub endpoint: String,
    /// A check or an event that takes this long has a span in any case.
    #[serde(default = "slow")]
    pub slow: Span,
    /// One in so many of the requests that come without a `traceparent` has a span; 0: none. With a
    /// `traceparent` its sampled flag decides.
    #[serde(default)]
    pub one_in: u32,
    /// `service.name` of the spans.
    #[serde(default = "service")]
    pub service: String,
    /// A file that holds a bearer token for the collector. This file and the next are read again when they
    /// change.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// The authorities that may vouch for the collector, as PEM certificates in a file, in place of those that
    /// the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Allow plain http to other machines. Each start warns of it.
    #[serde(default)]
    pub insecure: bool,
}

const fn slow() -> Span {
    Span(std::time::Duration::from_millis(100))
}

fn service() -> String {
    "portcullis".to_owned()
}

impl Config {
    /// Reports every mistake, with `traces` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if let Err(why) = safe_url(&self.endpoint, self.insecure) {
            errors.push("endpoint", why);
        }
        if self.service.is_empty() {
            errors.push("service", "must not be empty");
        }
    }
}
