//! One key that signs.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};

use crate::core::secret::Secret;

/// A private key, and its public half for the key set.
pub(super) struct Key {
    header: Header,
    private: EncodingKey,
    pub(super) public: Jwk,
}

impl Key {
    /// Reads a key in PKCS#8. Its name (`kid`) is its thumbprint (RFC 7638).
    pub(super) fn of(pkcs8: &[u8]) -> Option<Self> {
        let kinds = [
            (Algorithm::ES256, EncodingKey::from_ec_der(pkcs8)),
            (Algorithm::EdDSA, EncodingKey::from_ed_der(pkcs8)),
        ];
        kinds.into_iter().find_map(|(algorithm, private)| {
            let mut public = Jwk::from_encoding_key(&private, algorithm).ok()?;
            let name = public.thumbprint(ThumbprintHash::SHA256).ok();
            public.common.key_id.clone_from(&name);
            public.common.public_key_use = Some(PublicKeyUse::Signature);
            Some(Self {
                header: Header {
                    kid: name,
                    ..Header::new(algorithm)
                },
                private,
                public,
            })
        })
    }

    /// Reads a key from a PEM file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(super) fn from_file(path: &Path) -> Result<Self, String> {
        let pem = Secret::from_file(path)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose()).ok();
        der.and_then(|der| Self::of(der.secret_pkcs8_der()))
            .ok_or_else(|| {
                let path = path.display();
                format!(
                    "{path} holds no private key on P-256 or Ed25519 in PKCS#8 (BEGIN PRIVATE KEY); \
                     `openssl pkcs8 -topk8 -nocrypt` converts others"
                )
            })
    }

    /// Makes a new key, in PKCS#8.
    pub(super) fn generate() -> Result<Secret, String> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|document| Secret::new(document.as_ref()))
            .map_err(|_| "cannot make a key for assertions".to_owned())
    }

    /// Returns a signed JWT; `None` when the cryptography fails.
    pub(super) fn sign(&self, claims: &Map<String, Value>) -> Option<String> {
        jsonwebtoken::encode(&self.header, claims, &self.private).ok()
    }
}
