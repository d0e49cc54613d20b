//! Who may send events: every configured proof must hold. One file for each scheme.

mod basic;
mod body_secret;
mod client_certificate;
mod header;
mod hmac;
mod jws;
mod jwt;
mod proven;
mod signed;
mod standard_webhooks;
mod token;

use bytes::Bytes;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::keys::Keys;
use crate::core::clock::UnixMillis;
use crate::core::config_error::ConfigErrors;

pub use basic::Config as BasicConfig;
pub use body_secret::Config as BodySecretConfig;
pub use client_certificate::Config as ClientCertificateConfig;
pub use header::Config as HeaderConfig;
pub use hmac::Config as HmacConfig;
pub(super) use jws::BodyHash;
pub use jws::Config as SignatureConfig;
pub(super) use jws::Types;
pub use jwt::Config as JwtConfig;
pub(super) use proven::{Proven, Unproven};
pub use standard_webhooks::Config as StandardWebhooksConfig;
pub(super) use token::{Names, Place, Rules};

/// How the sender proves who it is. Several proofs at once mean that all must hold.
///
/// A format whose events are signed tokens, such as `oidc-backchannel-logout`, needs nothing here.
/// The others need `basic`, `header`, `client_certificate`, `body_secret`, or a signature with a time in it:
/// `standard_webhooks`, `jwt`, or `hmac` with `timestamp`. With another signature alone a recorded event
/// could be sent again for ever.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HTTP Basic authentication (RFC 7617).
    #[serde(default)]
    pub basic: Option<BasicConfig>,
    /// A header with a fixed secret value.
    #[serde(default)]
    pub header: Option<HeaderConfig>,
    /// A fixed secret value in the body, for senders that sign nothing.
    #[serde(default)]
    pub body_secret: Option<BodySecretConfig>,
    /// The certificate that the sender shows in the TLS handshake.
    #[serde(default)]
    pub client_certificate: Option<ClientCertificateConfig>,
    /// How the signature over the body is verified, in addition to `basic` or `header`. For a format
    /// whose events are signed tokens, how those are verified; by default with the issuer's keys and
    /// any asymmetric algorithm.
    #[serde(default)]
    pub signature: Option<SignatureConfig>,
    /// A signature by Standard Webhooks 1.0 or Svix.
    #[serde(default)]
    pub standard_webhooks: Option<StandardWebhooksConfig>,
    /// An HMAC of the raw body in a header.
    #[serde(default)]
    pub hmac: Option<HmacConfig>,
    /// A bearer token of the issuer that names the hash of the body.
    #[serde(default)]
    pub jwt: Option<JwtConfig>,
}

/// How the bodies of a format prove themselves.
pub(super) enum Proof {
    /// By the credentials in the headers and, if one is configured, a signature of the body.
    Headers(Option<BodyHash>),
    /// By the credentials in the headers or any signature of the body. The signature needs no time:
    /// every event has an id and a time in its body, so sending it again changes nothing.
    Idempotent,
    /// By a JWT, which is enough alone.
    Token(Rules),
    /// By the server that was asked for it. Nobody can push one.
    Asked,
}

impl Config {
    /// Reports what is wrong, with `auth` as the current place.
    pub(super) fn check(&self, proof: &Proof, errors: &mut ConfigErrors) {
        if matches!(proof, Proof::Asked) {
            if !self.is_empty() {
                errors.conflict(
                    "",
                    "events of this format are asked for, and nobody sends them",
                );
            }
            return;
        }
        if !self.is_enough(proof) {
            let is_signed = self.signature.is_some() || self.hmac.is_some();
            errors.push(
                "",
                if is_signed {
                    "add basic or header: the signature has no time in it, so a recorded event could \
                     be sent again for ever"
                } else {
                    "basic or header is missing, or a signature: anybody could revoke tokens"
                },
            );
        }
        if matches!(proof, Proof::Headers(None) | Proof::Idempotent) && self.signature.is_some() {
            errors.conflict("signature", "senders of this format have no such signature");
        }
        if let Some(basic) = &self.basic {
            errors.within("basic", |errors| basic.check(errors));
        }
        if let Some(header) = &self.header {
            errors.within("header", |errors| {
                header.check(self.basic.is_some(), errors);
            });
        }
        if let Some(secret) = &self.body_secret {
            errors.within("body_secret", |errors| secret.check(errors));
        }
        if let Some(certificate) = &self.client_certificate {
            errors.within("client_certificate", |errors| certificate.check(errors));
        }
        if let Some(signature) = &self.signature {
            errors.within("signature", |errors| signature.check(errors));
        }
        if let Some(webhooks) = &self.standard_webhooks {
            errors.within("standard_webhooks", |errors| webhooks.check(errors));
        }
        if let Some(hmac) = &self.hmac {
            errors.within("hmac", |errors| hmac.check(errors));
        }
        if let Some(jwt) = &self.jwt {
            let is_taken = self.basic.is_some();
            errors.within("jwt", |errors| jwt.check(is_taken, errors));
        }
    }

    fn is_empty(&self) -> bool {
        let Self {
            basic,
            header,
            body_secret,
            client_certificate,
            signature,
            standard_webhooks,
            hmac,
            jwt,
        } = self;
        basic.is_none()
            && header.is_none()
            && body_secret.is_none()
            && client_certificate.is_none()
            && signature.is_none()
            && standard_webhooks.is_none()
            && hmac.is_none()
            && jwt.is_none()
    }

    /// Returns whether the proofs say who sends, and that nobody sends it again.
    fn is_enough(&self, proof: &Proof) -> bool {
        let has_time = |hmac: &HmacConfig| hmac.has_time() || matches!(proof, Proof::Idempotent);
        matches!(proof, Proof::Token(_) | Proof::Asked)
            || self.basic.is_some()
            || self.header.is_some()
            || self.body_secret.is_some()
            || self.client_certificate.is_some()
            || self.standard_webhooks.is_some()
            || self.jwt.is_some()
            || self.hmac.as_ref().is_some_and(has_time)
    }
}

/// What the headers of a request say about its sender.
#[derive(Debug)]
pub(super) struct Admitted {
    is_known: bool,
}

impl Admitted {
    /// Returns whether credentials held. If not, none are configured, and the body must prove the
    /// sender.
    pub(super) const fn is_known(&self) -> bool {
        self.is_known
    }

    #[cfg(test)]
    pub(super) const fn for_test() -> Self {
        Self { is_known: true }
    }
}

/// The proofs, with their secrets at hand. A value of this type has at least one.
#[derive(Debug)]
pub(super) struct Credentials {
    basic: Option<basic::Basic>,
    header: Option<header::Header>,
    client_certificate: Option<client_certificate::ClientCertificate>,
    body_secret: Option<body_secret::BodySecret>,
    standard_webhooks: Option<standard_webhooks::StandardWebhooks>,
    hmac: Option<hmac::Hmac>,
    jwt: Option<jwt::Jwt>,
    seal: Seal,
}

/// What proves the body.
#[derive(Debug)]
enum Seal {
    /// Nothing but the credentials in the headers.
    Open,
    /// A signature in a header, by the keys of this issuer.
    Hash(jws::Signature, BodyHash, String),
    Token(jws::Signature, Rules),
    /// Nothing that is pushed.
    Asked,
}

impl Credentials {
    /// Reads the secrets. `issuer` is whose keys sign unless the proof names another.
    ///
    /// # Errors
    /// A sentence that names the field and the file.
    pub(super) fn build(config: &Config, proof: Proof, issuer: &str) -> Result<Self, String> {
        if !config.is_enough(&proof) {
            return Err("auth: basic or header is missing, or a signature".to_owned());
        }
        let signature = config.signature.as_ref();
        let signature = signature.map(SignatureConfig::build).transpose()?;
        let seal = match (proof, signature) {
            (Proof::Headers(_) | Proof::Idempotent, None) => Seal::Open,
            (Proof::Headers(Some(place)), Some(signature)) => {
                Seal::Hash(signature, place, issuer.to_owned())
            }
            (Proof::Headers(None) | Proof::Idempotent, Some(_)) => {
                return Err("auth.signature: senders of this format have none".to_owned());
            }
            (Proof::Token(mut rules), signature) => {
                rules.issuer.get_or_insert_with(|| issuer.to_owned());
                Seal::Token(signature.unwrap_or_default(), rules)
            }
            (Proof::Asked, _) => Seal::Asked,
        };
        let (basic, header) = (config.basic.as_ref(), config.header.as_ref());
        let (webhooks, hmac) = (config.standard_webhooks.as_ref(), config.hmac.as_ref());
        let (body_secret, jwt) = (config.body_secret.as_ref(), config.jwt.as_ref());
        Ok(Self {
            basic: basic.map(BasicConfig::build).transpose()?,
            header: header.map(HeaderConfig::build).transpose()?,
            client_certificate: config
                .client_certificate
                .as_ref()
                .map(ClientCertificateConfig::build),
            body_secret: body_secret.map(BodySecretConfig::build).transpose()?,
            standard_webhooks: webhooks.map(StandardWebhooksConfig::build).transpose()?,
            hmac: hmac.map(HmacConfig::build).transpose()?,
            jwt: jwt.map(|jwt| jwt.build(issuer)),
            seal,
        })
    }

    /// Checks the proofs in the headers and the certificate of the sender. All are looked at, whichever fails
    /// first. Where none are configured a stranger is admitted, who has to prove the body.
    pub(super) fn admit(&self, headers: &HeaderMap, shown: &[String]) -> Option<Admitted> {
        let certificate = self.client_certificate.as_ref();
        let certificate = certificate.map(|certificate| certificate.admits(shown));
        let basic = self.basic.as_ref().map(|basic| basic.admits(headers));
        let header = self.header.as_ref().map(|header| header.admits(headers));
        let proofs = [basic, header, certificate];
        let holds = proofs
            .iter()
            .fold(true, |holds, proof| holds & proof.unwrap_or(true));
        let is_known = proofs.iter().any(Option::is_some);
        holds.then_some(Admitted { is_known })
    }

    /// Returns what a 401 asks for (RFC 9110 §11.6.1): the scheme that the source takes in the header
    /// `Authorization`. `None` if it takes none there: a client that heard of one would send it in vain.
    pub(super) const fn challenge(&self) -> Option<&'static str> {
        if self.basic.is_some() {
            Some("Basic realm=\"events\"")
        } else if self.jwt.is_some() {
            Some("Bearer error=\"invalid_token\"")
        } else {
            None
        }
    }

    /// Returns whether anybody may push events.
    pub(super) const fn take_pushed(&self) -> bool {
        !matches!(self.seal, Seal::Asked)
    }

    /// Returns whether the id of a proof is about the very body. A bearer token is not, so whoever got
    /// hold of one could send another body with it.
    pub(super) const fn id_covers_body(&self) -> bool {
        !matches!(&self.seal, Seal::Token(_, rules) if matches!(rules.place, Place::Bearer))
    }

    /// Checks what proves the body.
    ///
    /// # Errors
    /// When it does not hold, or cannot be checked now.
    pub(super) async fn prove(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        now: UnixMillis,
        keys: &dyn Keys,
    ) -> Result<Proven, Unproven> {
        let mut id = None;
        if let Some(webhooks) = &self.standard_webhooks {
            id = Some(webhooks.check(headers, body, now)?.to_owned());
        }
        if let Some(hmac) = &self.hmac {
            hmac.check(headers, body, now)?;
        }
        if let Some(secret) = &self.body_secret {
            secret.check(body)?;
        }
        if let Some(jwt) = &self.jwt {
            jwt.check(headers, body, now, keys).await?;
        }
        let proven = match &self.seal {
            Seal::Open => Ok(Proven::default()),
            Seal::Asked => Err(Unproven::Forged("events of this format are not pushed")),
            Seal::Hash(signature, place, issuer) => {
                let checked = signature.check(*place, headers, body, issuer, keys).await;
                checked.map(|()| Proven::default())
            }
            Seal::Token(signature, rules) => rules.prove(signature, headers, body, now, keys).await,
        }?;
        let id = proven.id.or(id);
        Ok(Proven { id, ..proven })
    }

    /// Checks an event that was asked for. The server that gave it proves itself by its certificate; an
    /// event that is a token must hold all the same.
    ///
    /// # Errors
    /// As [`Self::prove`].
    pub(super) async fn prove_asked(
        &self,
        body: &Bytes,
        now: UnixMillis,
        keys: &dyn Keys,
    ) -> Result<Proven, Unproven> {
        match &self.seal {
            Seal::Token(signature, rules) => {
                let headers = HeaderMap::new();
                rules.prove(signature, &headers, body, now, keys).await
            }
            Seal::Open | Seal::Hash(..) | Seal::Asked => Ok(Proven::default()),
        }
    }
}
