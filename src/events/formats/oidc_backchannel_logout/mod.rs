//! OpenID Connect Back-Channel Logout 1.0: a form with a `logout_token`, which proves itself.

mod config;
mod mapping;

use std::time::Duration;

use crate::core::config_error::ConfigErrors;
use crate::events::answer::{Answers, Failures};
use crate::events::auth::{Names, Place, Proof, Rules, Types};
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};

pub use config::{Config, SidFallback};

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        self.check(errors);
    }

    /// Answers before the 2.5 s of oidc-provider, which never tries again.
    fn patience(&self) -> Duration {
        Duration::from_millis(1500)
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/x-www-form-urlencoded"]
    }

    fn proof(&self) -> Proof {
        Proof::Token(Rules {
            place: Place::Field("logout_token"),
            names: Names::Registered,
            types: Types {
                named: self.types.clone(),
                may_be_absent: self.allow_untyped,
            },
            issuer: None,
            subject: None,
            audiences: self.clients.clone(),
            max_age: self.max_age.0,
            required: if self.require_exp {
                &["iat", "exp"]
            } else {
                &["iat"]
            },
        })
    }

    fn answers(&self) -> Answers {
        Answers {
            failures: Failures::OpenId,
            ..Answers::default()
        }
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery, origin)
    }
}
