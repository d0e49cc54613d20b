//! Who may use the admin API, as configured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::peers::ReplicasConfig;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Secret, Sources};
use crate::core::units::Span;
use crate::net::safe_url;

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
    pub console: Switch,

    /// Whether searches have a catalogue in memory, 48 bytes for each revocation of one claim. Without it, each search
    /// reads the whole log. There is none without credentials. A change needs a restart.
    #[serde(default)]
    pub search: Switch,

    /// Revoking every token of an issuer, a client or an audience takes two people: what one orders, another one
    /// with the role `approve` has to approve. Default: one is enough.
    #[serde(default)]
    pub approval: Option<ApprovalConfig>,

    /// Lets operators log in at the console with an account of an issuer (OpenID Connect). Off by default.
    #[serde(default)]
    pub login: Option<LoginConfig>,

    /// The latest decisions, which `GET /v1/decisions` shows.
    #[serde(default)]
    pub decisions: DecisionsConfig,

    /// The other replicas, which `GET /v1/replicas` asks.
    #[serde(default)]
    pub replicas: ReplicasConfig,
}

/// Login at the console by the authorization code flow with PKCE. The access token that the issuer gives has to be one of
/// `credentials`, and the session ends with it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginConfig {
    /// An issuer of `credentials`. Its endpoints come from `<issuer>/.well-known/openid-configuration`.
    pub issuer: String,
    /// The id of the client that stands for the console at the issuer.
    pub client_id: String,
    /// The secret of the client, sent by HTTP Basic. Default: the client is public.
    #[serde(default)]
    pub client_secret: Option<Sources>,
    /// The address of the console with `/console/login/done`, as the client is registered:
    /// `https://portcullis.example.com:9194/console/login/done`.
    pub redirect_uri: String,
    /// The scopes to ask for besides `openid`: those of the credentials.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// More parameters of the authorization request, such as `resource` (RFC 8707) or `audience`, for issuers
    /// that need to be told what the token is for.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The authorities that may vouch for the issuer, as PEM certificates in a file, in place of those that the
    /// system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
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
    /// Returns whether searches have a catalogue, and somebody may search.
    #[must_use]
    pub fn has_catalogue(&self) -> bool {
        self.search == Switch::On && !self.credentials.is_empty()
    }

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
        if let Some(login) = &self.login {
            errors.within("login", |errors| login.check(&self.credentials, errors));
        }
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

/// The last part of the address that an issuer sends browsers back to.
const DONE: &str = "/console/login/done";

/// Parameters of the authorization request that are not for the operator to choose.
const OWN: [&str; 8] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
];

impl LoginConfig {
    fn check(&self, credentials: &[CredentialConfig], errors: &mut ConfigErrors) {
        let is_own = |one: &CredentialConfig| one.issuer.as_deref() == Some(&*self.issuer);
        if !credentials.iter().any(is_own) {
            let message =
                "must be the issuer of a credential, or nobody who logs in could do anything";
            errors.conflict("issuer", message);
        }
        if let Err(why) = safe_url(&self.issuer, false) {
            errors.push("issuer", why);
        }
        match safe_url(&self.redirect_uri, false) {
            Err(why) => errors.push("redirect_uri", why),
            Ok(url) if url.path() != DONE || url.query().is_some() || url.fragment().is_some() => {
                errors.push("redirect_uri", format!("must end with {DONE}"));
            }
            Ok(_) => {}
        }
        if self.client_id.is_empty() {
            errors.push("client_id", "must not be empty");
        }
        if let Some(secret) = &self.client_secret {
            Sources::check("client_secret", Some(secret), None, errors);
        }
        for name in OWN
            .iter()
            .filter(|name| self.parameters.contains_key(**name))
        {
            errors.push("parameters", format!("{name} is set already"));
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

/// Returns what is wrong with the secret of our client, for people.
pub(super) fn check_client_secret(secret: &Secret) -> Result<(), String> {
    let is_text = std::str::from_utf8(secret.expose()).is_ok();
    is_text
        .then_some(())
        .ok_or_else(|| "the secret is not UTF-8".to_owned())
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
mod tests;
