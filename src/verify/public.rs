//! The public part of a JWK (RFC 7518 §6, RFC 8037 §2), and what makes it unusable.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::DecodingKey;

use super::algorithm::Algorithm;
use super::verifying_key::VerifyingKey;

/// Why a key in a set is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unusable {
    /// Published for something other than signatures. Nothing is wrong with that.
    OtherPurpose(&'static str),
    /// Its member `issuer` names another issuer. Nothing is wrong with that.
    OtherIssuer(&'static str),
    /// A type, curve or algorithm that is not supported, or not allowed for this issuer.
    Unsupported(&'static str),
    /// Not a key as the specifications write it.
    Malformed(&'static str),
    /// Anyone could forge its signatures.
    Weak(&'static str),
    /// Private or symmetric: whoever fetched the set can sign with it.
    Exposed(&'static str),
}

impl Unusable {
    /// The values of the metric's label `reason`.
    pub(super) const KINDS: [&'static str; 6] = [
        "other_purpose",
        "other_issuer",
        "unsupported",
        "malformed",
        "weak",
        "exposed",
    ];

    /// Returns its value of the label, and the reason for people.
    pub(super) const fn parts(self) -> (&'static str, &'static str) {
        let (kind, why) = match self {
            Self::OtherPurpose(why) => (0, why),
            Self::OtherIssuer(why) => (1, why),
            Self::Unsupported(why) => (2, why),
            Self::Malformed(why) => (3, why),
            Self::Weak(why) => (4, why),
            Self::Exposed(why) => (5, why),
        };
        (Self::KINDS[kind], why)
    }
}

/// The numbers of a public key, not judged yet. Keys on curves are encoded points.
pub(super) enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

const NO_KEY: Unusable = Unusable::Malformed("its numbers make no key");

impl Public {
    pub(super) const fn kty(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RSA",
            Self::P256(_) | Self::P384(_) | Self::P521(_) => "EC",
            Self::Ed25519(_) => "OKP",
        }
    }

    /// Returns the algorithms of this type of key.
    pub(super) const fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa { .. } => &[RS256, RS384, RS512, PS256, PS384, PS512],
            Self::P256(_) => &[ES256],
            Self::P384(_) => &[ES384],
            Self::P521(_) => &[ES512],
            Self::Ed25519(_) => &[EdDSA],
        }
    }

    /// Makes the key that verifies. jsonwebtoken looks at a key only when it verifies with it, so the
    /// key is checked here, including what aws-lc accepts and must not be: under an RSA exponent of 1,
    /// or an Ed25519 point of small order, one signature fits every message.
    pub(super) fn into_verifying(self) -> Result<VerifyingKey, Unusable> {
        let on_curve =
            |algorithm, point| ParsedPublicKey::new(algorithm, point).map_err(|_| NO_KEY);
        Ok(VerifyingKey::Jwt(match &self {
            Self::Rsa { n, e } => {
                check_rsa(n, e)?;
                RsaPublicKeyComponents { n, e }
                    .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                    .map_err(|_| NO_KEY)?;
                DecodingKey::from_rsa_raw_components(n, e)
            }
            Self::P256(point) => {
                on_curve(&ECDSA_P256_SHA256_FIXED, point)?;
                DecodingKey::from_ec_der(point)
            }
            Self::P384(point) => {
                on_curve(&ECDSA_P384_SHA384_FIXED, point)?;
                DecodingKey::from_ec_der(point)
            }
            Self::P521(point) => {
                return on_curve(&ECDSA_P521_SHA512_FIXED, point).map(VerifyingKey::P521);
            }
            Self::Ed25519(x) => {
                check_ed25519(x)?;
                DecodingKey::from_ed_der(x)
            }
        }))
    }
}

/// Checks the size and the exponent. Both numbers are without leading zeros.
fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), Unusable> {
    let spare = n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2048..=8192).contains(&(n.len() * 8 - spare)) {
        return Err(Unusable::Weak("an RSA key has 2048 to 8192 bits"));
    }
    let exponent = e
        .iter()
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    if e.len() > 4 || exponent < 3 || !odd(e) || !odd(n) {
        return Err(Unusable::Weak("its numbers make no RSA key"));
    }
    Ok(())
}

/// RFC 8032 §5.1.3: a point of the curve in its one encoding, and not of small order.
fn check_ed25519(encoded: &[u8]) -> Result<(), Unusable> {
    let encoded = CompressedEdwardsY::from_slice(encoded).map_err(|_| NO_KEY)?;
    let point = encoded.decompress().ok_or(NO_KEY)?;
    if point.compress() != encoded {
        return Err(Unusable::Malformed("its point is not encoded canonically"));
    }
    if point.is_small_order() {
        return Err(Unusable::Weak("its point has a small order"));
    }
    Ok(())
}

fn odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last % 2 == 1)
}
