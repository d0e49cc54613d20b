//! Denials by a door, when the check itself failed. Denying is always safe, so every module may.

use std::sync::Arc;

use super::{DecisionId, Denial, Permit, Revoked};
use crate::core::reason::{Reason, Rejection};
use crate::core::route::Route;
use crate::revocation::Match;
use crate::verify::Verified;

impl Denial {
    /// Returns a denial with an id of its own.
    #[must_use]
    pub fn because(reason: Reason) -> Self {
        Self::of(DecisionId::next(), reason.into())
    }

    /// Returns a denial of a request that the gate would let pass.
    #[must_use]
    pub fn instead_of(permit: &Permit, reason: Reason) -> Self {
        let issuer = &permit.verified().claims.issuer;
        Self {
            route: permit.route,
            ..Self::of(permit.id, Rejection::from(reason).by(issuer))
        }
    }

    pub(super) fn of_revoked(id: DecisionId, verified: Arc<Verified>, by: Match) -> Self {
        Self {
            issuer: Some(Arc::clone(&verified.claims.issuer)),
            revoked: Some(Arc::new(Revoked { verified, by })),
            ..Self::of(id, Reason::Revoked.into())
        }
    }

    pub(super) fn of(id: DecisionId, rejection: Rejection) -> Self {
        let Rejection {
            reason,
            detail,
            issuer,
            wanted,
        } = rejection;
        Self {
            id,
            route: Route::default(),
            reason,
            detail,
            issuer,
            wanted,
            revoked: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_denials_have_two_ids() {
        let (one, other) = (
            Denial::because(Reason::Stale),
            Denial::because(Reason::Stale),
        );
        assert_ne!(one.id, other.id);
    }
}
