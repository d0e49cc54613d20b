//! Reading a compact JWS (RFC 7515 §3.1, §7.1) strictly, before anything in it is believed.

use std::borrow::Cow;

use base64_simd::{AsOut as _, URL_SAFE_NO_PAD};
use memchr::memchr_iter;

use super::algorithm::Algorithm;
use super::json::{self, Json, Malformed, Object};
use crate::core::clock::UnixMillis;
use crate::core::reason::Reason;
use crate::core::token;

/// The longest `kid`, in bytes. A longer one is refused, because the client chooses it and it is compared.
const LONGEST_KID: usize = 256;

/// A well-formed token. Nothing in it is verified.
pub(super) struct Jws<'a> {
    pub header: Header<'a>,
    pub payload: Object<'a>,
    /// The payload as it was signed.
    pub payload_bytes: &'a [u8],
    /// `BASE64URL(header) || '.' || BASE64URL(payload)`, the text that is signed.
    pub signed: &'a [u8],
    pub signature: &'a [u8],
}

/// The header members that are used.
///
/// `jku`, `x5u` and `x5c` are ignored: some issuers send them, but keys come from the configuration
/// alone. A header with `jwk` is refused, because a token that brings its own key is another kind of
/// token (RFC 9449) or an attack. So is a header with a member that changes how the rest is read: `crit`
/// and `b64` (RFC 7515 §4.1.11, RFC 7797), `zip` and `enc` (RFC 7516), and `cty: JWT`, a nested token
/// (RFC 7519 §5.2).
pub(super) struct Header<'a> {
    pub algorithm: Algorithm,
    /// Never empty: an empty name counts as none.
    pub kid: Option<Cow<'a, str>>,
    pub typ: Option<Cow<'a, str>>,
}

impl<'a> Jws<'a> {
    /// Parses a token: exactly three parts in canonical base64url without padding, of which the first two
    /// are strict JSON objects. The parts are decoded into `space`, from which the result borrows.
    ///
    /// # Errors
    /// [`Reason::MalformedToken`]; [`Reason::TokenTooLarge`] when the token exceeds a limit;
    /// [`Reason::UnsupportedAlgorithm`] when a well-formed header names an algorithm that is not supported.
    pub(super) fn parse(token: &'a str, space: &'a mut Vec<u8>) -> Result<Self, Reason> {
        if token.len() > token::LONGEST.len() {
            return Err(Reason::TokenTooLarge);
        }
        let [header, payload, signature] = three_parts(token).ok_or(Reason::MalformedToken)?;
        // Text takes more room than the bytes that it stands for.
        space.resize(token.len(), 0);
        let (header, space) = decode_into(header, space)?;
        let header = Header::parse(header)?;
        let (payload_bytes, space) = decode_into(payload, space)?;
        let payload = object(payload_bytes)?;
        let signed = &token.as_bytes()[..token.len() - signature.len() - 1];
        let (signature, _) = decode_into(signature, space)?;
        Ok(Self {
            header,
            payload,
            payload_bytes,
            signed,
            signature,
        })
    }

    /// Returns the unverified `iat`, in seconds.
    pub(super) fn issued_at(&self) -> Option<UnixMillis> {
        match self.payload.get("iat")? {
            Json::Number(seconds) => seconds.as_u64().map(UnixMillis::from_seconds),
            _ => None,
        }
    }

    /// Returns the unverified `iss`, which selects the keys to try.
    pub(super) fn issuer(&self) -> Option<&str> {
        match self.payload.get("iss")? {
            Json::Text(name) => Some(name),
            _ => None,
        }
    }
}

impl<'a> Header<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, Reason> {
        let (mut alg, mut kid, mut typ) = (None, None, None);
        for (name, value) in object(text)?.into_members() {
            match &*name {
                "alg" => alg = Some(as_text(value)?),
                "kid" => kid = Some(as_text(value)?).filter(|kid| !kid.is_empty()),
                "typ" => typ = Some(as_text(value)?),
                "cty" if same_type(&as_text(value)?, "JWT") => return Err(Reason::MalformedToken),
                "crit" | "b64" | "zip" | "enc" | "jwk" => return Err(Reason::MalformedToken),
                _ => {}
            }
        }
        if kid.as_ref().is_some_and(|kid| kid.len() > LONGEST_KID) {
            return Err(Reason::TokenTooLarge);
        }
        let alg = alg.ok_or(Reason::MalformedToken)?;
        Ok(Self {
            algorithm: Algorithm::named(&alg).ok_or(Reason::UnsupportedAlgorithm)?,
            kid,
            typ,
        })
    }
}

fn object(text: &[u8]) -> Result<Object<'_>, Reason> {
    json::object(text).map_err(|malformed| match malformed {
        Malformed::TooDeep | Malformed::TooMany => Reason::TokenTooLarge,
        _ => Reason::MalformedToken,
    })
}

/// Splits at exactly two dots. Uses a vectorised search, because the parts are long.
fn three_parts(token: &str) -> Option<[&str; 3]> {
    let mut dots = memchr_iter(b'.', token.as_bytes());
    let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
        return None;
    };
    Some([
        &token[..first],
        &token[first + 1..second],
        &token[second + 1..],
    ])
}

fn as_text(value: Json<'_>) -> Result<Cow<'_, str>, Reason> {
    match value {
        Json::Text(text) => Ok(text),
        _ => Err(Reason::MalformedToken),
    }
}

/// Compares media types without case. `application/` may be left out when no other slash follows
/// (RFC 7515 §4.1.9).
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

pub(super) fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    let mut space = vec![0; part.len()];
    let length = decode_into(part, &mut space)?.0.len();
    space.truncate(length);
    Ok(space)
}

/// Decodes into the beginning of `space`, which is at least as long as the text, and returns the decoded
/// part and the rest.
///
/// The decoder rejects padding, whitespace, the standard alphabet and non-zero trailing bits, so each byte
/// string has exactly one encoding.
fn decode_into<'s>(part: &str, space: &'s mut [u8]) -> Result<(&'s [u8], &'s mut [u8]), Reason> {
    let decoded = URL_SAFE_NO_PAD
        .decode(part.as_bytes(), space.as_out())
        .map_err(|_| Reason::MalformedToken)?;
    let length = decoded.len();
    let (decoded, rest) = space.split_at_mut(length);
    Ok((decoded, rest))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose;
    use proptest::prelude::*;

    use super::*;

    fn reference(part: &str) -> Option<Vec<u8>> {
        general_purpose::URL_SAFE_NO_PAD.decode(part).ok()
    }

    #[test]
    fn base64_has_one_text_for_every_byte_string() {
        for part in [
            "=", "A", "AA=", "AA==", "AAA=", "AB", "AAB", "A A", "AA\n", " AA", "+A", "/A", "é",
            "AAAAA", "\0\0", "AAAA====",
        ] {
            assert_eq!(decode(part), Err(Reason::MalformedToken), "{part}");
        }
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode("_-8").unwrap(), b"\xff\xef");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        /// Parts of all lengths take all of the decoder's ways, and a change may hit any of them.
        #[test]
        fn base64_reads_as_the_reference_reads_it(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            changed in any::<prop::sample::Index>(),
            change in prop_oneof![any::<char>(), prop::char::range('\0', '\u{7f}')],
        ) {
            let good = general_purpose::URL_SAFE_NO_PAD.encode(&bytes);
            prop_assert_eq!(decode(&good).ok(), Some(bytes));
            let mut letters: Vec<char> = good.chars().collect();
            if !letters.is_empty() {
                let place = changed.index(letters.len());
                letters[place] = change;
            }
            let part: String = letters.into_iter().collect();
            prop_assert_eq!(decode(&part).ok(), reference(&part));
        }
    }
}
