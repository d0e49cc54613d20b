//! Standard Webhooks 1.0, which Svix sends under header names of its own.

use std::path::PathBuf;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::proven::{Unproven, only_value};
use super::signed::{Tolerance, decimal, is_tag};
use crate::core::clock::UnixMillis;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Live, Secret, Sources};
use crate::core::shorthand::OneOrMany;

/// A signature by Standard Webhooks 1.0 or Svix: the headers `webhook-id`, `webhook-timestamp` and
/// `webhook-signature`, or the same with `svix-`. It carries a time, so it is enough alone. Give
/// `secret`, `public_key` or both.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The shared secret of `v1` signatures (HMAC-SHA256), as the sender shows it: `whsec_` and
    /// base64; `v1,whsec_…` works too. During a rotation a list of the new one and the old one.
    #[serde(default)]
    pub secret: Option<Sources>,
    /// Another spelling of `secret: { file: … }`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The public key of `v1a` signatures (Ed25519): `whpk_` and base64. During a rotation a list.
    #[serde(default)]
    pub public_key: Option<OneOrMany<String>>,
    /// How far `webhook-timestamp` may lie from this machine's clock, in either direction. At most 1h.
    #[serde(default)]
    pub tolerance: Tolerance,
}

/// The secrets and keys at hand.
#[derive(Debug)]
pub(super) struct StandardWebhooks {
    secrets: Option<Live>,
    public_keys: Vec<Vec<u8>>,
    tolerance: Tolerance,
}

/// The shortest secret that the specification allows, in bytes.
const SHORTEST_SECRET: usize = 24;
/// The length of a public key (RFC 8032 §5.1.5), in bytes.
const PUBLIC_KEY: usize = 32;
/// A sender signs once per key in use. More signatures than this are not looked at.
const MOST_SIGNATURES: usize = 8;

impl Config {
    fn has_secret(&self) -> bool {
        self.secret.is_some() || self.secret_file.is_some()
    }

    fn public_keys(&self) -> &[String] {
        self.public_key.as_ref().map_or(&[], |keys| &keys.0)
    }

    /// Reports what is wrong, with `standard_webhooks` as the current place.
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        let (given, file) = (self.secret.as_ref(), self.secret_file.as_ref());
        if self.has_secret() {
            Sources::check("secret", given, file, errors);
        } else if self.public_key.is_none() {
            errors.conflict("", "give secret, secret_file or public_key");
        }
        for secret in given.into_iter().flat_map(Sources::inline) {
            if let Err(message) = decode_secret(secret) {
                errors.push("secret", message);
            }
        }
        for key in self.public_keys() {
            if let Err(message) = decode_public_key(key) {
                errors.push("public_key", message);
            }
        }
        self.tolerance.check(errors);
    }

    /// Reads the secrets and keys.
    ///
    /// # Errors
    /// A sentence that names the field and the file.
    pub(super) fn build(&self) -> Result<StandardWebhooks, String> {
        let (given, file) = (self.secret.as_ref(), self.secret_file.as_ref());
        let secrets = if self.has_secret() {
            let sources = Sources::of("secret", given, file)?;
            Some(Live::decoded(
                sources,
                Box::new(|written| decode_secret(&written)),
            )?)
        } else {
            None
        };
        let public_keys = self.public_keys().iter().map(|key| decode_public_key(key));
        let public_keys = public_keys.collect::<Result<Vec<_>, _>>()?;
        if secrets.is_none() && public_keys.is_empty() {
            return Err("standard_webhooks: secret or public_key is missing".to_owned());
        }
        Ok(StandardWebhooks {
            secrets,
            public_keys,
            tolerance: self.tolerance,
        })
    }
}

impl StandardWebhooks {
    /// Checks a delivery and returns its id, which is the same in every attempt.
    ///
    /// # Errors
    /// When no signature holds, or its time is too far from `now`.
    pub(super) fn check<'h>(
        &self,
        headers: &'h HeaderMap,
        body: &[u8],
        now: UnixMillis,
    ) -> Result<&'h str, Unproven> {
        let [id, timestamp, signatures] = signed_headers(headers)?;
        let id = std::str::from_utf8(id).ok().filter(|id| is_id(id));
        let id = id.ok_or(Unproven::Forged("webhook-id is no id"))?;
        let seconds = decimal(timestamp);
        let seconds = seconds.ok_or(Unproven::Forged("webhook-timestamp is no number"))?;
        let signed = [id.as_bytes(), b".", timestamp, b".", body];
        let keys = self.secrets.as_ref().map_or_else(Vec::new, Live::now);
        let signatures = signatures.split(|byte| *byte == b' ');
        let mut signatures = signatures
            .filter(|one| !one.is_empty())
            .take(MOST_SIGNATURES);
        if !signatures.any(|signature| self.is_signature(signature, &keys, &signed)) {
            return Err(Unproven::Forged("no signature in webhook-signature holds"));
        }
        self.tolerance
            .admit(UnixMillis::from_seconds(seconds), now)?;
        Ok(id)
    }

    /// Returns whether one signature holds. Those of other versions do not.
    fn is_signature(&self, signature: &[u8], keys: &[Secret], signed: &[&[u8]]) -> bool {
        let of_version = |version: &[u8]| {
            let encoded = Secret::new(signature.strip_prefix(version)?);
            Encoding::Base64.decode(encoded).ok()
        };
        if let Some(tag) = of_version(b"v1,") {
            is_tag(hmac::HMAC_SHA256, keys, signed, tag.expose())
        } else if let Some(signature) = of_version(b"v1a,") {
            let (signed, mut keys) = (signed.concat(), self.public_keys.iter());
            keys.any(|key| {
                let key = UnparsedPublicKey::new(&ED25519, key);
                key.verify(&signed, signature.expose()).is_ok()
            })
        } else {
            false
        }
    }
}

/// Returns id, timestamp and signatures. All three bear the same prefix: a mixture would have been
/// put together from two deliveries.
fn signed_headers(headers: &HeaderMap) -> Result<[&[u8]; 3], Unproven> {
    let of_prefix = |names: [&str; 3]| {
        let [id, timestamp, signatures] = names.map(|name| only_value(headers, name));
        Some([id?, timestamp?, signatures?])
    };
    let standard = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let svix = ["svix-id", "svix-timestamp", "svix-signature"];
    let found = of_prefix(standard).or_else(|| of_prefix(svix));
    found.ok_or(Unproven::Forged(
        "a header of the signature is absent or stands twice: webhook-id, webhook-timestamp, \
         webhook-signature",
    ))
}

/// A dot would let two deliveries have the same signed text.
fn is_id(id: &str) -> bool {
    (1..=256).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

fn decode_secret(written: &Secret) -> Result<Secret, String> {
    let text = written.expose().trim_ascii();
    let text = text.strip_prefix(b"v1,").unwrap_or(text);
    let text = text.strip_prefix(b"whsec_").unwrap_or(text);
    let decoded = Encoding::Base64.decode(Secret::new(text))?;
    if decoded.expose().len() < SHORTEST_SECRET {
        return Err(format!(
            "the secret is shorter than {SHORTEST_SECRET} bytes"
        ));
    }
    Ok(decoded)
}

fn decode_public_key(written: &str) -> Result<Vec<u8>, String> {
    let message = || "is no Ed25519 public key: whpk_ and the base64 of 32 bytes".to_owned();
    let text = written.strip_prefix("whpk_").unwrap_or(written);
    let decoded = Encoding::Base64.decode(Secret::new(text));
    let decoded = decoded.map_err(|_| message())?.expose().to_vec();
    let is_key = decoded.len() == PUBLIC_KEY;
    is_key.then_some(decoded).ok_or_else(message)
}

#[cfg(test)]
mod tests;
