//! Signing keys made at run time, so that no private key lies in the repository.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The kinds of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rs256,
    Ps256,
    Es256,
    Es384,
    EdDsa,
}

enum Secret {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
    Hmac(Box<hmac::Key>),
}

/// A private key, its `kid`, and the JWK that a key set shows of it.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) alg: &'static str,
    secret: Secret,
}

impl SigningKey {
    pub(crate) fn new(kind: Kind, id: &str) -> Self {
        let (alg, secret) = match kind {
            Kind::Rs256 => ("RS256", rsa_key(&RSA_PKCS1_SHA256)),
            Kind::Ps256 => ("PS256", rsa_key(&RSA_PSS_SHA256)),
            Kind::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                ("ES256", Secret::Ec(pair, "P-256"))
            }
            Kind::Es384 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
                ("ES384", Secret::Ec(pair, "P-384"))
            }
            Kind::EdDsa => ("EdDSA", Secret::Ed(Ed25519KeyPair::generate().unwrap())),
        };
        Self {
            kid: id.to_owned(),
            alg,
            secret,
        }
    }

    /// HS256 with the given bytes: what an attacker has who knows a public key.
    pub(crate) fn hs256(secret: &[u8], kid: &str) -> Self {
        let secret = Secret::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        Self {
            kid: kid.to_owned(),
            alg: "HS256",
            secret,
        }
    }

    /// The signature in the form of JWS (RFC 7518 §3).
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*padding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Secret::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Secret::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Secret::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        }
    }

    /// The public half as a JWK (RFC 7517, RFC 8037).
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.secret {
            Secret::Rsa(pair, _) => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": base64url(public.modulus().big_endian_without_leading_zero()),
                    "e": base64url(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Secret::Ec(pair, curve) => {
                // Uncompressed point: 04, x, y.
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
            }
            Secret::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref()) })
            }
            Secret::Hmac(_) => panic!("a shared secret has no public half"),
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg);
        jwk["use"] = json!("sig");
        jwk
    }
}

fn rsa_key(padding: &'static dyn RsaEncoding) -> Secret {
    Secret::Rsa(
        RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
        padding,
    )
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
