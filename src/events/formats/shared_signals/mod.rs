//! The Shared Signals Framework 1.0: security event tokens (RFC 8417) that a transmitter pushes
//! (RFC 8935) or is asked for (RFC 8936), with the events of CAEP 1.0 and RISC 1.0.

mod config;
mod event;
mod kind;
mod mapping;
mod poll;

use std::time::Duration;

use http::StatusCode;

use crate::core::config_error::ConfigErrors;
use crate::events::answer::{Answers, Failures};
use crate::events::auth::{Names, Place, Proof, Rules, Types};
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};
use crate::events::pull::ask::Ask;

pub use config::Config;
pub use kind::Kind;
pub use poll::PollConfig;

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        self.check(errors);
    }

    /// Answers before the second that Keycloak's transmitter waits.
    fn patience(&self) -> Duration {
        Duration::from_millis(800)
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/secevent+jwt"]
    }

    fn proof(&self) -> Proof {
        Proof::Token(Rules {
            place: Place::Body,
            names: Names::Registered,
            types: Types {
                named: self.types.clone(),
                may_be_absent: self.allow_untyped,
            },
            issuer: self.transmitter.clone(),
            subject: None,
            audiences: self.audience.clone(),
            max_age: self.max_age.0,
            required: &["iat"],
        })
    }

    fn signer(&self) -> Option<(&'static str, &str)> {
        let transmitter = self.transmitter.as_deref();
        transmitter.map(|issuer| ("shared-signals.transmitter", issuer))
    }

    fn is_asked(&self) -> bool {
        self.poll.is_some()
    }

    fn asker(&self) -> Result<Option<Box<dyn Ask>>, String> {
        let poll = self.poll.as_deref().map(PollConfig::build).transpose()?;
        Ok(poll.map(|poll| Box::new(poll) as _))
    }

    fn answers(&self) -> Answers {
        Answers {
            success: StatusCode::ACCEPTED,
            unresolved: StatusCode::BAD_REQUEST,
            failures: Failures::SecurityEvent,
            ..Answers::default()
        }
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery, origin)
    }
}
