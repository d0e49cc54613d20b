//! Global Token Revocation (draft-parecki-oauth-global-token-revocation), which Okta calls Universal
//! Logout: a JSON body with a subject, and a bearer token by which the sender proves itself.

mod config;
mod mapping;

use std::time::Duration;

use http::StatusCode;

use crate::core::config_error::ConfigErrors;
use crate::events::answer::{Answers, Failures};
use crate::events::auth::{Names, Place, Proof, Rules, Types};
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};

pub use config::{Config, UnknownSubject};

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        self.check(errors);
    }

    /// Nothing is published about how long senders wait.
    fn patience(&self) -> Duration {
        Duration::from_millis(2500)
    }

    fn proof(&self) -> Proof {
        Proof::Token(Rules {
            place: Place::Bearer,
            names: Names::Registered,
            types: Types {
                named: self.types.clone(),
                may_be_absent: self.allow_untyped,
            },
            issuer: self.caller.clone(),
            subject: self.caller_subject.clone(),
            audiences: self.audience.clone(),
            max_age: self.max_age.0,
            required: &["sub", "exp"],
        })
    }

    fn signer(&self) -> Option<(&'static str, &str)> {
        let caller = self.caller.as_deref();
        caller.map(|issuer| ("global-token-revocation.caller", issuer))
    }

    fn answers(&self) -> Answers {
        Answers {
            success: StatusCode::NO_CONTENT,
            unresolved: match self.unknown_subject {
                UnknownSubject::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
                UnknownSubject::NotFound => StatusCode::NOT_FOUND,
            },
            failures: Failures::Bearer,
            ..Answers::default()
        }
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery, origin)
    }
}
