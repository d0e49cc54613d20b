//! Verification: from the text of a token to claims that may be trusted.

pub mod claims;

pub use claims::Claims;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::reason::Reason;
use crate::token::Token;

/// Claims that were verified.
#[derive(Debug)]
pub struct Verified {
    pub claims: Claims,
    /// A door's encoded answer for this token, so that a repeat token is not encoded again.
    pub memo: OnceLock<Bytes>,
}

/// Verifies tokens of every configured issuer.
#[derive(Debug)]
pub struct Verifier;

impl Verifier {
    /// Verifies a token, from the cache where it was seen before.
    ///
    /// # Errors
    /// The first check that failed.
    pub async fn verify(&self, _token: Token<'_>) -> Result<Arc<Verified>, Reason> {
        unimplemented!()
    }
}
