//! The signature algorithms (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2), and sets of them.

use aws_lc_rs::hmac;
use schemars::JsonSchema;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

/// A signature algorithm, named as in the header's `alg`. `none` is not one of them.
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
    // Only Ed25519 keys are supported, so RFC 9864's name for those means the same.
    #[serde(alias = "Ed25519")]
    EdDSA,
    HS256,
    HS384,
    HS512,
}

/// Adds the alias to the schema.
fn with_other_names(schema: &mut schemars::Schema) {
    let names = schema
        .get_mut("enum")
        .and_then(|names| names.as_array_mut());
    if let Some(names) = names {
        names.push("Ed25519".into());
    }
}

impl Algorithm {
    pub(crate) const ALL: [Self; 13] = [
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

    /// Returns the algorithm of this name. Names are case-sensitive (RFC 7515 §4.1.1).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name: StrDeserializer<'_, Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }

    /// Returns the algorithm as jsonwebtoken has it; `None` for ES512, which it does not know.
    pub(super) const fn in_jsonwebtoken(self) -> Option<jsonwebtoken::Algorithm> {
        use jsonwebtoken::Algorithm as Jwt;
        Some(match self {
            Self::RS256 => Jwt::RS256,
            Self::RS384 => Jwt::RS384,
            Self::RS512 => Jwt::RS512,
            Self::PS256 => Jwt::PS256,
            Self::PS384 => Jwt::PS384,
            Self::PS512 => Jwt::PS512,
            Self::ES256 => Jwt::ES256,
            Self::ES384 => Jwt::ES384,
            Self::ES512 => return None,
            Self::EdDSA => Jwt::EdDSA,
            Self::HS256 => Jwt::HS256,
            Self::HS384 => Jwt::HS384,
            Self::HS512 => Jwt::HS512,
        })
    }

    /// Returns the hash of an HMAC algorithm; `None` for the asymmetric ones.
    pub(crate) fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Self::HS256 => Some(hmac::HMAC_SHA256),
            Self::HS384 => Some(hmac::HMAC_SHA384),
            Self::HS512 => Some(hmac::HMAC_SHA512),
            _ => None,
        }
    }

    pub(crate) fn is_hmac(self) -> bool {
        self.hmac().is_some()
    }

    /// Returns the length in bytes of the shortest secret that is as strong as the algorithm
    /// (RFC 7518 §3.2); zero for the asymmetric ones.
    pub(crate) fn shortest_secret(self) -> usize {
        self.hmac()
            .map_or(0, |hash| hash.digest_algorithm().output_len())
    }
}

/// A set of algorithms, one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Algorithms(u16);

impl Algorithms {
    pub(super) fn hmac() -> Self {
        let all = Algorithm::ALL.into_iter();
        all.filter(|algorithm| algorithm.is_hmac()).collect()
    }

    pub(super) const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & (1 << algorithm as u16) != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
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
