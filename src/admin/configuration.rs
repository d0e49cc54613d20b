//! The state of the configuration file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::shown::Time;
use crate::core::clock::UnixMillis;

/// Which configuration is in use, and whether the file can be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Counts the configurations that were applied since the start, from 1.
    pub generation: u64,
    /// The SHA-256 of the file that was applied last, in hexadecimal.
    pub hash: String,
    /// `None` if the file is in use.
    pub failure: Option<Failure>,
}

/// Why the file cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub why: String,
    pub since: UnixMillis,
}

/// Asks for the file to be read and applied, and gets the state afterwards.
pub type Question = oneshot::Sender<Configuration>;

/// The configuration as the admin API sees it.
#[derive(Clone, Debug)]
pub struct Reload {
    pub state: watch::Receiver<Configuration>,
    pub ask: mpsc::Sender<Question>,
}

/// The configuration in use, as the API shows it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Configuration")]
pub(super) struct Shown {
    /// Counts the configurations that were applied since the start, from 1.
    pub(super) generation: u64,
    /// The SHA-256 of the file that was applied last, in hexadecimal.
    pub(super) hash: String,
    /// Why the file cannot be applied; `null` if it is in use.
    pub(super) error: Option<String>,
    /// Since when it cannot be applied.
    pub(super) failing_since: Option<Time>,
}

impl Configuration {
    pub(super) fn shown(&self) -> Shown {
        let failure = self.failure.as_ref();
        Shown {
            generation: self.generation,
            hash: self.hash.clone(),
            error: failure.map(|failure| failure.why.clone()),
            failing_since: failure.map(|failure| Time(failure.since)),
        }
    }
}
