//! HTTP Basic authentication (RFC 7617).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::Deserialize;

use super::proven::only_value;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Live, Secret, Sources};

/// HTTP Basic authentication. Give `password` or `password_file`; during a rotation give `password`
/// a list of the new one and the old one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The user name, without a colon.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Sources>,
    /// Another spelling of `password: { file: … }`.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// The user name and the password.
#[derive(Debug)]
pub(super) struct Basic(Secret, Live);

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.username.is_empty() || self.username.contains([':', '\r', '\n']) {
            errors.push("username", "must not be empty or contain a colon");
        }
        let (given, file) = (self.password.as_ref(), self.password_file.as_ref());
        Sources::check("password", given, file, errors);
    }

    pub(super) fn build(&self) -> Result<Basic, String> {
        let (given, file) = (self.password.as_ref(), self.password_file.as_ref());
        let sources = Sources::of("password", given, file)?;
        let password = Live::read(sources, Encoding::Plain, Box::new(|_| Ok(())))?;
        Ok(Basic(Secret::new(self.username.as_str()), password))
    }
}

impl Basic {
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let presented = presented(headers).unwrap_or_default();
        // RFC 7617 §2: a user name has no colon.
        let colon = presented.iter().position(|byte| *byte == b':');
        colon.is_some_and(|colon| {
            let (name, rest) = presented.split_at(colon);
            self.0.matches(name) & self.1.matches(&rest[1..])
        })
    }
}

fn presented(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = only_value(headers, header::AUTHORIZATION.as_str())?;
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    STANDARD.decode(encoded.trim_ascii()).ok()
}
