//! What the gate decides.

use std::sync::Arc;

use super::id::DecisionId;
use crate::core::reason::{Detail, Reason};
use crate::core::token;
use crate::revocation::Clear;
use crate::verify::Verified;

/// The answer to one request. There is no default, and only this module can build the two kinds
/// that let a request pass.
#[derive(Debug)]
pub enum Decision {
    Permit(Permit),
    Bypass(Bypass),
    Deny(Denial),
}

/// The request has a good token: verified, looked up, not revoked.
#[derive(Debug)]
pub struct Permit {
    pub id: DecisionId,
    /// Where the request holds its token.
    pub carriers: token::Carriers,
    pub(super) verified: Arc<Verified>,
    pub(super) _looked_up: Clear,
}

impl Permit {
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }
}

/// The route needs no token, and there was none or it was ignored. Nothing is known about the
/// client.
#[derive(Debug)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "not even the rest of this crate may build one"
)]
pub struct Bypass {
    pub id: DecisionId,
    pub(super) _built_here: (),
}

/// The request must not pass.
#[derive(Clone, Debug)]
pub struct Denial {
    pub id: DecisionId,
    pub reason: Reason,
    /// For operators only.
    pub detail: Option<Arc<Detail>>,
}
