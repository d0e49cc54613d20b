//! Who may use the admin API, as configured.

use std::collections::BTreeSet;

use http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Secret, Sources};

/// The source of the records that the admin API makes.
pub const SOURCE: &str = "admin";

/// Who may use the admin API. Without credentials it refuses everybody.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The credentials, each a secret that is sent as `Authorization: Bearer SECRET`.
    #[serde(default)]
    pub credentials: Vec<CredentialConfig>,
}

/// One user of the admin API.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    /// Stands in the cause of its revocations and in log lines. 1 to 64 characters of `a`–`z`, `0`–`9`
    /// and `-`.
    pub name: String,
    /// What it permits.
    pub role: Role,
    /// The secret, of at least 16 bytes. During a rotation a list of the new one and the old one.
    pub secret: Sources,
}

/// What a credential permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To list revocations, to explain decisions and to see the status.
    Read,
    /// Also to revoke and to lift.
    Write,
}

/// The fewest bytes of a secret.
const SHORTEST: usize = 16;

impl Config {
    /// Reports what is wrong, with `admin` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        let mut names = BTreeSet::new();
        errors.each("credentials", &self.credentials, |errors, credential| {
            if !is_name(&credential.name) {
                errors.push("name", "must have 1 to 64 characters of a-z, 0-9 and -");
            } else if !names.insert(credential.name.clone()) {
                let message = format!("duplicate credential name {:?}", credential.name);
                errors.push("name", message);
            }
            Sources::check("secret", Some(&credential.secret), None, errors);
            let mut inline = credential.secret.inline();
            if let Some(message) = inline.find_map(|secret| check_secret(secret).err()) {
                errors.push("secret", message);
            }
        });
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Returns what is wrong with a secret, for people.
pub(super) fn check_secret(secret: &Secret) -> Result<(), String> {
    let bytes = secret.expose();
    if bytes.len() < SHORTEST {
        return Err(format!("the secret must have at least {SHORTEST} bytes"));
    }
    if bytes.trim_ascii() != bytes || HeaderValue::from_bytes(bytes).is_err() {
        let message =
            "a header cannot hold this secret: it has control characters, or space around it";
        return Err(message.to_owned());
    }
    Ok(())
}
