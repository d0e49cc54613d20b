//! SCIM 2.0 (RFC 7643, RFC 7644): a directory that is told who still works here.
//!
//! The smallest service that provisioning clients accept for users who leave: users can be created, read, changed
//! and removed, and one who becomes inactive or is removed loses every token. Of their attributes only
//! those are kept that lead to tokens. Groups are not kept.

mod attribute;
mod catalog;
mod config;
mod edit;
pub mod fuzzing;
mod node;
mod path;
mod targets;
mod user;
mod users;

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use self::edit::Edit;
use self::node::Node;
use self::targets::{Drafting, INACTIVE};
use self::user::{SCHEMA, User};
use self::users::{NO_USER, Users};
use crate::core::config_error::ConfigErrors;
use crate::events::answer::{Answers, Failure, Failures, scim_error};
use crate::events::auth::Proof;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin, Resources};
use crate::events::outcome::{Effect, Outcome, Rejection};
use crate::events::payload;
use crate::events::resources::{Asked, Plan, Shelf};
use crate::verify::claims::ClaimPath;

pub use attribute::Attribute;
pub use config::Config;

impl Dialect for Config {
    fn check(&self, errors: &mut ConfigErrors) {
        self.check(errors);
    }

    fn claims(&self) -> Vec<&str> {
        let claims = self.claims.values().flat_map(|claims| &claims.0);
        claims.map(ClaimPath::as_str).collect()
    }

    /// Provisioning clients wait for longer; a replica may first have to read what another one wrote.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/scim+json", "application/json"]
    }

    fn proof(&self) -> Proof {
        Proof::Headers(None)
    }

    fn answers(&self) -> Answers {
        Answers {
            failures: Failures::Scim,
            ..Answers::default()
        }
    }

    fn resources(&self) -> Option<&dyn Resources> {
        Some(self)
    }

    /// Takes the body for a user who becomes inactive, to see which tokens that means.
    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        let node: Node = payload::read_with(delivery.body(), std::marker::PhantomData)?;
        let kept = self.kept();
        let mut edit = Edit::of(User::default(), &kept);
        let read = edit.become_like(&node);
        read.map_err(|failure| Rejection {
            path: String::new(),
            message: match failure {
                Failure::Told(_, _, why) => why.to_owned(),
                _ => "is no user".to_owned(),
            },
        })?;
        let now = delivery.received_at();
        let drafting = Drafting {
            config: self,
            origin,
            key: "trial",
            version: 1,
            until: now,
            at: now,
        };
        Ok(Outcome {
            event: INACTIVE.into(),
            id: None,
            effect: Effect::of(drafting.revoke(&edit.user, INACTIVE)),
            notice: None,
        })
    }
}

impl Resources for Config {
    fn root(&self) -> &'static str {
        "scim/v2"
    }

    fn plan(&self, asked: &Asked, known: Shelf<'_>, origin: Origin<'_>) -> Result<Plan, Failure> {
        let kept = self.kept();
        let parts = asked.path.split('/').filter(|part| !part.is_empty());
        let parts: Vec<&str> = parts.collect();
        let is_read = asked.method == Method::GET;
        if is_read && let Some(body) = self.described(&parts, &asked.base) {
            return Ok(answer(StatusCode::OK, body));
        }
        let users = Users {
            config: self,
            kept,
            asked,
            shelf: known,
            origin,
        };
        match (&asked.method, &parts[..]) {
            (&Method::GET, ["Users"]) => users.list(),
            (&Method::POST, ["Users"]) => users.create(),
            (&Method::GET, ["Users", key]) => Ok(users.read(key).unwrap_or_else(absent)),
            (&Method::PUT, ["Users", key]) => users.replace(key),
            (&Method::PATCH, ["Users", key]) => users.patch(key),
            (&Method::DELETE, ["Users", key]) => users.remove(key),
            (&Method::GET, ["Groups"]) => Ok(answer(StatusCode::OK, catalog::list(0, 1, &[]))),
            (&Method::GET, _) => Ok(absent()),
            (_, ["Groups", ..]) => {
                let why = "groups are not kept here; switch the provisioning of groups off";
                Err(Failure::Told(StatusCode::NOT_IMPLEMENTED, "", why))
            }
            (_, ["Users"] | ["Users", _]) => {
                let why = "users are created with POST, changed with PUT or PATCH and removed with DELETE";
                Err(Failure::Told(StatusCode::METHOD_NOT_ALLOWED, "", why))
            }
            _ => Err(Failure::Told(
                StatusCode::NOT_IMPLEMENTED,
                "",
                "only users are kept here",
            )),
        }
    }
}

impl Config {
    /// Returns what the service says about itself under a path.
    fn described(&self, path: &[&str], base: &str) -> Option<Value> {
        let one = |one: Value| catalog::list(1, 1, &[one]);
        let schema = || catalog::schema(base, &self.kept());
        match path {
            ["ServiceProviderConfig"] => Some(catalog::service_provider_config(base)),
            ["ResourceTypes"] => Some(one(catalog::resource_type(base))),
            ["ResourceTypes", "User"] => Some(catalog::resource_type(base)),
            ["Schemas"] => Some(one(schema())),
            ["Schemas", name] if *name == SCHEMA => Some(schema()),
            _ => None,
        }
    }
}

/// Answers a question about what is not there, which is no failure of the sender.
fn absent() -> Plan {
    let status = StatusCode::NOT_FOUND;
    answer(status, scim_error(status, "", NO_USER))
}

fn answer(status: StatusCode, body: Value) -> Plan {
    Plan {
        event: "read",
        change: None,
        status,
        body: Some(body),
        location: None,
    }
}
