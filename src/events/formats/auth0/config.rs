//! The options of the format `auth0`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
