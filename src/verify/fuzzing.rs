//! What the fuzz targets and their test ask of this module: its parsers, without keys or an issuer.

use super::algorithm::Algorithm;
use super::jwks::KeySet;
use super::jws::Jws;
use super::key::{Lease, Terms};

/// Returns whether this is a well-formed token. Nothing in it is verified.
#[must_use]
pub fn reads_token(text: &str) -> bool {
    Jws::parse(text, &mut Vec::new()).is_ok()
}

/// Returns how many keys of a JWK set can be used.
///
/// # Errors
/// When the text is no JWK set.
pub fn read_key_set(text: &[u8]) -> Result<usize, String> {
    let terms = Terms {
        algorithms: Algorithm::ALL.into_iter().collect(),
        jwt_svid: true,
    };
    let set = KeySet::parse(text, terms, &[], &Lease::none())?;
    // What a log would say of the others.
    set.complaint();
    Ok(set.len())
}
