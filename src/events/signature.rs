//! Signatures that come as a compact JWS (RFC 7515) about the body.

use std::path::PathBuf;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use super::credentials::check_secret;
use super::delivery::Unproven;
use super::json::{self, Place, Wanted};
use super::keys::{Keys, SignatureError};
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Check, Encoding, Live, Sources};
use crate::verify::Algorithm;

/// A signature over the raw body. Without a secret the keys of the issuer verify it.
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
    /// A file that holds the shared secret; one line break at the end of text is dropped. It is read
    /// again when it changes.
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
    pub fn check(&self, errors: &mut ConfigErrors) {
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
            check_secret(
                "secret",
                self.secret.as_ref(),
                self.secret_file.as_ref(),
                errors,
            );
        }
        for secret in self.secret.iter().flat_map(Sources::inline) {
            let inline = Sources::from(secret.clone());
            let read = Sources::of("secret", Some(&inline), None)
                .and_then(|sources| Live::read(sources, self.encoding, self.check_length()));
            if let Err(message) = read {
                errors.push("secret", message);
            }
        }
    }

    /// Returns a check that a secret is as long as the longest hash (RFC 7518 §3.2).
    fn check_length(&self) -> Check {
        let algorithms = self.algorithms.iter();
        let shortest = algorithms
            .map(|algorithm| algorithm.shortest_secret())
            .max();
        let shortest = shortest.unwrap_or_default();
        Box::new(move |secret| {
            if secret.expose().len() < shortest {
                return Err(format!(
                    "the secret is shorter than {shortest} bytes, the length of the algorithm's hash"
                ));
            }
            Ok(())
        })
    }
}

/// How signatures are verified.
#[derive(Debug)]
pub(super) struct Signature {
    algorithms: Vec<Algorithm>,
    /// `None`: the keys of the issuer.
    secret: Option<Live>,
}

static HEADER: Wanted = Wanted::Members(&[
    ("alg", Wanted::Whole),
    ("typ", Wanted::Whole),
    ("crit", Wanted::Whole),
    ("b64", Wanted::Whole),
]);

impl Signature {
    /// Reads the secret.
    ///
    /// # Errors
    /// A sentence that names the field and the file.
    pub(super) fn build(config: &Config) -> Result<Self, String> {
        let (given, file) = (config.secret.as_ref(), config.secret_file.as_ref());
        let read = |sources| Live::read(sources, config.encoding, config.check_length());
        let secret = if config.has_secret() {
            Some(Sources::of("secret", given, file).and_then(read)?)
        } else {
            None
        };
        let fits = |algorithm: &Algorithm| algorithm.is_hmac() == secret.is_some();
        if config.algorithms.is_empty() || !config.algorithms.iter().all(fits) {
            return Err("signature: the algorithms do not fit the keys".to_owned());
        }
        Ok(Self {
            algorithms: config.algorithms.clone(),
            secret,
        })
    }

    /// Verifies a compact JWS and returns its payload. Its header is looked at before any key is:
    /// the algorithm must be one of the configured ones, and nothing in it may be critical.
    pub(super) async fn open(
        &self,
        compact: &str,
        issuer: &str,
        keys: &dyn Keys,
    ) -> Result<Bytes, Unproven> {
        let jws = Jws::split(compact).ok_or(Unproven::Forged("the signature is no JWS"))?;
        let algorithm = self.algorithm(jws.header).map_err(Unproven::Forged)?;
        match (&self.secret, algorithm.hmac()) {
            (Some(secret), Some(hash)) => {
                let secrets = secret.now();
                let mut keys = secrets
                    .iter()
                    .map(|secret| hmac::Key::new(hash, secret.expose()));
                keys.find_map(|key| jws.open(&key))
                    .ok_or(Unproven::Forged("the signature does not fit"))
            }
            (None, None) => {
                let opened = keys.verify_jws(issuer, compact, &self.algorithms).await;
                opened.map_err(|error| match error {
                    SignatureError::Bad => Unproven::Forged("the signature does not fit"),
                    SignatureError::Unavailable(why) => Unproven::KeysUnavailable(why),
                })
            }
            _ => Err(Unproven::Forged("the algorithm does not fit the key")),
        }
    }

    fn algorithm(&self, header: &str) -> Result<Algorithm, &'static str> {
        const UNREADABLE: &str = "the signature's header is not understood";
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| UNREADABLE)?;
        let header = json::parse(&header, &HEADER).map_err(|_| UNREADABLE)?;
        let header = Place::root(&header);
        let member = |name| header.member(name).map_err(|_| UNREADABLE);
        if member("crit")?.given().is_some() || member("b64")?.given().is_some() {
            return Err("the signature's header has extensions");
        }
        if let Some(kind) = member("typ")?.given() {
            let kind = kind.text("a type").map_err(|_| UNREADABLE)?;
            if !kind.eq_ignore_ascii_case("JWT") {
                return Err("the signature is of another type");
            }
        }
        let name = member("alg")?
            .text("an algorithm")
            .map_err(|_| UNREADABLE)?;
        Algorithm::named(name)
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or("the signature's algorithm is not allowed")
    }
}

/// The three parts of a compact JWS, still encoded.
struct Jws<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// What was signed: header and payload with the dot between them.
    signed: &'a str,
}

impl<'a> Jws<'a> {
    fn split(compact: &'a str) -> Option<Self> {
        let (signed, signature) = compact.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let is_compact = !payload.contains('.') && !signature.is_empty();
        is_compact.then_some(Self {
            header,
            payload,
            signature,
            signed,
        })
    }

    /// The payload if the tag fits, compared in constant time.
    fn open(&self, key: &hmac::Key) -> Option<Bytes> {
        let tag = URL_SAFE_NO_PAD.decode(self.signature).ok()?;
        hmac::verify(key, self.signed.as_bytes(), &tag).ok()?;
        URL_SAFE_NO_PAD.decode(self.payload).ok().map(Bytes::from)
    }
}
