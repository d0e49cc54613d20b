//! One key that verifies signatures: a JWK (RFC 7517 §4) or a shared secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;

use super::algorithm::{Algorithm, Algorithms, Family};
use super::json::{Json, Object};
use super::public::{Public, Unusable, member, text};
use crate::core::clock::UnixMillis;
use crate::core::secret::Secret;

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

/// Which keys of a set may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub algorithms: Algorithms,
    /// Whether `use: jwt-svid` means signatures (SPIFFE JWT-SVID §4).
    pub jwt_svid: bool,
}

impl Key {
    /// Reads a public JWK. It gets the algorithms that the terms, its type and its own `alg` share.
    pub(super) fn from_jwk(
        jwk: &Object<'_>,
        terms: Terms,
        lease: &Arc<Lease>,
    ) -> Result<Self, Unusable> {
        is_for_verifying(jwk, terms.jwt_svid)?;
        let own = text(jwk, "alg")?.map(own_algorithm).transpose()?;
        let public = Public::from_jwk(jwk)?;
        let fits = |algorithm: &Algorithm| own.is_none_or(|own| own == *algorithm);
        let mut checks = Vec::new();
        for algorithm in terms.algorithms.iter().filter(fits) {
            if let Some(key) = public.parse(algorithm)? {
                checks.push((algorithm, Check::Public(key)));
            }
        }
        if checks.is_empty() {
            return Err(Unusable::Unsupported("no allowed algorithm fits it"));
        }
        Ok(Self {
            kid: text(jwk, "kid")?
                .filter(|kid| !kid.is_empty())
                .map(Box::from),
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
fn is_for_verifying(jwk: &Object<'_>, jwt_svid: bool) -> Result<(), Unusable> {
    match text(jwk, "use")? {
        None | Some("sig") => {}
        Some("jwt-svid") if jwt_svid => {}
        Some(_) => return Err(Unusable::OtherPurpose("its use is not sig")),
    }
    match member(jwk, "key_ops") {
        Some(Json::List(operations))
            if !operations.is_empty() && !operations.iter().any(is_to_verify) =>
        {
            return Err(Unusable::OtherPurpose("its key_ops lack verify"));
        }
        None | Some(Json::List(_)) => {}
        Some(_) => return Err(Unusable::Malformed("its key_ops are no list")),
    }
    if member(jwk, "d").is_some() || member(jwk, "k").is_some() {
        return Err(Unusable::Exposed("it is private or symmetric"));
    }
    Ok(())
}

fn is_to_verify(operation: &Json<'_>) -> bool {
    matches!(operation, Json::Text(name) if name == "verify")
}

/// The algorithms of JWE (RFC 7518 §4.1) name another purpose as `use: enc` does.
fn own_algorithm(name: &str) -> Result<Algorithm, Unusable> {
    const TO_ENCRYPT: [&str; 5] = ["RSA-OAEP", "RSA1_5", "ECDH-ES", "A", "PBES2"];
    Algorithm::named(name).ok_or_else(|| {
        if TO_ENCRYPT.iter().any(|prefix| name.starts_with(prefix)) || name == "dir" {
            return Unusable::OtherPurpose("its alg is for encryption");
        }
        Unusable::Unsupported("its alg is not supported")
    })
}
