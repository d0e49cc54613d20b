//! Who may use the admin API, as configured.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::peers::ReplicasConfig;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Secret, Sources};
use crate::core::units::Span;

/// The source of the records that the admin API makes.
pub const SOURCE: &str = "admin";

/// Who may use the admin API. Without credentials it refuses everybody.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The credentials: secrets and tokens that are sent as `Authorization: Bearer …`, and certificates of
    /// clients.
    #[serde(default)]
    pub credentials: Vec<CredentialConfig>,
    /// Whether the web console is served at `/console/` on `listen.admin`, if there are credentials.
    #[serde(default)]
    pub console: Console,

    /// Revoking every token of an issuer, a client or an audience takes two people: what one orders, another one
    /// with the role `approve` has to approve. Default: one is enough.
    #[serde(default)]
    pub approval: Option<ApprovalConfig>,

    /// The latest decisions, which `GET /v1/decisions` shows.
    #[serde(default)]
    pub decisions: DecisionsConfig,

    /// The other replicas, which `GET /v1/replicas` asks.
    #[serde(default)]
    pub replicas: ReplicasConfig,
}

/// Whether the web console is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Console {
    #[default]
    On,
    Off,
}

/// Orders that take two people. They wait in the memory of the replica that got them; a restart ends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalConfig {
    /// How long an order waits.
    pub expires_after: Span,
}

impl Default for ApprovalConfig {
    fn default() -> Self {
        Self {
            expires_after: Span::secs(3600),
        }
    }
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

/// One user of the admin API, or all that an issuer vouches for: exactly one of `secret`, `issuer` and
/// `certificates` is given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    /// Stands in the cause of its revocations and in log lines. 1 to 64 characters of `a`–`z`, `0`–`9`
    /// and `-`.
    pub name: String,
    /// What it permits.
    pub role: Role,
    /// A secret of at least 16 bytes. During a rotation a list of the new one and the old one.
    #[serde(default)]
    pub secret: Option<Sources>,
    /// An issuer of `issuers`. Its access tokens are credentials if they would pass a door and have all
    /// `scopes`. A token that is revoked or expired is none.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The scopes that a token of `issuer` must have, in `scope` or `scp`, as an array or separated by
    /// spaces. At least one.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The token must also have one of these audiences. Default: those of the issuer's entry are enough.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Names of which a client's certificate must have one among its subject alternative names: DNS names,
    /// or URIs such as a SPIFFE id, compared exactly. It needs `listen.admin.tls.client_ca`.
    #[serde(default)]
    pub certificates: Vec<String>,
}

/// What a credential permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To list revocations, to explain decisions and to see the status.
    Read,
    /// Also to revoke, to lift and to reload the configuration.
    Write,
    /// Also to approve what another person ordered.
    Approve,
}

impl Role {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Approve => "approve",
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
        errors.within("replicas", |errors| self.replicas.check(errors));
        let mut names = BTreeSet::new();
        errors.each("credentials", &self.credentials, |errors, credential| {
            if errors.name("name", &credential.name) && !names.insert(credential.name.clone()) {
                let message = format!("duplicate credential name {:?}", credential.name);
                errors.push("name", message);
            }
            credential.check(errors);
        });
        if let Some(approval) = &self.approval {
            let (minute, week) = (Span::secs(60), Span::secs(7 * 24 * 3600));
            errors.range(
                "approval.expires_after",
                approval.expires_after,
                minute..=week,
            );
            self.check_approval(errors);
        }
    }

    /// Reports that nothing could ever be approved.
    fn check_approval(&self, errors: &mut ConfigErrors) {
        let writes = |role| self.credentials.iter().filter(move |one| one.role >= role);
        if writes(Role::Approve).next().is_none() {
            errors.conflict("approval", "needs a credential with the role approve");
        } else if writes(Role::Write).count() == 1
            && writes(Role::Approve).all(|one| one.secret.is_some())
        {
            let message =
                "needs a second person: only one credential may write, and it is one secret";
            errors.conflict("approval", message);
        }
    }
}

impl CredentialConfig {
    fn check(&self, errors: &mut ConfigErrors) {
        let kinds = [
            self.secret.is_some(),
            self.issuer.is_some(),
            !self.certificates.is_empty(),
        ];
        if kinds.iter().filter(|given| **given).count() != 1 {
            errors.conflict("", "give exactly one of secret, issuer and certificates");
        }
        if let Some(secret) = &self.secret {
            Sources::check("secret", Some(secret), None, errors);
            let mut inline = secret.inline();
            if let Some(message) = inline.find_map(|secret| check_secret(secret).err()) {
                errors.push("secret", message);
            }
        }
        match (&self.issuer, self.scopes.is_empty()) {
            (Some(_), true) => errors.conflict(
                "issuer",
                "needs scopes: without them every user of the issuer would be an operator",
            ),
            (None, false) => errors.conflict("scopes", "needs issuer"),
            _ => {}
        }
        if self.issuer.is_none() && !self.audiences.is_empty() {
            errors.conflict("audiences", "needs issuer");
        }
        let is_scope = |scope: &String| {
            let is_allowed = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
            !scope.is_empty() && scope.bytes().all(is_allowed)
        };
        if !self.scopes.iter().all(is_scope) {
            let message = "a scope has one or more printable ASCII characters but space, \" and \\ (RFC 6749 §3.3)";
            errors.push("scopes", message);
        }
        for (field, texts) in [
            ("audiences", &self.audiences),
            ("certificates", &self.certificates),
        ] {
            if texts.iter().any(String::is_empty) {
                errors.push(field, "must not hold an empty text");
            }
        }
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

    #[test]
    fn approval_needs_two_people() {
        let of = |credentials: &str, more: &str| {
            mistakes(&format!(
                "approval: {{{more}}}\ncredentials: [{credentials}]"
            ))
        };
        let secret =
            |role: &str| format!("{{ name: {role}, role: {role}, secret: 0123456789abcdef }}");
        let (write, approve) = (secret("write"), secret("approve"));
        let staff = "{ name: staff, role: approve, issuer: a, scopes: [x] }";
        for good in [format!("{write}, {approve}"), staff.to_owned()] {
            assert_eq!(of(&good, ""), Vec::<String>::new(), "{good}");
        }
        assert_eq!(of(staff, "expires_after: 59s").len(), 1);
        for (alone, expected) in [
            (&write, "approval: needs a credential with the role approve"),
            (&approve, "approval: needs a second person"),
        ] {
            let found = of(alone, "");
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_credential_is_a_secret_or_tokens_or_certificates_and_says_enough() {
        let of = |rest: &str| {
            mistakes(&format!(
                "credentials: [{{ name: ops, role: write{rest} }}]"
            ))
        };
        for good in [
            ", issuer: a, scopes: [portcullis:write]",
            ", issuer: a, scopes: [x, y], audiences: [portcullis]",
            ", certificates: [ops.example.org, spiffe://example.org/ops]",
        ] {
            assert_eq!(of(good), Vec::<String>::new(), "{good}");
        }
        let one = "credentials[0]: give exactly one of secret, issuer and certificates";
        for (wrong, expected) in [
            ("", one),
            (", certificates: [a], secret: 0123456789abcdef", one),
            (", issuer: a, scopes: [x], certificates: [a]", one),
            (", issuer: a", "credentials[0].issuer: needs scopes"),
            (
                ", issuer: a, scopes: ['']",
                "credentials[0].scopes: a scope has",
            ),
            (
                ", issuer: a, scopes: ['a b']",
                "credentials[0].scopes: a scope has",
            ),
            (
                ", certificates: [a], scopes: [x]",
                "credentials[0].scopes: needs issuer",
            ),
            (
                ", certificates: [a], audiences: [x]",
                "credentials[0].audiences: needs issuer",
            ),
            (
                ", certificates: ['']",
                "credentials[0].certificates: must not hold",
            ),
            (
                ", issuer: a, scopes: [x], audiences: ['']",
                "credentials[0].audiences: must not",
            ),
        ] {
            let found = of(wrong);
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{wrong}: {found:?}"
            );
        }
    }
}
