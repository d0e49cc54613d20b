//! Which other replicas there are, as configured.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::net::safe_url;

/// The most replicas that are asked.
const MOST: usize = 64;

/// The replicas whose state `GET /v1/replicas` shows beside that of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicasConfig {
    /// The addresses of their admin listeners, such as `https://portcullis-1.internal:9194`; at most 64. The
    /// address of this replica may be among them, so that all replicas can have the same file.
    pub urls: Vec<String>,
    /// The file with the secret of a credential that they admit. The role `read` is enough.
    pub credentials_file: Option<PathBuf>,
    /// A PEM file with the authorities that may vouch for them, in place of those of the system.
    pub ca_file: Option<PathBuf>,
    /// Allow plain http to other machines. Whoever can read that traffic gets the secret, so each start
    /// warns of it.
    pub insecure: bool,
}

impl ReplicasConfig {
    /// Reports what is wrong, with `replicas` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.urls.len() > MOST {
            errors.push("urls", format!("must be at most {MOST}"));
        }
        errors.each("urls", &self.urls, |errors, url| {
            if let Err(why) = safe_url(url, self.insecure) {
                errors.push("", why);
            }
        });
        if !self.urls.is_empty() && self.credentials_file.is_none() {
            errors.push(
                "credentials_file",
                "is missing; name the file with the secret of a credential of the role read",
            );
        }
    }
}
