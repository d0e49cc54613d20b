//! A signature of the body that comes as a compact JWS (RFC 7515) in a header.

use std::path::PathBuf;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use subtle::ConstantTimeEq;

use super::proven::{Unproven, only_value};
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Check, Encoding, Live, Sources};
use crate::events::keys::{Keys, SignatureError};
use crate::events::payload::{self, Members};
use crate::verify::Algorithm;

/// A signature over the raw body, or of the token that it is. Without a secret the keys of the issuer
/// verify it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The algorithms that may sign. The issuer's keys sign tokens too, so nothing is accepted
    /// that is not named here.
    pub algorithms: Vec<Algorithm>,
    /// The shared secret of an `HS…` algorithm, at least as long as its hash.
    /// During a rotation a list of the new one and the old one.
    #[serde(default)]
    pub secret: Option<Sources>,
    /// Another spelling of `secret: { file: … }`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// How the secret is written: `plain`, or `base64` for bytes that are no text.
    #[serde(default)]
    pub encoding: Encoding,
}

impl Config {
    fn has_secret(&self) -> bool {
        self.secret.is_some() || self.secret_file.is_some()
    }

    /// Reports what is wrong, with `signature` as the current place.
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.algorithms.is_empty() {
            errors.push("algorithms", "name the algorithms that may sign");
        }
        for algorithm in &self.algorithms {
            match (algorithm.is_hmac(), self.has_secret()) {
                (true, false) => errors.conflict(
                    "algorithms",
                    format!("{algorithm:?} needs secret or secret_file"),
                ),
                (false, true) => errors.conflict(
                    "algorithms",
                    format!("{algorithm:?} uses the issuer's keys: drop the secret"),
                ),
                _ => {}
            }
        }
        if self.has_secret() {
            let (given, file) = (self.secret.as_ref(), self.secret_file.as_ref());
            Sources::check("secret", given, file, errors);
        }
        let check = self.check_length();
        for secret in self.secret.iter().flat_map(Sources::inline) {
            let decoded = self.encoding.decode(secret.clone());
            if let Err(message) = decoded.and_then(|secret| check(&secret)) {
                errors.conflict("secret", message);
            }
        }
    }

    /// Returns a check that a secret is as long as the longest hash (RFC 7518 §3.2).
    fn check_length(&self) -> Check {
        let lengths = self
            .algorithms
            .iter()
            .map(|algorithm| algorithm.shortest_secret());
        let shortest = lengths.max().unwrap_or_default();
        Box::new(move |secret| {
            if secret.expose().len() < shortest {
                return Err(format!(
                    "the secret is shorter than {shortest} bytes, the length of the algorithm's hash"
                ));
            }
            Ok(())
        })
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// A sentence that names the field and the file.
    pub(super) fn build(&self) -> Result<Signature, String> {
        let (given, file) = (self.secret.as_ref(), self.secret_file.as_ref());
        let secret = if self.has_secret() {
            let sources = Sources::of("secret", given, file)?;
            Some(Live::read(sources, self.encoding, self.check_length())?)
        } else {
            None
        };
        let fits = |algorithm: &Algorithm| algorithm.is_hmac() == secret.is_some();
        if self.algorithms.is_empty() || !self.algorithms.iter().all(fits) {
            return Err("signature: the algorithms do not fit the keys".to_owned());
        }
        Ok(Signature {
            algorithms: self.algorithms.clone(),
            secret,
        })
    }
}

/// Says where a format puts its JWS, and which claim of it has the base64 of the body's SHA-256.
#[derive(Clone, Copy, Debug)]
pub(in crate::events) struct BodyHash {
    pub(in crate::events) header: &'static str,
    pub(in crate::events) claim: &'static str,
}

/// How signatures are verified.
#[derive(Debug)]
pub(super) struct Signature {
    algorithms: Vec<Algorithm>,
    /// `None`: the keys of the issuer.
    secret: Option<Live>,
}

/// The issuer's keys, with any asymmetric algorithm.
impl Default for Signature {
    fn default() -> Self {
        let all = Algorithm::ALL.into_iter();
        Self {
            algorithms: all.filter(|algorithm| !algorithm.is_hmac()).collect(),
            secret: None,
        }
    }
}

/// The values that the header `typ` may have. They are compared without case and without
/// `application/` (RFC 7515 §4.1.9).
#[derive(Clone, Debug)]
pub(in crate::events) struct Types {
    pub(in crate::events) named: Vec<String>,
    /// Whether it may be absent.
    pub(in crate::events) may_be_absent: bool,
}

impl Types {
    fn admit(&self, typ: Option<&str>) -> bool {
        let Some(typ) = typ else {
            return self.may_be_absent;
        };
        let short = |typ: &str| {
            let prefix = typ.split_at_checked("application/".len());
            let prefix = prefix.filter(|(prefix, _)| prefix.eq_ignore_ascii_case("application/"));
            prefix.map_or(typ, |(_, rest)| rest).to_ascii_lowercase()
        };
        let mut named = self.named.iter();
        named.any(|named| short(named) == short(typ))
    }
}

/// The members of a JOSE header that count here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    alg: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

impl Signature {
    /// Checks that the signature holds and is about this very body. The keys that verify it sign
    /// tokens too, so a payload without the body's hash proves nothing.
    pub(super) async fn check(
        &self,
        place: BodyHash,
        headers: &HeaderMap,
        body: &Bytes,
        issuer: &str,
        keys: &dyn Keys,
    ) -> Result<(), Unproven> {
        let compact = only_value(headers, place.header);
        let compact = compact.and_then(|value| std::str::from_utf8(value).ok());
        let compact = compact.ok_or(Unproven::Forged("the signature is absent or stands twice"))?;
        let types = Types {
            named: vec!["JWT".to_owned()],
            may_be_absent: true,
        };
        let payload = self.open(compact, &types, issuer, keys).await?;
        let payload = payload::read::<Members<serde_json::Value>>(&payload);
        let payload = payload.map_err(|_| Unproven::Forged("the signed payload is not JSON"))?;
        let signed = payload.0.get(place.claim).and_then(|hash| hash.as_str());
        let signed = signed.ok_or(Unproven::Forged("the signature is about no body"))?;
        let actual = STANDARD.encode(digest::digest(&digest::SHA256, body));
        if bool::from(signed.as_bytes().ct_eq(actual.as_bytes())) {
            Ok(())
        } else {
            Err(Unproven::Forged("the signature is about another body"))
        }
    }

    /// Verifies a compact JWS and returns its payload. Looks at its header before any key: the
    /// algorithm must be one of the configured ones, and nothing in it may be critical.
    pub(super) async fn open(
        &self,
        compact: &str,
        types: &Types,
        issuer: &str,
        keys: &dyn Keys,
    ) -> Result<Bytes, Unproven> {
        const MISFIT: Unproven = Unproven::Forged("the signature does not fit");
        let parts: Vec<&str> = compact.split('.').collect();
        let &[header, payload, tag] = &parts[..] else {
            return Err(Unproven::Forged("the signature is no compact JWS"));
        };
        let algorithm = self.algorithm(header, types).map_err(Unproven::Forged)?;
        match (&self.secret, algorithm.hmac()) {
            (Some(secret), Some(hash)) => {
                let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| MISFIT)?;
                let signed = &compact.as_bytes()[..header.len() + 1 + payload.len()];
                let holds = secret.now().iter().any(|secret| {
                    let key = hmac::Key::new(hash, secret.expose());
                    hmac::verify(&key, signed, &tag).is_ok()
                });
                let payload = URL_SAFE_NO_PAD.decode(payload).ok();
                payload.filter(|_| holds).map(Bytes::from).ok_or(MISFIT)
            }
            (None, None) => {
                let opened = keys.verify_jws(issuer, compact, &self.algorithms).await;
                opened.map_err(|error| match error {
                    SignatureError::Bad => MISFIT,
                    SignatureError::Unavailable(why) => Unproven::Unavailable(why),
                })
            }
            _ => Err(Unproven::Forged("the algorithm does not fit the key")),
        }
    }

    fn algorithm(&self, header: &str, types: &Types) -> Result<Algorithm, &'static str> {
        let header = URL_SAFE_NO_PAD.decode(header).ok();
        let header = header.and_then(|header| payload::read::<Header>(&header).ok());
        let header = header.ok_or("the signature's header is not understood")?;
        if header.crit.is_some() || header.b64.is_some() {
            return Err("the signature's header has extensions");
        }
        if !types.admit(header.typ.as_deref()) {
            return Err("the signature is of another type");
        }
        let named = header.alg.and_then(|name| Algorithm::named(&name));
        let allowed = named.filter(|algorithm| self.algorithms.contains(algorithm));
        allowed.ok_or("the signature's algorithm is not allowed")
    }
}
