//! The credentials of one configuration, and whom they admit.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::StatusCode;

use super::caller::{Caller, Subject};
use super::config::{Config, CredentialConfig, Switch, check_secret};
use super::console::oidc::Login;
use super::peers::Peers;
use super::refused::Refused;
use crate::core::reason::Fault;
use crate::core::secret::{Encoding, Live, Sources};
use crate::core::token::Token;
use crate::gate::{Decision, Gate};
use crate::verify::Verifier;
use crate::verify::claims::{ClaimPath, Claims};

static SCOPE: LazyLock<ClaimPath> = LazyLock::new(|| ClaimPath::of_record("scope|scp"));
static AUDIENCE: LazyLock<ClaimPath> = LazyLock::new(|| ClaimPath::of_record("aud"));

/// The configured credentials with their secrets at hand, and the gate of the same configuration, which judges
/// the tokens of operators as it judges others.
#[derive(Debug)]
pub struct Credentials {
    all: Vec<Credential>,
    gate: Arc<Gate>,
    pub(super) has_console: bool,
    /// How long an order waits for a second person, if it needs one.
    pub(super) approval: Option<Duration>,
    pub(super) peers: Peers,
    /// Where operators may log in at the console.
    pub(super) login: Option<Login>,
}

#[derive(Debug)]
struct Credential {
    caller: Caller,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    Secret(Live),
    Token {
        issuer: String,
        scopes: Vec<String>,
        audiences: Vec<String>,
    },
    Certificate(Vec<String>),
}

impl Credentials {
    /// Reads the secrets of a checked configuration.
    ///
    /// # Errors
    /// A sentence that names the credential and the file.
    pub fn build(config: &Config, gate: Arc<Gate>) -> Result<Self, String> {
        let credentials = config.credentials.iter().map(|credential| {
            let (name, role) = (credential.name.as_str().into(), credential.role);
            let caller = Caller {
                name,
                role,
                subject: None,
            };
            let proof = Proof::of(credential)
                .map_err(|error| format!("admin credential {}: {error}", credential.name))?;
            Ok(Credential { caller, proof })
        });
        let all = credentials.collect::<Result<Vec<_>, String>>()?;
        let login = config.login.as_ref().map(Login::build).transpose();
        let has_console = config.console == Switch::On && !all.is_empty();
        Ok(Self {
            all,
            gate,
            has_console,
            login: login.map_err(|error| format!("admin.login: {error}"))?,
            approval: config.approval.map(|approval| approval.expires_after.0),
            peers: Peers::build(&config.replicas)?,
        })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns what verifies the tokens of operators.
    pub(super) fn keys(&self) -> &Verifier {
        &self.gate.verifier
    }

    /// Returns whom a bearer secret or a bearer token admits.
    pub(super) async fn by_bearer(&self, presented: &[u8]) -> Result<Caller, Refused> {
        if let Some(caller) = self.by_secret(presented) {
            return Ok(caller.clone());
        }
        match std::str::from_utf8(presented) {
            Ok(text) if self.takes_tokens() && text.split('.').count() == 3 => {
                self.by_token(Token::new(text)).await
            }
            _ => Err(unauthorized(
                "the credential is absent or wrong; send `Authorization: Bearer …` with a secret or a token of \
                 admin.credentials",
            )),
        }
    }

    /// Compares with every secret, in a time that does not depend on which one matches.
    fn by_secret(&self, presented: &[u8]) -> Option<&Caller> {
        self.all.iter().fold(None, |found, credential| {
            let Proof::Secret(secret) = &credential.proof else {
                return found;
            };
            let matches = secret.matches(presented);
            found.or(matches.then_some(&credential.caller))
        })
    }

    fn takes_tokens(&self) -> bool {
        let mut proofs = self.all.iter().map(|credential| &credential.proof);
        proofs.any(|proof| matches!(proof, Proof::Token { .. }))
    }

    /// Judges a token as a door does. What cannot be known is no fault of the token.
    async fn by_token(&self, token: Token<'_>) -> Result<Caller, Refused> {
        match self.gate.check_token(token).await {
            Decision::Permit(permit) => self.of_claims(&permit.verified().claims),
            Decision::Deny(denial) if denial.reason.fault() == Fault::Portcullis => {
                let reason = denial.reason;
                let why = format!("the token cannot be judged now: {reason}; try again");
                Err(Refused::unavailable(why))
            }
            Decision::Deny(denial) => {
                let why = format!("the token is refused: {}; get a new one", denial.reason);
                Err(unauthorized(why))
            }
            Decision::Bypass(_) => Err(unauthorized("no token was judged")),
        }
    }

    /// Returns whom verified claims admit: with the strongest role of those whose scopes they have.
    fn of_claims(&self, claims: &Claims) -> Result<Caller, Refused> {
        let (scopes, audiences) = (claims.values(&SCOPE), claims.values(&AUDIENCE));
        let has = |scope: &String| {
            let mut words = scopes.iter().flat_map(|value| value.split(' '));
            words.any(|word| word == scope)
        };
        let fitting = self
            .all
            .iter()
            .filter(|credential| match &credential.proof {
                Proof::Token {
                    issuer,
                    scopes: wanted,
                    audiences: own,
                } => {
                    **issuer == *claims.issuer
                        && wanted.iter().all(has)
                        && (own.is_empty() || own.iter().any(|own| audiences.contains(&&**own)))
                }
                _ => false,
            });
        let strongest = fitting.max_by_key(|credential| credential.caller.role);
        let strongest = strongest.ok_or_else(|| {
            let why = "the token is good, but admin.credentials has no credential whose issuer, scopes and \
                       audiences it has";
            Refused::new(StatusCode::FORBIDDEN, why)
        })?;
        let name = claims.subject.as_deref().or(claims.client.as_deref());
        let subject = name.map(|name| Subject {
            issuer: Arc::clone(&claims.issuer),
            name: name.into(),
        });
        Ok(Caller {
            subject,
            ..strongest.caller.clone()
        })
    }

    /// Returns whom a certificate with these names admits: with the strongest role.
    pub(super) fn by_certificate(&self, names: &[String]) -> Result<Caller, Refused> {
        let fitting = self.all.iter().filter_map(|credential| {
            let Proof::Certificate(allowed) = &credential.proof else {
                return None;
            };
            let name = names.iter().find(|name| allowed.contains(name))?;
            Some((&credential.caller, name))
        });
        let strongest = fitting.max_by_key(|(caller, _)| caller.role);
        let (caller, name) = strongest.ok_or_else(|| {
            unauthorized(
                "no credential is sent, and admin.credentials has no name of the client's certificate",
            )
        })?;
        let subject = Some(Subject {
            issuer: "".into(),
            name: name.as_str().into(),
        });
        Ok(Caller {
            subject,
            ..caller.clone()
        })
    }
}

impl Proof {
    fn of(credential: &CredentialConfig) -> Result<Self, String> {
        if let Some(secret) = &credential.secret {
            let all = Sources::of("secret", Some(secret), None)?;
            let live = Live::read(all, Encoding::Plain, Box::new(check_secret))?;
            return Ok(Self::Secret(live));
        }
        Ok(match &credential.issuer {
            Some(issuer) => Self::Token {
                issuer: issuer.clone(),
                scopes: credential.scopes.clone(),
                audiences: credential.audiences.clone(),
            },
            None => Self::Certificate(credential.certificates.clone()),
        })
    }
}

fn unauthorized(why: impl Into<String>) -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, why)
}
