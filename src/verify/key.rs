//! One key that verifies signatures: a JWK (RFC 7517 §4) or a shared secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RsaPublicKeyComponents,
};

use super::algorithm::{Algorithm, Algorithms, Family};
use super::json::{Json, Object};
use super::jws;
use crate::clock::UnixMillis;
use crate::secret::Secret;

/// How long the keys of one source may be used: shared by all keys that came from it.
#[derive(Debug)]
pub(super) struct Lease(AtomicU64);

impl Lease {
    /// Nothing was loaded yet.
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(0)))
    }

    pub(super) fn extend(&self, until: UnixMillis) {
        self.0.store(until.0, Ordering::Release);
    }

    pub(super) fn holds(&self, now: UnixMillis) -> bool {
        now.0 < self.0.load(Ordering::Acquire)
    }
}

/// A key, parsed once for each algorithm that it may be used with.
pub(super) struct Key {
    kid: Option<Box<str>>,
    checks: Vec<(Algorithm, Check)>,
    /// Tells whether a key in a later set is this one.
    material: Box<[u8]>,
    lease: Arc<Lease>,
    /// Set when the key left its set. Whatever it verified is no longer good.
    retired: AtomicBool,
}

enum Check {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// Why a key in a set is skipped.
pub(super) type Unusable = &'static str;

impl Key {
    /// Reads a public JWK. It gets the algorithms that `allowed`, its type and its own `alg`
    /// share.
    pub(super) fn from_jwk(
        jwk: &Object<'_>,
        allowed: Algorithms,
        lease: &Arc<Lease>,
    ) -> Result<Self, Unusable> {
        is_for_verifying(jwk)?;
        let own = match text(jwk, "alg")? {
            None => None,
            Some(name) => Some(Algorithm::named(name).ok_or("its alg is not supported")?),
        };
        let public = Public::from_jwk(jwk)?;
        let fits = |algorithm: &Algorithm| own.is_none_or(|own| own == *algorithm);
        let mut checks = Vec::new();
        for algorithm in allowed.iter().filter(fits) {
            if let Some(key) = public.parse(algorithm)? {
                checks.push((algorithm, Check::Public(key)));
            }
        }
        if checks.is_empty() {
            return Err("no allowed algorithm fits it");
        }
        Ok(Self {
            kid: text(jwk, "kid")?.map(Box::from),
            checks,
            material: public.material(),
            lease: Arc::clone(lease),
            retired: AtomicBool::new(false),
        })
    }

    /// A shared secret for HMAC (RFC 7518 §3.2), good for ever. Its length was checked.
    pub(super) fn from_secret(secret: &Secret, kid: Option<&str>, allowed: Algorithms) -> Self {
        let checks = allowed
            .iter()
            .filter_map(|algorithm| match algorithm.family() {
                Family::Hmac(hash) => {
                    let key = hmac::Key::new(hash, secret.expose());
                    Some((algorithm, Check::Secret(Box::new(key))))
                }
                _ => None,
            });
        let lease = Lease::none();
        lease.extend(UnixMillis::MAX);
        Self {
            kid: kid.map(Box::from),
            checks: checks.collect(),
            material: Box::default(),
            lease,
            retired: AtomicBool::new(false),
        }
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.checks.iter().any(|(held, _)| *held == algorithm)
    }

    /// Whether the signature is this key's. An algorithm that does not fit verifies nothing.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let check = self.checks.iter().find(|(held, _)| *held == algorithm);
        match check {
            None => false,
            Some((_, Check::Public(key))) => key.verify_sig(signed, signature).is_ok(),
            Some((_, Check::Secret(key))) => hmac::verify(key, signed, signature).is_ok(),
        }
    }

    /// Whether what this key verified is still good.
    pub(super) fn is_good(&self, now: UnixMillis) -> bool {
        !self.retired.load(Ordering::Acquire) && self.lease.holds(now)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether a newly read key changes nothing for tokens that this one verified.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let algorithms = |key: &Self| key.checks.iter().map(|(held, _)| *held).collect::<Vec<_>>();
        self.kid == other.kid
            && self.material == other.material
            && algorithms(self) == algorithms(other)
    }
}

/// Neither the material nor the `kid`, which an issuer may derive from it.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// RFC 7517 §4.2 and §4.3. A private or symmetric key in a published set is no secret any more.
fn is_for_verifying(jwk: &Object<'_>) -> Result<(), Unusable> {
    if jwk.get("d").is_some() || jwk.get("k").is_some() {
        return Err("it is private or symmetric");
    }
    if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err("its use is not sig");
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Json::List(operations)) if operations.iter().any(is_to_verify) => Ok(()),
        Some(_) => Err("its key_ops lack verify"),
    }
}

fn is_to_verify(operation: &Json<'_>) -> bool {
    matches!(operation, Json::Text(name) if name == "verify")
}

/// The public part as the JWK gives it (RFC 7518 §6, RFC 8037 §2).
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Public {
    fn from_jwk(jwk: &Object<'_>) -> Result<Self, Unusable> {
        match (text(jwk, "kty")?, text(jwk, "crv")?) {
            (Some("RSA"), _) => Self::rsa(jwk),
            (Some("EC"), Some("P-256")) => Ok(Self::P256(point(jwk, 32)?)),
            (Some("EC"), Some("P-384")) => Ok(Self::P384(point(jwk, 48)?)),
            (Some("OKP"), Some("Ed25519")) => Ok(Self::Ed25519(sized(jwk, "x", 32)?)),
            _ => Err("its type or curve is not supported"),
        }
    }

    fn rsa(jwk: &Object<'_>) -> Result<Self, Unusable> {
        let n = without_leading_zeros(bytes(jwk, "n")?);
        let e = without_leading_zeros(bytes(jwk, "e")?);
        let spare = n.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(2048..=8192).contains(&(n.len() * 8 - spare)) {
            return Err("an RSA key has 2048 to 8192 bits");
        }
        // The back end takes any numbers: under an exponent of 1 anyone can sign.
        let exponent = e
            .iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        if e.len() > 4 || exponent < 3 || !odd(&e) || !odd(&n) {
            return Err("its numbers make no key");
        }
        Ok(Self::Rsa { n, e })
    }

    /// The parsed key for one algorithm; nothing when the algorithm needs another type.
    fn parse(&self, algorithm: Algorithm) -> Result<Option<ParsedPublicKey>, Unusable> {
        let parsed = match (self, algorithm.family()) {
            (Self::Rsa { n, e }, Family::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters)
            }
            (Self::P256(point), Family::P256) => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            }
            (Self::P384(point), Family::P384) => {
                ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
            }
            (Self::Ed25519(x), Family::Ed25519) => ParsedPublicKey::new(&ED25519, x),
            _ => return Ok(None),
        };
        parsed.map(Some).map_err(|_| "its numbers make no key")
    }

    fn material(&self) -> Box<[u8]> {
        match self {
            Self::Rsa { n, e } => [n.as_slice(), e].concat().into(),
            Self::P256(bytes) | Self::P384(bytes) | Self::Ed25519(bytes) => bytes.clone().into(),
        }
    }
}

fn odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last % 2 == 1)
}

fn point(jwk: &Object<'_>, size: usize) -> Result<Vec<u8>, Unusable> {
    const UNCOMPRESSED: u8 = 4;
    let (x, y) = (sized(jwk, "x", size)?, sized(jwk, "y", size)?);
    Ok([&[UNCOMPRESSED], x.as_slice(), &y].concat())
}

fn sized(jwk: &Object<'_>, name: &str, size: usize) -> Result<Vec<u8>, Unusable> {
    let bytes = bytes(jwk, name)?;
    (bytes.len() == size)
        .then_some(bytes)
        .ok_or("a coordinate has the wrong length")
}

fn bytes(jwk: &Object<'_>, name: &str) -> Result<Vec<u8>, Unusable> {
    let encoded = text(jwk, name)?.ok_or("a member is missing")?;
    jws::decode(encoded).map_err(|_| "a member is not base64url")
}

fn without_leading_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

fn text<'m>(jwk: &'m Object<'_>, name: &str) -> Result<Option<&'m str>, Unusable> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err("a member is not text"),
    }
}
