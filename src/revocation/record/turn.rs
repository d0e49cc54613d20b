//! Whose turn it is to ask a provider for events.

use serde::{Deserialize, Serialize};

/// Which process asks a provider for the events of a source, and where its next question begins. All
/// events before the cursor stand before this record in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// A random number of the process.
    pub holder: u64,
    /// Rises each time that another process takes over. Of two that take the same turn, the first in the
    /// log has it.
    pub term: u64,
    /// As the provider says it; `None` before its first answer.
    pub cursor: Option<String>,
}
