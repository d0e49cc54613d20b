//! Who may send events: every configured proof must hold. One file for each scheme.

mod basic;
mod header;
mod jws;

use bytes::Bytes;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::keys::Keys;
use crate::core::config_error::ConfigErrors;

pub use basic::Config as BasicConfig;
pub use header::Config as HeaderConfig;
pub(super) use jws::BodyHash;
pub use jws::Config as SignatureConfig;

/// How the sender proves who it is. Several proofs at once mean that all must hold. A signature
/// alone is not enough: it has no time in it, so a recorded event could be sent again for ever.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HTTP Basic authentication (RFC 7617).
    #[serde(default)]
    pub basic: Option<BasicConfig>,
    /// A header with a fixed secret value.
    #[serde(default)]
    pub header: Option<HeaderConfig>,
    /// A signature over the raw body, in addition to `basic` or `header`.
    #[serde(default)]
    pub signature: Option<SignatureConfig>,
}

impl Config {
    /// Reports what is wrong, with `auth` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.basic.is_none() && self.header.is_none() {
            errors.push(
                "",
                match self.signature {
                    Some(_) => {
                        "add basic or header: the signature has no time in it, so a recorded event \
                         could be sent again for ever"
                    }
                    None => "basic or header is missing: anybody could revoke tokens",
                },
            );
        }
        if let Some(basic) = &self.basic {
            errors.within("basic", |errors| basic.check(errors));
        }
        if let Some(header) = &self.header {
            errors.within("header", |errors| {
                header.check(self.basic.is_some(), errors);
            });
        }
        if let Some(signature) = &self.signature {
            errors.within("signature", |errors| signature.check(errors));
        }
    }
}

/// Proof that the credentials in the headers of a request held.
#[derive(Debug)]
pub(super) struct Admitted(());

#[cfg(test)]
impl Admitted {
    pub(super) const fn for_test() -> Self {
        Self(())
    }
}

/// Why a delivery stays unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// It is not the sender's. The sentence is for the log; the caller is not told.
    Forged(&'static str),
    /// The issuer's keys are not at hand, so nobody can tell.
    KeysUnavailable(String),
}

/// The proofs, with their secrets at hand.
#[derive(Debug)]
pub(super) struct Credentials {
    basic: Option<basic::Basic>,
    header: Option<header::Header>,
    signature: Option<jws::Signature>,
}

impl Credentials {
    /// Reads the secrets.
    ///
    /// # Errors
    /// A sentence that names the field and the file.
    pub(super) fn build(config: &Config) -> Result<Self, String> {
        if config.basic.is_none() && config.header.is_none() {
            return Err("auth: basic or header is missing".to_owned());
        }
        let (basic, header) = (config.basic.as_ref(), config.header.as_ref());
        let signature = config.signature.as_ref();
        Ok(Self {
            basic: basic.map(BasicConfig::build).transpose()?,
            header: header.map(HeaderConfig::build).transpose()?,
            signature: signature.map(SignatureConfig::build).transpose()?,
        })
    }

    /// Checks the proofs in the headers. All are looked at, whichever fails first.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Option<Admitted> {
        let basic = self.basic.as_ref().map(|basic| basic.admits(headers));
        let header = self.header.as_ref().map(|header| header.admits(headers));
        let holds = match (basic, header) {
            (None, None) => false,
            (basic, header) => basic.unwrap_or(true) & header.unwrap_or(true),
        };
        holds.then_some(Admitted(()))
    }

    /// Checks the signature of the body, if one is configured.
    ///
    /// # Errors
    /// When it does not hold, or cannot be checked now.
    pub(super) async fn check_signature(
        &self,
        place: BodyHash,
        headers: &HeaderMap,
        body: &Bytes,
        issuer: &str,
        keys: &dyn Keys,
    ) -> Result<(), Unproven> {
        match &self.signature {
            Some(signature) => signature.check(place, headers, body, issuer, keys).await,
            None => Ok(()),
        }
    }
}

/// Returns the value of a header that stands exactly once: two readers would disagree about which
/// of two counts.
fn only_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}
