//! What a proof yields, or why it does not hold.

use bytes::Bytes;
use http::HeaderMap;

use crate::events::outcome::Rejection;

/// What the proof of a body yielded.
#[derive(Debug, Default)]
pub(in crate::events) struct Proven {
    /// The payload of the JWT, if one was the proof.
    pub(in crate::events) claims: Bytes,
    /// The id of the event that the proof covers, if it names one.
    pub(in crate::events) id: Option<String>,
}

/// Why a delivery stays unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::events) enum Unproven {
    /// It is not the sender's. The sentence is for the log; the caller is not told.
    Forged(&'static str),
    /// The proof is not where it should be.
    Malformed(Rejection),
    /// The token is the issuer's, and breaks a rule for ever.
    Refused(Rejection),
    /// Nobody can tell now, as when the issuer's keys are not at hand.
    Unavailable(String),
}

/// Returns the value of a header that stands exactly once: two readers would disagree about which
/// of two counts.
pub(super) fn only_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}
