//! What happens to requests while the feed of revocations is too old.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to requests when the log has been silent for longer than `max_staleness`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenStale {
    /// They are refused with 503, because a revocation that did not arrive cannot be enforced.
    #[default]
    Deny,
    /// They are judged by the revocations that are known.
    Allow,
}
