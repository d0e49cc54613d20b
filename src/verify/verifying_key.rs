//! Checks signatures. jsonwebtoken does it with its aws-lc back end, except for ES512, which it does
//! not know.

use aws_lc_rs::signature::ParsedPublicKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{DecodingKey, DecodingKeyKind};

use super::algorithm::Algorithm;

/// A key in the form that checks signatures.
pub(super) enum VerifyingKey {
    Jwt(DecodingKey),
    /// A key on the curve P-521, which only ES512 uses.
    P521(ParsedPublicKey),
}

impl VerifyingKey {
    /// Returns whether this key made the signature. An algorithm of another type of key verifies
    /// nothing; among those of its type the caller chooses.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm.in_jsonwebtoken()) {
            (Self::Jwt(key), Some(algorithm)) => {
                (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key)
                    .is_ok_and(|verifier| verifier.verify(signed, &signature.to_vec()).is_ok())
            }
            (Self::P521(key), None) => key.verify_sig(signed, signature).is_ok(),
            _ => false,
        }
    }

    fn bytes(&self) -> [&[u8]; 2] {
        match self {
            Self::Jwt(key) => match key.kind() {
                DecodingKeyKind::SecretOrDer(bytes) => [bytes, &[]],
                DecodingKeyKind::RsaModulusExponent { n, e } => [n, e],
            },
            Self::P521(key) => [key.as_ref(), &[]],
        }
    }
}

/// Keys are equal when they consist of the same bytes.
impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}
