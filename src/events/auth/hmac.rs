//! An HMAC (RFC 2104) of the body in a header, alone or with a time.

use std::path::PathBuf;

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proven::{Unproven, only_value};
use super::signed::{SignatureEncoding, Tolerance, decimal, is_tag};
use crate::core::clock::UnixMillis;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Live, Sources};
use crate::core::shorthand::OneOrMany;

/// An HMAC of the raw body in a header, as GitHub, Stripe, Zitadel and many others send it.
/// With `timestamp` it is enough alone. Without, it needs `basic` or `header` beside it, or a format
/// that reads an id and a time in every event.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The header's name, such as `X-Hub-Signature-256`. Of a list, the first that is there counts.
    pub header: OneOrMany<String>,
    /// The shared secret. During a rotation a list of the new one and the old one.
    #[serde(default)]
    pub secret: Option<Sources>,
    /// Another spelling of `secret: { file: … }`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// How the secret is written: `plain`, or `base64` for bytes that are no text.
    #[serde(default)]
    pub secret_encoding: Encoding,
    /// The hash function. `sha1` is for senders that know no other.
    #[serde(default)]
    pub hash: Hash,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: SignatureEncoding,
    /// What stands before the signature, such as `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// The header reads `t=<time>,v1=<signature>`, with `v1` repeated during a rotation, and the text
    /// `<time>.<body>` is signed. Names the unit of the time: `s` (Stripe, Zitadel) or `ms` (`WorkOS`).
    #[serde(default)]
    pub timestamp: Option<TimeUnit>,
    /// With `timestamp`, how far the time may lie from this machine's clock, in either direction. At
    /// most 1h.
    #[serde(default)]
    pub tolerance: Tolerance,
}

/// The hash function of an HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

/// The unit of a signed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TimeUnit {
    /// Seconds since the Unix epoch.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds since the Unix epoch.
    #[serde(rename = "ms")]
    Milliseconds,
}

/// The secret at hand, and how the signature is read.
#[derive(Debug)]
pub(super) struct Hmac {
    headers: Vec<HeaderName>,
    secrets: Live,
    config: Config,
}

/// A sender signs once per secret in use. More signatures than this are not looked at.
const MOST_SIGNATURES: usize = 8;

impl Config {
    /// Reports what is wrong, with `hmac` as the current place.
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if let Err(message) = self.header_names() {
            errors.push("header", message);
        }
        if self.timestamp.is_some() && !self.prefix.is_empty() {
            let message = "with timestamp the signature stands after v1=; drop the prefix";
            errors.conflict("prefix", message);
        }
        let (given, file) = (self.secret.as_ref(), self.secret_file.as_ref());
        Sources::check("secret", given, file, errors);
        for secret in given.into_iter().flat_map(Sources::inline) {
            if let Err(message) = self.secret_encoding.decode(secret.clone()) {
                errors.conflict("secret", message);
            }
        }
        self.tolerance.check(errors);
    }

    fn header_names(&self) -> Result<Vec<HeaderName>, String> {
        let read = |name: &String| {
            let parsed = name.parse::<HeaderName>();
            parsed.map_err(|_| format!("{name:?} is no header name"))
        };
        self.header.0.iter().map(read).collect()
    }

    /// Returns whether the signature carries a time, so that a recorded delivery is of no use later.
    pub(super) const fn has_time(&self) -> bool {
        self.timestamp.is_some()
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// A sentence that names the field and the file.
    pub(super) fn build(&self) -> Result<Hmac, String> {
        let (given, file) = (self.secret.as_ref(), self.secret_file.as_ref());
        let sources = Sources::of("secret", given, file)?;
        Ok(Hmac {
            headers: self.header_names()?,
            secrets: Live::read(sources, self.secret_encoding, Box::new(|_| Ok(())))?,
            config: self.clone(),
        })
    }
}

impl Hmac {
    /// Checks the signature of a body.
    ///
    /// # Errors
    /// When it does not hold, or its time is too far from `now`.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: UnixMillis,
    ) -> Result<(), Unproven> {
        let mut names = self.headers.iter();
        let name = names.find(|name| headers.contains_key(*name));
        let value = name.and_then(|name| only_value(headers, name.as_str()));
        let value = value.ok_or(Unproven::Forged(
            "the header of the signature is absent or stands twice",
        ))?;
        let Some(unit) = self.config.timestamp else {
            let signature = value.strip_prefix(self.config.prefix.as_bytes());
            let signature = signature.ok_or(Unproven::Forged(
                "the signature does not begin with the prefix",
            ))?;
            return self.any_holds(&[signature], &[body]);
        };
        let (time, signatures) = timed(value)?;
        self.any_holds(&signatures, &[time, b".", body])?;
        let number = decimal(time).ok_or(Unproven::Forged("the signature's time is no number"))?;
        let signed_at = match unit {
            TimeUnit::Seconds => UnixMillis::from_seconds(number),
            TimeUnit::Milliseconds => UnixMillis(number),
        };
        self.config.tolerance.admit(signed_at, now)
    }

    fn any_holds(&self, signatures: &[&[u8]], signed: &[&[u8]]) -> Result<(), Unproven> {
        let algorithm = match self.config.hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        let keys = self.secrets.now();
        let mut tags = signatures
            .iter()
            .filter_map(|tag| self.config.encoding.decode(tag));
        if tags.any(|tag| is_tag(algorithm, &keys, signed, &tag)) {
            Ok(())
        } else {
            Err(Unproven::Forged("the signature does not fit"))
        }
    }
}

/// Reads `t=<time>,v1=<signature>`. Items of other names are of no account.
fn timed(value: &[u8]) -> Result<(&[u8], Vec<&[u8]>), Unproven> {
    let items = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut times = items().filter_map(|item| item.strip_prefix(b"t="));
    let (Some(time), None) = (times.next(), times.next()) else {
        let why = "the signature's time, t=…, is absent or stands twice";
        return Err(Unproven::Forged(why));
    };
    let signatures = items().filter_map(|item| item.strip_prefix(b"v1="));
    Ok((time, signatures.take(MOST_SIGNATURES).collect()))
}

#[cfg(test)]
mod tests;
