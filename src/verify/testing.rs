//! Keys and tokens for tests: everything is signed for real.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The time of every test that does not say otherwise, in seconds.
pub(super) const NOW: u64 = 1_800_000_000;

/// 64 bytes, long enough for every HMAC.
pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) static RSA: LazyLock<Signer> = LazyLock::new(Signer::rsa);
pub(super) static RSA_2: LazyLock<Signer> = LazyLock::new(Signer::rsa);
pub(super) static P256: LazyLock<Signer> = LazyLock::new(Signer::p256);
pub(super) static P256_2: LazyLock<Signer> = LazyLock::new(Signer::p256);
pub(super) static P384: LazyLock<Signer> = LazyLock::new(Signer::p384);
pub(super) static P521: LazyLock<Signer> = LazyLock::new(Signer::p521);
pub(super) static ED: LazyLock<Signer> = LazyLock::new(Signer::ed);
pub(super) static HMAC: LazyLock<Signer> = LazyLock::new(|| Signer::hmac(SECRET.as_bytes()));

/// A private key of any kind, as PKCS#8, or a secret.
pub(super) enum Signer {
    Rsa(RsaKeyPair),
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed(Vec<u8>),
    Hmac(Vec<u8>),
}

impl Signer {
    pub(super) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(super) fn p256() -> Self {
        let random = SystemRandom::new();
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(pkcs8.as_ref().to_vec())
    }

    fn p384() -> Self {
        let random = SystemRandom::new();
        let algorithm = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P384(pkcs8.as_ref().to_vec())
    }

    fn p521() -> Self {
        let random = SystemRandom::new();
        let algorithm = &signature::ECDSA_P521_SHA512_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P521(pkcs8.as_ref().to_vec())
    }

    fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(pkcs8.as_ref().to_vec())
    }

    pub(super) fn hmac(secret: &[u8]) -> Self {
        Self::Hmac(secret.to_vec())
    }

    /// Returns the public JWK under a name, without `alg`.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let [n, e] = rsa_numbers(pair.public_key().as_ref());
                json!({"kty": "RSA", "kid": kid, "n": base64(n), "e": base64(e)})
            }
            Self::P256(pkcs8) => {
                let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap();
                ec_jwk("P-256", kid, pair.public_key().as_ref())
            }
            Self::P384(pkcs8) => {
                let algorithm = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap();
                ec_jwk("P-384", kid, pair.public_key().as_ref())
            }
            Self::P521(pkcs8) => {
                let algorithm = &signature::ECDSA_P521_SHA512_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap();
                ec_jwk("P-521", kid, pair.public_key().as_ref())
            }
            Self::Ed(pkcs8) => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).unwrap();
                let x = base64(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
            Self::Hmac(secret) => json!({"kty": "oct", "kid": kid, "k": base64(secret)}),
        }
    }

    /// Returns the public key's DER, as algorithm confusion would use it for a secret.
    pub(super) fn public_der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => {
                let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
                    pair.public_key().as_der().unwrap();
                der.as_ref().to_vec()
            }
            _ => unreachable!("only asked of RSA"),
        }
    }

    /// Returns the private key as PKCS#8 of version 1.
    pub(super) fn private_der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => {
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
                der.as_ref().to_vec()
            }
            Self::P256(pkcs8) | Self::P384(pkcs8) | Self::P521(pkcs8) => pkcs8.clone(),
            Self::Ed(pkcs8) => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).unwrap();
                pair.to_pkcs8v1().unwrap().as_ref().to_vec()
            }
            Self::Hmac(_) => unreachable!("not asked of secrets"),
        }
    }

    /// Signs by an algorithm that the key can do, or an honest attempt at another.
    pub(super) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => {
                let encoding: &'static dyn signature::RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(encoding, &random, message, &mut signed).unwrap();
                signed
            }
            Self::P256(pkcs8) => {
                let (fixed, der) = (
                    &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                    &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                );
                let format = if algorithm == "DER" { der } else { fixed };
                ec_sign(&EcdsaKeyPair::from_pkcs8(format, pkcs8).unwrap(), message)
            }
            Self::P384(pkcs8) => {
                let algorithm = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
                ec_sign(
                    &EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap(),
                    message,
                )
            }
            Self::P521(pkcs8) => {
                let algorithm = &signature::ECDSA_P521_SHA512_FIXED_SIGNING;
                ec_sign(
                    &EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap(),
                    message,
                )
            }
            Self::Ed(pkcs8) => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).unwrap();
                pair.sign(message).as_ref().to_vec()
            }
            Self::Hmac(secret) => {
                let hash = match algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                let key = hmac::Key::new(hash, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }

    /// Returns a token with this header and payload, word for word.
    pub(super) fn seal(&self, algorithm: &str, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", base64(header), base64(payload));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", base64(&signature))
    }

    /// Returns a token with the usual header.
    pub(super) fn token(&self, algorithm: &str, kid: &str, payload: &Value) -> String {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": kid}).to_string();
        self.seal(algorithm, header.as_bytes(), payload.to_string().as_bytes())
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ec_sign(pair: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    let signed = pair.sign(&SystemRandom::new(), message).unwrap();
    signed.as_ref().to_vec()
}

fn ec_jwk(curve: &str, kid: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "kid": kid, "x": base64(x), "y": base64(y)})
}

/// Modulus and exponent out of a DER `RSAPublicKey` (RFC 8017 §A.1.1).
fn rsa_numbers(der: &[u8]) -> [&[u8]; 2] {
    fn item(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, start) = match der[1] {
            0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
            0x81 => (usize::from(der[2]), 3),
            short => (usize::from(short), 2),
        };
        der[start..].split_at(length)
    }
    let (inner, _) = item(der);
    let (n, rest) = item(inner);
    let (e, _) = item(rest);
    [n.strip_prefix(&[0]).unwrap_or(n), e]
}
