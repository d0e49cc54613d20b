//! Public keys that change only with the configuration, such as those of an OAuth client.

use super::algorithm::Algorithm;
use super::jwks::{KeySet, MOST_TRIED};
use super::jws::Jws;
use super::key::{Lease, Terms};

/// The keys of a JWK set that an operator gave.
#[derive(Debug)]
pub(crate) struct FixedKeys(KeySet);

impl FixedKeys {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// When it is none, or has no key that can be used: what is wrong, for people.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let terms = Terms {
            algorithms: Algorithm::ALL.into_iter().collect(),
            jwt_svid: false,
        };
        let set = KeySet::parse(text, terms, &[], &Lease::none())?;
        if set.len() == 0 {
            let why = set
                .complaint()
                .unwrap_or_else(|| "it has no key".to_owned());
            return Err(format!("no key can be used: {why}"));
        }
        Ok(Self(set))
    }

    /// Returns the payload of a compact JWS that one of the keys signed. No claim is checked.
    #[must_use]
    pub(crate) fn open(&self, compact: &str) -> Option<Vec<u8>> {
        let mut space = Vec::new();
        let jws = Jws::parse(compact, &mut space).ok()?;
        let algorithm = jws.header.algorithm;
        let keys = self.0.find("", jws.header.kid.as_deref(), algorithm).ok()?;
        let mut keys = keys.iter().take(MOST_TRIED);
        let is_signed = keys.any(|key| key.verifies(algorithm, jws.signed, jws.signature));
        is_signed.then(|| jws.payload_bytes.to_vec())
    }
}
