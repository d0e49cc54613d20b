//! Decisions for tests of the doors, which must not need keys and an index to see one.

use std::sync::Arc;

use serde_json::Value;

use super::{Bypass, Decision, DecisionId, Denial, Permit};
use crate::core::reason::Reason;
use crate::core::route::Route;
use crate::policy::{Exempt, Fit};
use crate::revocation::Clear;
use crate::verify::{Claims, Verified};

/// Verified claims with this payload; `client` is its `client_id`.
pub(crate) fn verified(payload: &Value) -> Arc<Verified> {
    let all = payload.as_object().expect("claims are an object");
    let text = |name: &str| all.get(name).and_then(Value::as_str).map(Box::<str>::from);
    let claims = Claims {
        issuer: text("iss").expect("iss is always there").into(),
        subject: text("sub"),
        client: text("client_id"),
        token_id: text("jti"),
        issued_at: Some(1_700_000_000),
        counts_as_issued_at: 1_700_000_000,
        expires_at: 1_700_003_600,
        all: all.into(),
    };
    Arc::new(Verified::assumed(claims))
}

/// The token stands in the first of the configured places.
pub(crate) fn permit(verified: Arc<Verified>) -> Decision {
    Decision::Permit(Permit {
        id: DecisionId::next(),
        route: Route::default(),
        carriers: crate::core::token::Carriers::first(0),
        verified,
        would_refuse: None,
        _looked_up: Clear::for_tests(),
        _fit: Fit::for_tests(),
    })
}

pub(crate) fn bypass() -> Decision {
    Decision::Bypass(Bypass {
        id: DecisionId::next(),
        route: Route::default(),
        would_refuse: None,
        _exempt: Exempt::for_tests(),
    })
}

pub(crate) fn deny(reason: Reason) -> Decision {
    Decision::Deny(Denial::because(reason))
}
