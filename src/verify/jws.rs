//! Reading a compact JWS (RFC 7515 §3.1, §7.1) strictly, before anything in it is believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use crate::reason::Reason;
use crate::token;

/// Longer names of keys are refused: they are compared, and they are the client's bytes.
const LONGEST_KID: usize = 256;

/// A token that reads well. Nothing in it is verified.
pub(super) struct Jws<'a> {
    pub header: Header,
    pub payload: Map<String, Value>,
    /// `BASE64URL(header) || '.' || BASE64URL(payload)`, the text that is signed.
    pub signed: &'a [u8],
    pub signature: Vec<u8>,
}

/// The parts of the header that matter.
///
/// `jku`, `x5u` and `x5c` are never read: some issuers send them, and keys come from the
/// configuration alone. Refused are `jwk`, because a token that brings its own key is another
/// kind of token (RFC 9449) or an attack, and everything that changes how the rest is to be read:
/// `crit` and `b64` (RFC 7515 §4.1.11, RFC 7797), `zip` and `enc` (RFC 7516), and `cty: JWT`, a
/// token within a token (RFC 7519 §5.2).
pub(super) struct Header {
    pub algorithm: Algorithm,
    pub kid: Option<String>,
    pub typ: Option<String>,
}

const CHANGES_THE_READING: [&str; 5] = ["crit", "b64", "zip", "enc", "jwk"];

impl<'a> Jws<'a> {
    /// Exactly three parts, canonical base64url without padding, two strict JSON objects.
    ///
    /// # Errors
    /// [`Reason::MalformedToken`], or [`Reason::UnsupportedAlgorithm`] when the header reads well
    /// and names no algorithm of ours.
    pub(super) fn parse(token: &'a str) -> Result<Self, Reason> {
        if token.len() > token::LONGEST.len() {
            return Err(Reason::MalformedToken);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::MalformedToken);
        };
        let header = Header::parse(&decode(header)?)?;
        let signed = &token.as_bytes()[..token.len() - signature.len() - 1];
        Ok(Self {
            header,
            payload: json::object(&decode(payload)?).map_err(|_| Reason::MalformedToken)?,
            signed,
            signature: decode(signature)?,
        })
    }

    /// The payload as it was signed.
    pub(super) fn payload_bytes(&self) -> Result<Vec<u8>, Reason> {
        let text = std::str::from_utf8(self.signed).map_err(|_| Reason::MalformedToken)?;
        let (_header, payload) = text.split_once('.').ok_or(Reason::MalformedToken)?;
        decode(payload)
    }

    /// The issuer that the token claims to be from; good for choosing whose keys to try.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.payload.get("iss")?.as_str()
    }
}

impl Header {
    fn parse(text: &[u8]) -> Result<Self, Reason> {
        let members = json::object(text).map_err(|_| Reason::MalformedToken)?;
        if CHANGES_THE_READING
            .iter()
            .any(|name| members.contains_key(*name))
        {
            return Err(Reason::MalformedToken);
        }
        let kid = text_member(&members, "kid")?;
        let typ = text_member(&members, "typ")?;
        let cty = text_member(&members, "cty")?;
        let too_long = kid.is_some_and(|kid| kid.len() > LONGEST_KID);
        if too_long || cty.is_some_and(|cty| same_type(cty, "JWT")) {
            return Err(Reason::MalformedToken);
        }
        let name = text_member(&members, "alg")?.ok_or(Reason::MalformedToken)?;
        Ok(Self {
            algorithm: Algorithm::named(name).ok_or(Reason::UnsupportedAlgorithm)?,
            kid: kid.map(str::to_owned),
            typ: typ.map(str::to_owned),
        })
    }
}

fn text_member<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, Reason> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reason::MalformedToken),
    }
}

/// Media types are compared without case, and `application/` may be left out when no other slash
/// follows (RFC 7515 §4.1.9).
pub(super) fn same_type(one: &str, other: &str) -> bool {
    short_type(one).eq_ignore_ascii_case(short_type(other))
}

fn short_type(name: &str) -> &str {
    const PREFIX: &str = "application/";
    match name.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => name,
    }
}

/// This engine refuses padding, whitespace, the other alphabet and set trailing bits, so every
/// byte string has exactly one text.
pub(super) fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Reason::MalformedToken)
}
