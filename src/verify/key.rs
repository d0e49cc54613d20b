//! A key that verifies tokens: a JWK (RFC 7517 §4) or a shared secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jsonwebtoken::DecodingKey;

use super::algorithm::{Algorithm, Algorithms};
use super::json::{Json, Object};
use super::jwk::{member, public_key, text};
use super::public::Unusable;
use super::verifying_key::VerifyingKey;
use crate::core::clock::UnixMillis;
use crate::core::secret::Secret;

/// Until when the keys of one source may be used. All keys from that source share it.
#[derive(Debug)]
pub(super) struct Lease(AtomicU64);

impl Lease {
    /// Returns a lease that is over: nothing was loaded yet.
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

/// A key, and the algorithms that it may be used with.
pub(super) struct Key {
    kid: Option<Box<str>>,
    algorithms: Algorithms,
    verifying: VerifyingKey,
    lease: Arc<Lease>,
    /// Set when the key left its set. Tokens that it verified are no longer good.
    retired: AtomicBool,
}

/// Which keys of a set may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub algorithms: Algorithms,
    /// Whether `use: jwt-svid` means signatures (SPIFFE JWT-SVID §4).
    pub jwt_svid: bool,
}

impl Key {
    /// Reads a public JWK. The key may be used with the algorithms that the terms, its type and its
    /// own `alg` share.
    pub(super) fn from_jwk(
        jwk: &Object<'_>,
        terms: Terms,
        lease: &Arc<Lease>,
    ) -> Result<Self, Unusable> {
        is_for_verifying(jwk, terms.jwt_svid)?;
        let own = text(jwk, "alg")?.map(own_algorithm).transpose()?;
        let public = public_key(jwk)?;
        let of_type = public.algorithms().iter().copied();
        let algorithms: Algorithms = of_type
            .filter(|one| terms.algorithms.contains(*one) && own.is_none_or(|own| own == *one))
            .collect();
        if algorithms.is_empty() {
            return Err(Unusable::Unsupported("no allowed algorithm fits it"));
        }
        Ok(Self {
            kid: text(jwk, "kid")?
                .filter(|kid| !kid.is_empty())
                .map(Box::from),
            algorithms,
            verifying: public.into_verifying()?,
            lease: Arc::clone(lease),
            retired: AtomicBool::new(false),
        })
    }

    /// Makes the key of a shared secret for HMAC (RFC 7518 §3.2), which never expires. The secret is
    /// long enough for the algorithms, all of which are HMAC.
    pub(super) fn from_secret(secret: &Secret, kid: Option<&str>, algorithms: Algorithms) -> Self {
        let lease = Lease::none();
        lease.extend(UnixMillis::MAX);
        Self {
            kid: kid.map(Box::from),
            algorithms,
            verifying: VerifyingKey::Jwt(DecodingKey::from_secret(secret.expose())),
            lease,
            retired: AtomicBool::new(false),
        }
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(algorithm)
    }

    /// Returns whether this key made the signature, with an algorithm that it may be used with.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        self.fits(algorithm) && self.verifying.verifies(algorithm, signed, signature)
    }

    /// Returns whether the tokens that this key verified are still good.
    pub(super) fn is_good(&self, now: UnixMillis) -> bool {
        !self.retired.load(Ordering::Acquire) && self.lease.holds(now)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Returns whether a newly read key changes nothing for the tokens that this one verified.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.kid == other.kid
            && self.algorithms == other.algorithms
            && self.verifying == other.verifying
    }
}

/// Shows neither the key's bytes nor its `kid`, which an issuer may derive from them.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// Checks `use` and `key_ops` (RFC 7517 §4.2, §4.3), and that the key is public. A private or
/// symmetric key in a published set is not secret any more.
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
            return Err(Unusable::OtherPurpose("its key_ops do not include verify"));
        }
        None | Some(Json::List(_)) => {}
        Some(_) => return Err(Unusable::Malformed("its key_ops is not a list")),
    }
    if member(jwk, "d").is_some() || member(jwk, "k").is_some() {
        return Err(Unusable::Exposed("it is private or symmetric"));
    }
    Ok(())
}

fn is_to_verify(operation: &Json<'_>) -> bool {
    matches!(operation, Json::Text(name) if name == "verify")
}

/// Reads `alg`. The algorithms of JWE (RFC 7518 §4.1) say that the key is for encryption, like
/// `use: enc`.
fn own_algorithm(name: &str) -> Result<Algorithm, Unusable> {
    const TO_ENCRYPT: [&str; 5] = ["RSA-OAEP", "RSA1_5", "ECDH-ES", "A", "PBES2"];
    Algorithm::named(name).ok_or_else(|| {
        if TO_ENCRYPT.iter().any(|prefix| name.starts_with(prefix)) || name == "dir" {
            return Unusable::OtherPurpose("its alg is for encryption");
        }
        Unusable::Unsupported("its alg is not supported")
    })
}
