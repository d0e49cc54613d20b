//! The state of the configuration file, and the settings in use.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use super::refused::Refused;
use super::shown::Time;
use crate::core::clock::UnixMillis;
use crate::core::outline::Outline;

/// Which configuration is in use, and whether the file can be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Counts the configurations that were applied since the start, from 1.
    pub generation: u64,
    /// The SHA-256 of the file that was applied last, in hexadecimal.
    pub hash: String,
    /// The settings of the configuration in use that say `insecure: true`.
    pub insecure: Vec<String>,
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
    /// The settings in use that say `insecure: true`, such as `listen.events`: what crosses the network in the clear.
    pub(super) insecure: Vec<String>,
    /// Why the file cannot be applied; `null` if it is in use.
    pub(super) error: Option<String>,
    /// Since when it cannot be applied.
    pub(super) failing_since: Option<Time>,
}

/// Every setting in use. Secrets, and what came from the environment, are known by digests: the PBKDF2 of
/// `portcullis check-config --against` with the salt.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Settings {
    /// In hexadecimal.
    pub(super) salt: String,
    /// As in the configuration file, with defaults filled in. A hidden value is an object with the members
    /// `$digest` and `$shown`.
    pub(super) settings: Map<String, Value>,
}

/// Returns the settings in use. Takes some ten milliseconds for each secret, once for each configuration.
pub(super) async fn settings(outline: Arc<Outline>) -> Result<Settings, Refused> {
    let published = spawn_blocking(move || outline.published().clone()).await;
    let published = published.map_err(|_| Refused::unavailable("the settings cannot be read"))?;
    Ok(Settings {
        salt: published.salt,
        settings: published.settings.as_object().cloned().unwrap_or_default(),
    })
}

impl Configuration {
    pub(super) fn shown(&self) -> Shown {
        let failure = self.failure.as_ref();
        Shown {
            generation: self.generation,
            hash: self.hash.clone(),
            insecure: self.insecure.clone(),
            error: failure.map(|failure| failure.why.clone()),
            failing_since: failure.map(|failure| Time(failure.since)),
        }
    }
}
