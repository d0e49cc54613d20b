//! Auth0's Event Streams: events about users and organizations, in the form of `CloudEvents` 1.0.
//!
//! Auth0 announces no session and no token there. What it announces and means here: a user deleted or
//! blocked, and a member who left an organization or lost a role in it.

mod mapping;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::events::auth::Proof;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::{Dialect, Origin};
use crate::events::outcome::{Outcome, Rejection};

/// The options of the format `auth0`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Switches event types on or off. All are on.
    pub on: BTreeMap<Kind, bool>,
}

/// An event type of Auth0.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
pub enum Kind {
    /// A member left an organization: the user's tokens for it.
    #[serde(rename = "organization.member.deleted")]
    MemberDeleted,
    /// A member lost a role in an organization: the user's tokens for it.
    #[serde(rename = "organization.member.role.deleted")]
    MemberRoleDeleted,
    /// A user was deleted.
    #[serde(rename = "user.deleted")]
    UserDeleted,
    /// A user was changed: it counts while the user is blocked.
    #[serde(rename = "user.updated")]
    UserUpdated,
}

impl Kind {
    /// Every kind, in the order of their names.
    pub const ALL: [Self; 4] = [
        Self::MemberDeleted,
        Self::MemberRoleDeleted,
        Self::UserDeleted,
        Self::UserUpdated,
    ];

    /// Returns the type as Auth0 writes it; also the cause in the record and the label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemberDeleted => "organization.member.deleted",
            Self::MemberRoleDeleted => "organization.member.role.deleted",
            Self::UserDeleted => "user.deleted",
            Self::UserUpdated => "user.updated",
        }
    }
}

impl Dialect for Config {
    fn check(&self, _errors: &mut ConfigErrors) {}

    /// Auth0's patience is not documented; most senders wait longer than this.
    fn patience(&self) -> Duration {
        Duration::from_millis(2500)
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/json", "application/cloudevents+json"]
    }

    fn proof(&self) -> Proof {
        Proof::Headers(None)
    }

    fn map(&self, delivery: &Delivery<Verified>, origin: Origin<'_>) -> Result<Outcome, Rejection> {
        mapping::map(self, delivery.body(), origin)
    }
}
