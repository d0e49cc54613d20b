//! What the schemes share that sign a body together with a time.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::hmac;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::proven::Unproven;
use crate::core::clock::UnixMillis;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Secret};
use crate::core::units::Span;

/// How far the time in a signature may lie from this machine's clock, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Tolerance(Span);

impl Default for Tolerance {
    fn default() -> Self {
        Self(Span::secs(300))
    }
}

impl Tolerance {
    pub(super) fn check(self, errors: &mut ConfigErrors) {
        if self.0.0.is_zero() || self.0 > Span::secs(3600) {
            errors.push("tolerance", "must be greater than zero and at most 1h");
        }
    }

    /// Returns for how long after its time a signature may be presented.
    pub(super) const fn duration(self) -> Duration {
        self.0.0
    }

    /// Checks that a signed time is close enough to `now`.
    ///
    /// # Errors
    /// When the delivery was signed too long ago, or in the future.
    pub(super) fn admit(self, signed_at: UnixMillis, now: UnixMillis) -> Result<(), Unproven> {
        if now.since(signed_at) > self.duration() {
            let why = "the signature's time is too long ago: the event was held back, sent again \
                       by somebody else, or a clock is wrong";
            return Err(Unproven::Forged(why));
        }
        if signed_at.since(now) > self.duration() {
            let why = "the signature's time is in the future: compare the sender's clock with this \
                       machine's";
            return Err(Unproven::Forged(why));
        }
        Ok(())
    }
}

impl JsonSchema for Tolerance {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Tolerance".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Span::json_schema(generator)
    }
}

/// Returns whether `tag` is the HMAC (RFC 2104) of the joined parts under one of the keys. Takes the
/// same time whichever of them it is.
pub(super) fn is_tag(
    algorithm: hmac::Algorithm,
    keys: &[Secret],
    parts: &[&[u8]],
    tag: &[u8],
) -> bool {
    keys.iter().fold(false, |holds, key| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key.expose()));
        for part in parts {
            context.update(part);
        }
        holds | bool::from(context.sign().as_ref().ct_eq(tag))
    })
}

/// How the bytes of a signature or a hash are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    /// In hexadecimal digits (RFC 4648 §8).
    #[default]
    Hex,
    /// In base64, standard or URL-safe, with or without padding (RFC 4648 §4, §5).
    Base64,
}

impl SignatureEncoding {
    pub(super) fn decode(self, written: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex => from_hex(written),
            Self::Base64 => {
                let decoded = Encoding::Base64.decode(Secret::new(written)).ok()?;
                Some(decoded.expose().to_vec())
            }
        }
    }
}

/// Reads hexadecimal digits (RFC 4648 §8) in either case.
fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then_some(())?;
    pairs.map(byte).collect()
}

/// Reads a decimal number without a sign, as signatures write times.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

/// Reads the signed webhooks in `tests/data/signatures`.
#[cfg(test)]
pub(super) mod testing {
    use std::collections::HashMap;

    use http::HeaderMap;
    use serde::de::DeserializeOwned;

    use super::UnixMillis;

    /// A delivery, and whether it is to be admitted.
    pub(in super::super) struct Vector<C> {
        pub(in super::super) name: String,
        pub(in super::super) config: C,
        pub(in super::super) headers: HeaderMap,
        pub(in super::super) body: String,
        pub(in super::super) now: UnixMillis,
        pub(in super::super) holds: bool,
    }

    #[derive(serde::Deserialize)]
    struct Written<C> {
        name: String,
        config: C,
        headers: HashMap<String, String>,
        body: String,
        now: u64,
        holds: bool,
    }

    pub(in super::super) fn vectors<C: DeserializeOwned>(json: &str) -> Vec<Vector<C>> {
        let written: Vec<Written<C>> = serde_json::from_str(json).unwrap();
        let read = |vector: Written<C>| Vector {
            name: vector.name,
            config: vector.config,
            headers: HeaderMap::try_from(&vector.headers).unwrap(),
            body: vector.body,
            now: UnixMillis::from_seconds(vector.now),
            holds: vector.holds,
        };
        written.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_time_may_be_off_by_the_tolerance_both_ways() {
        let tolerance = Tolerance::default();
        let now = UnixMillis::from_seconds(10_000);
        for (at, is_admitted) in [
            (9_700, true),
            (9_699, false),
            (10_300, true),
            (10_301, false),
        ] {
            let admitted = tolerance.admit(UnixMillis::from_seconds(at), now);
            assert_eq!(admitted.is_ok(), is_admitted, "{at}");
        }
    }

    #[test]
    fn hexadecimal_is_read_in_either_case_and_nothing_else_is() {
        assert_eq!(from_hex(b"00fFAb").unwrap(), [0x00, 0xff, 0xab]);
        assert_eq!(from_hex(b"").unwrap(), [0u8; 0]);
        for wrong in [&b"0"[..], b"0g", b"0x", b" 00", b"+1", b"\xc3\xbc"] {
            assert_eq!(from_hex(wrong), None);
        }
    }

    #[test]
    fn times_are_plain_decimal_numbers() {
        assert_eq!(decimal(b"1614265330"), Some(1_614_265_330));
        for wrong in [
            &b""[..],
            b"+1",
            b"-1",
            b" 1",
            b"1.0",
            b"99999999999999999999",
        ] {
            assert_eq!(decimal(wrong), None);
        }
    }
}
