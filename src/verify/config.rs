//! What an operator writes: `issuers:` and `cache:`.

mod issuer;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Source};
use crate::core::units::Bytes;

pub use issuer::{BoundTokens, IssuerConfig, check_issuers};

/// A secret for HMAC. At least as long as the hash: 32, 48 or 64 bytes (RFC 7518 §3.2).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretConfig {
    /// The secret itself, `{ file: PATH }` or `{ env: NAME }`.
    #[serde(default)]
    pub value: Option<Source>,
    /// A file that holds the secret. One line break at the end of text is dropped.
    #[serde(default)]
    pub value_file: Option<PathBuf>,
    /// How the secret is written: `plain`, or `base64` for bytes that are no text.
    #[serde(default)]
    pub encoding: Encoding,
    /// The `kid` of tokens that are signed with it. A token may lack it; another one is refused.
    /// Without this setting the token's `kid` does not matter.
    #[serde(default)]
    pub kid: Option<String>,
}

/// The cache of verified tokens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// The memory that verified tokens may take, with the answers that are kept for them. `0B` turns the cache off.
    pub max_size: Bytes,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_size: Bytes::mib(64),
        }
    }
}

impl SecretConfig {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.value.is_some() == self.value_file.is_some() {
            errors.push("", "give exactly one of value and value_file");
        }
    }
}
