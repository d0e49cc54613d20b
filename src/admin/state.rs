//! The state of a replica, as the API shows it and as replicas tell each other.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::configuration;
use super::shown::{self, Time};

/// The state of one replica. Those of other versions may lack some of it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Status {
    #[serde(flatten)]
    pub(super) readiness: shown::Readiness,
    pub(super) version: String,
    /// A random number that stands for the process.
    pub(super) instance: String,
    pub(super) live_revocations: u64,
    /// Since the log last confirmed that no record is missing; `null` before the replay is over.
    pub(super) feed_age_seconds: Option<f64>,
    /// How many records of the log this replica has not applied; `null` when it cannot tell.
    pub(super) feed_lag_records: Option<u64>,
    pub(super) configuration: configuration::Shown,
    /// The keys of each issuer.
    pub(super) issuers: Vec<Keys>,
    /// When this replica last understood an event, by source; `null` if it did not since it started.
    pub(super) sources: BTreeMap<String, Option<Time>>,
    /// The number and the hash of the last line of the audit trail; `null` without one.
    pub(super) audit: Option<String>,
    /// Up to when revocations may have been forgotten; `null` if none was.
    pub(super) horizon: Option<Time>,
}

/// The keys of an issuer.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "IssuerKeys")]
pub(super) struct Keys {
    /// As configured.
    pub(super) issuer: String,
    /// How many keys of the current set can be used.
    pub(super) usable: u64,
    /// The time since the set was loaded from its source; `null` if it never was, or the issuer has a shared
    /// secret.
    pub(super) age_seconds: Option<u64>,
}
