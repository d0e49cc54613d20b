//! Where the audit trail is written.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;

/// The audit trail: who revoked what, and who was refused for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that lines are appended to, or `stdout`. A second file beside it, with `.head` behind the
    /// name, notes the last line.
    pub file: PathBuf,

    /// Write the SHA-256 of subjects and of other values of claims instead of the values.
    #[serde(default)]
    pub hash_subjects: bool,
}

impl Config {
    /// Returns the file; `None` for the standard output.
    pub(super) fn path(&self) -> Option<&Path> {
        Some(&*self.file).filter(|file| *file != Path::new("stdout"))
    }

    /// Reports what is wrong, with `audit` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.file.file_name().is_none() {
            errors.push("file", "must name a file, or be stdout");
        }
    }
}
