//! What an operator writes: `issuers:` and `cache:`.

mod issuer;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Secret, Sources};
use crate::core::units::Bytes;

pub use issuer::{BoundTokens, IssuerConfig, check_issuers};

/// A secret for HMAC. At least as long as the hash: 32, 48 or 64 bytes (RFC 7518 §3.2). Give `value`
/// or `value_file`; during a rotation give `value` a list of the new one and the old one.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretConfig {
    /// The secret itself, `{ file: PATH }`, `{ env: NAME }`, or a list of up to three of them, each of
    /// which verifies tokens. A file is read again within a second when it changes; tokens of the
    /// replaced secret are refused from then on. A changed file whose secret is too short or cannot be
    /// read changes nothing. A missing or empty file retires its secret, unless it is the last one.
    pub value: Option<Sources>,
    /// Another spelling of `value: { file: … }`.
    pub value_file: Option<PathBuf>,
    /// How the secret is written: `plain`, or `base64` for bytes that are no text.
    #[serde(default)]
    pub encoding: Encoding,
    /// The `kid` of tokens that are signed with it. A token may lack it; another one is refused.
    /// Without this setting the token's `kid` does not matter.
    pub kid: Option<String>,
}

/// The cache of verified tokens.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
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
    /// Reports what is wrong, with `secret` as the current place. `check` judges a decoded secret.
    pub(super) fn check(
        &self,
        check: impl Fn(&Secret) -> Result<(), String>,
        errors: &mut ConfigErrors,
    ) {
        let (given, file) = (self.value.as_ref(), self.value_file.as_ref());
        Sources::check("value", given, file, errors);
        for secret in given.into_iter().flat_map(Sources::inline) {
            let decoded = self.encoding.decode(secret.clone());
            if let Err(why) = decoded.and_then(|secret| check(&secret)) {
                errors.conflict("value", why);
            }
        }
    }
}
