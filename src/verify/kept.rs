//! Stores the last good key set on disk, so that a restart does not need the issuer.

use serde::{Deserialize, Serialize};

use crate::core::clock::UnixMillis;
use crate::core::kv::{KeyValueStore, Kind};

/// The last good key set of an issuer.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Kept {
    /// Where the set came from. It is used only if the configuration still says so.
    pub origin: String,
    /// Milliseconds since the epoch.
    pub fetched_at: u64,
    /// The JWK set as it was fetched.
    pub set: String,
}

impl Kept {
    /// Loads the set if it is of this origin. One that seems to be from the future counts as fetched
    /// now, so that a clock that stepped back does not make it last longer.
    pub(super) fn load(
        keep: &dyn KeyValueStore,
        issuer: &str,
        origin: &str,
        now: UnixMillis,
    ) -> Result<Option<Self>, String> {
        let bytes = keep
            .load(Kind::KeySet, issuer)
            .map_err(|error| format!("the stored keys cannot be read: {error}"))?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let kept: Self = serde_json::from_slice(&bytes)
            .map_err(|error| format!("the stored keys are malformed: {error}"))?;
        let fetched_at = kept.fetched_at.min(now.0);
        Ok((kept.origin == origin).then_some(Self { fetched_at, ..kept }))
    }

    /// Saves the set. Blocks until it is on disk.
    pub(super) fn save(&self, keep: &dyn KeyValueStore, issuer: &str) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        keep.save(Kind::KeySet, issuer, &bytes)
    }
}
