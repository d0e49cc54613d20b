//! Secrets: types that print as `***` and compare in constant time.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes that never show in logs, errors or debug output, and are wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Every call is a place where the secret can leak.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Compares in a time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.ct_eq(presented).into()
    }

    /// Reads a secret from a file and drops one trailing line break, which editors add.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn from_file(path: &std::path::Path) -> Result<Self, String> {
        let mut bytes = std::fs::read(path).map_err(|error| {
            format!("the secret file {} cannot be read: {error}", path.display())
        })?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        if bytes.is_empty() {
            return Err(format!("the secret file {} is empty", path.display()));
        }
        Ok(Self::new(bytes))
    }

    /// The one secret of a pair of configuration fields `x` and `x_file`.
    ///
    /// # Errors
    /// When both or neither is given, or the file is unusable.
    pub fn resolve(
        name: &str,
        inline: Option<&Self>,
        file: Option<&PathBuf>,
    ) -> Result<Self, String> {
        match (inline, file) {
            (Some(secret), None) if secret.expose().is_empty() => Err(format!("{name} is empty")),
            (Some(secret), None) => Ok(secret.clone()),
            (None, Some(path)) => Self::from_file(path),
            (Some(_), Some(_)) => Err(format!("give {name} or {name}_file, not both")),
            (None, None) => Err(format!("{name} or {name}_file is missing")),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl schemars::JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "writeOnly": true })
    }
}
