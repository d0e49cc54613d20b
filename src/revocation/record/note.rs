//! What an event source keeps in the log for itself.

use serde::{Deserialize, Serialize};

/// Something that an event source has to know again later, on every replica and after a restart, such as
/// a user of its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Its name within the source.
    pub key: String,
    /// Rises with every change. Of two records with the same version the first in the log counts.
    pub version: u64,
    /// What it is found by.
    pub names: Vec<String>,
    /// `None`: there is nothing under this key any more.
    pub text: Option<String>,
}
