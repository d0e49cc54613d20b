//! The signature algorithms (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2), and sets of them.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a JWS is signed: the values of the header's `alg`. `none` is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(transform = with_other_names)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    // With Ed25519 keys only, so RFC 9864's name for that says the same.
    #[serde(alias = "Ed25519")]
    EdDSA,
    HS256,
    HS384,
    HS512,
}

/// Adds to the schema what serde takes beside the variants' own names.
fn with_other_names(schema: &mut schemars::Schema) {
    let names = schema
        .get_mut("enum")
        .and_then(|names| names.as_array_mut());
    if let Some(names) = names {
        names.push("Ed25519".into());
    }
}

/// What kind of key an algorithm needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa(&'static RsaParameters),
    P256,
    P384,
    P521,
    Ed25519,
    Hmac(hmac::Algorithm),
}

impl Algorithm {
    pub(super) const ALL: [Self; 13] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
        Self::HS256,
        Self::HS384,
        Self::HS512,
    ];

    /// Names are compared with case (RFC 7515 §4.1.1): `None` and `rs256` name nothing.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "ES512" => Self::ES512,
            "EdDSA" | "Ed25519" => Self::EdDSA,
            "HS256" => Self::HS256,
            "HS384" => Self::HS384,
            "HS512" => Self::HS512,
            _ => return None,
        })
    }

    pub(super) fn family(self) -> Family {
        match self {
            Self::RS256 => Family::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Family::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Family::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Family::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Family::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Family::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::ES256 => Family::P256,
            Self::ES384 => Family::P384,
            Self::ES512 => Family::P521,
            Self::EdDSA => Family::Ed25519,
            Self::HS256 => Family::Hmac(hmac::HMAC_SHA256),
            Self::HS384 => Family::Hmac(hmac::HMAC_SHA384),
            Self::HS512 => Family::Hmac(hmac::HMAC_SHA512),
        }
    }

    /// The hash of an HMAC algorithm; `None` for the asymmetric ones.
    pub(crate) fn hmac(self) -> Option<hmac::Algorithm> {
        match self.family() {
            Family::Hmac(hash) => Some(hash),
            _ => None,
        }
    }

    pub(crate) fn is_hmac(self) -> bool {
        self.hmac().is_some()
    }

    /// The shortest secret that carries the algorithm's strength (RFC 7518 §3.2), in bytes; zero
    /// for the asymmetric ones.
    pub(crate) fn shortest_secret(self) -> usize {
        self.hmac()
            .map_or(0, |hash| hash.digest_algorithm().output_len())
    }
}

/// A set of algorithms in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Algorithms(u16);

impl Algorithms {
    pub(super) const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & (1 << algorithm as u16) != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL
            .into_iter()
            .filter(move |one| self.contains(*one))
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        let add = |set, algorithm| set | (1 << algorithm as u16);
        Self(algorithms.into_iter().fold(0, add))
    }
}
