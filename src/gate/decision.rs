//! What the gate decides.

use std::sync::Arc;

use super::id::DecisionId;
use crate::core::reason::{Detail, Reason};
use crate::core::route::Route;
use crate::core::token;
use crate::policy::{Exempt, Fit};
use crate::revocation::{Clear, Match};
use crate::verify::Verified;

/// The answer to one request. There is no default, and only this module can build the two kinds
/// that let a request pass.
#[derive(Debug)]
pub enum Decision {
    Permit(Permit),
    Bypass(Bypass),
    Deny(Denial),
}

impl Decision {
    #[must_use]
    pub const fn id(&self) -> DecisionId {
        match self {
            Self::Permit(permit) => permit.id,
            Self::Bypass(bypass) => bypass.id,
            Self::Deny(denial) => denial.id,
        }
    }

    /// Returns which answers the request gets.
    #[must_use]
    pub const fn route(&self) -> Route {
        match self {
            Self::Permit(permit) => permit.route,
            Self::Bypass(bypass) => bypass.route,
            Self::Deny(denial) => denial.route,
        }
    }

    /// Returns the refusal of a request that passes only because what refuses it is in shadow.
    #[must_use]
    pub fn refused_in_shadow(&self) -> Option<&Denial> {
        match self {
            Self::Permit(permit) => permit.would_refuse.as_deref(),
            Self::Bypass(bypass) => bypass.would_refuse.as_deref(),
            Self::Deny(_) => None,
        }
    }

    /// Notes what would refuse the request, unless it is noted or the request is refused.
    pub(super) fn would_refuse(&mut self, refused: Option<Denial>) {
        let noted = match self {
            Self::Permit(permit) => &mut permit.would_refuse,
            Self::Bypass(bypass) => &mut bypass.would_refuse,
            Self::Deny(_) => return,
        };
        if noted.is_none() {
            *noted = refused.map(Box::new);
        }
    }

    /// Returns the name of the outcome at every interface.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Permit(_) => "permit",
            Self::Bypass(_) => "bypass",
            Self::Deny(_) => "deny",
        }
    }
}

/// The request has a good token: verified, looked up, not revoked, and enough for the route.
#[derive(Debug)]
pub struct Permit {
    pub id: DecisionId,
    pub route: Route,
    /// Where the request holds its token.
    pub carriers: token::Carriers,
    pub(super) verified: Arc<Verified>,
    pub(super) would_refuse: Option<Box<Denial>>,
    pub(super) _looked_up: Clear,
    pub(super) _fit: Fit,
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
pub struct Bypass {
    pub id: DecisionId,
    pub route: Route,
    pub(super) would_refuse: Option<Box<Denial>>,
    pub(super) _exempt: Exempt,
}

/// The request must not pass.
#[derive(Clone, Debug)]
pub struct Denial {
    pub id: DecisionId,
    pub route: Route,
    pub reason: Reason,
    /// For operators only.
    pub detail: Option<Arc<Detail>>,
    /// For the challenge: what would be enough.
    pub wanted: Option<Arc<str>>,
    /// The issuer of the token, if its signature is good.
    pub issuer: Option<Arc<str>>,
    /// If the token is good but for a revocation.
    pub revoked: Option<Arc<Revoked>>,
}

/// A token that is good but for a revocation.
#[derive(Debug)]
pub struct Revoked {
    pub(super) verified: Arc<Verified>,
    pub by: Match,
}

impl Revoked {
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }
}
