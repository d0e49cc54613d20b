//! Keycloak's adapter actions: what a realm posts below the admin URL of a client when an administrator
//! pushes a not-before or logs everybody out.
//!
//! Each is a JWS by a key of the realm, without any registered claim of RFC 7519. It says itself which
//! action it is, so the path below the source adds nothing and is not compared with it.

mod config;
mod mapping;

use std::time::Duration;

use crate::core::config_error::ConfigErrors;
use crate::events::auth::{Names, Place, Proof, Rules, Types};
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};

pub use config::{Config, Reach};
pub use mapping::Kind;

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        self.check(errors);
    }

    fn paths(&self) -> &'static [&'static str] {
        &["k_logout", "k_push_not_before", "k_test_available"]
    }

    /// Answers before the 5 s of Keycloak, which never tries again.
    fn patience(&self) -> Duration {
        Duration::from_millis(1500)
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["text/plain"]
    }

    fn proof(&self) -> Proof {
        Proof::Token(Rules {
            place: Place::Body,
            names: Names::AdapterAction,
            types: Types {
                named: vec!["JWT".to_owned()],
                may_be_absent: false,
            },
            issuer: None,
            subject: None,
            audiences: self.clients.clone(),
            max_age: Duration::ZERO,
            required: &["exp"],
        })
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery, origin)
    }
}
