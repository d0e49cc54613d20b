//! The members of a JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::certificate;
use super::json::{Json, Object};
use super::jws;
use super::public::{Public, Unusable};

/// Reads a JWK's own members, or the certificate in `x5c` if it has none.
pub(super) fn public_key(jwk: &Object<'_>) -> Result<Public, Unusable> {
    let own = ["n", "x"].iter().any(|name| member(jwk, name).is_some());
    match member(jwk, "x5c") {
        Some(chain) if !own => from_chain(jwk, chain),
        _ => from_members(jwk),
    }
}

fn from_members(jwk: &Object<'_>) -> Result<Public, Unusable> {
    match (text(jwk, "kty")?, text(jwk, "crv")?) {
        (Some("RSA"), _) => Ok(Public::Rsa {
            n: number(jwk, "n")?,
            e: number(jwk, "e")?,
        }),
        (Some("EC"), Some("P-256")) => Ok(Public::P256(point(jwk, 32)?)),
        (Some("EC"), Some("P-384")) => Ok(Public::P384(point(jwk, 48)?)),
        (Some("EC"), Some("P-521")) => Ok(Public::P521(point(jwk, 66)?)),
        (Some("OKP"), Some("Ed25519")) => Ok(Public::Ed25519(bytes(jwk, "x")?)),
        (Some("OKP"), Some("X25519" | "X448")) => {
            Err(Unusable::OtherPurpose("it is for key agreement"))
        }
        (None, _) => Err(Unusable::Malformed("it has no kty")),
        _ => Err(Unusable::Unsupported("its type or curve is not supported")),
    }
}

/// RFC 7517 §4.7: the first certificate has the key, in base64 with padding.
fn from_chain(jwk: &Object<'_>, chain: &Json<'_>) -> Result<Public, Unusable> {
    const NO_CERTIFICATE: Unusable =
        Unusable::Malformed("its x5c has no certificate with a supported key");
    let first = match chain {
        Json::List(certificates) => certificates.first(),
        _ => None,
    };
    let Some(Json::Text(first)) = first else {
        return Err(NO_CERTIFICATE);
    };
    let der = STANDARD.decode(&**first).map_err(|_| NO_CERTIFICATE)?;
    let public = certificate::public_key(&der).ok_or(NO_CERTIFICATE)?;
    if text(jwk, "kty")?.is_some_and(|kty| kty != public.kty()) {
        return Err(Unusable::Malformed("its kty is not that of its x5c"));
    }
    Ok(public)
}

/// Returns an uncompressed point. Some libraries drop a coordinate's leading zeros, and some add a
/// byte of them, where RFC 7518 §6.2.1.2 wants the full length: neither changes the number.
fn point(jwk: &Object<'_>, size: usize) -> Result<Vec<u8>, Unusable> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = number(jwk, name)?;
        let missing = size.checked_sub(coordinate.len());
        let missing = missing.ok_or(Unusable::Malformed("a coordinate has the wrong length"))?;
        point.resize(point.len() + missing, 0);
        point.extend(coordinate);
    }
    Ok(point)
}

/// Returns a number without its leading zeros.
fn number(jwk: &Object<'_>, name: &str) -> Result<Vec<u8>, Unusable> {
    let bytes = bytes(jwk, name)?;
    Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn bytes(jwk: &Object<'_>, name: &str) -> Result<Vec<u8>, Unusable> {
    let encoded = text(jwk, name)?.filter(|text| !text.is_empty());
    let encoded = encoded.ok_or(Unusable::Malformed("a member is missing"))?;
    jws::decode(encoded).map_err(|_| Unusable::Malformed("a member is not base64url"))
}

pub(super) fn text<'m>(jwk: &'m Object<'_>, name: &str) -> Result<Option<&'m str>, Unusable> {
    match member(jwk, name) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Unusable::Malformed("a member is not text")),
    }
}

/// Returns a member's value. `null` counts as absent: some libraries write every member they know.
pub(super) fn member<'m, 'a>(jwk: &'m Object<'a>, name: &str) -> Option<&'m Json<'a>> {
    jwk.get(name).filter(|value| !matches!(value, Json::Null))
}
