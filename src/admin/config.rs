//! Who may use the admin API, as configured.

use std::collections::BTreeSet;

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
    /// Whether the web console is served at `/console/` on `listen.admin`, if there are credentials.
    #[serde(default)]
    pub console: Console,

    /// The latest decisions, which `GET /v1/decisions` shows.
    #[serde(default)]
    pub decisions: DecisionsConfig,
}

/// Whether the web console is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Console {
    #[default]
    On,
    Off,
}

/// How many decisions are kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionsConfig {
    /// How many refused requests are kept, and how many that passed; at most 100,000. Each takes about one
    /// kilobyte. 0 keeps none.
    pub keep: usize,
}

impl Default for DecisionsConfig {
    fn default() -> Self {
        Self { keep: 1024 }
    }
}

/// The most decisions that are kept.
const MOST_KEPT: usize = 100_000;

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
    /// Also to revoke, to lift and to reload the configuration.
    Write,
}

impl Role {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The fewest bytes of a secret.
const SHORTEST: usize = 16;

impl Config {
    /// Reports what is wrong, with `admin` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.decisions.keep > MOST_KEPT {
            errors.push("decisions.keep", format!("must be at most {MOST_KEPT}"));
        }
        let mut names = BTreeSet::new();
        errors.each("credentials", &self.credentials, |errors, credential| {
            if errors.name("name", &credential.name) && !names.insert(credential.name.clone()) {
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

/// Returns what is wrong with a secret, for people.
pub(super) fn check_secret(secret: &Secret) -> Result<(), String> {
    if secret.expose().len() < SHORTEST {
        return Err(format!("the secret must have at least {SHORTEST} bytes"));
    }
    if !secret.fits_header() {
        let message =
            "a header cannot hold this secret: it has control characters, or space around it";
        return Err(message.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(yaml: &str) -> Vec<String> {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let mut errors = ConfigErrors::new();
        config.check(&mut errors);
        errors.messages()
    }

    #[test]
    fn names_are_plain_and_secrets_long_enough() {
        let good = "credentials: [{ name: ops, role: write, secret: 0123456789abcdef }]";
        assert_eq!(mistakes(good), Vec::<String>::new());
        assert_eq!(mistakes("{}"), Vec::<String>::new());
        for (wrong, expected) in [
            (
                "ops, role: read, secret: 0123456789abcde",
                "secret: the secret must have at least 16 bytes",
            ),
            (
                "ops, role: read, secret: [0123456789abcdef, short]",
                "secret: the secret must have",
            ),
            (
                "ops, role: read, secret: \"0123456789abcdef\\n\"",
                "secret: a header cannot hold",
            ),
            (
                "Ops, role: read, secret: 0123456789abcdef",
                "name: must have 1 to 64 characters",
            ),
            (
                "'', role: read, secret: 0123456789abcdef",
                "name: must have 1 to 64 characters",
            ),
        ] {
            let found = mistakes(&format!("credentials: [{{ name: {wrong} }}]"));
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
            let expected = format!("credentials[0].{expected}");
            assert!(found[0].starts_with(&expected), "{wrong}: {found:?}");
        }
        let one = "{ name: ops, role: read, secret: 0123456789abcdef }";
        let twice = mistakes(&format!("credentials: [{one}, {one}]"));
        assert_eq!(
            twice,
            ["credentials[1].name: duplicate credential name \"ops\""]
        );
    }
}
