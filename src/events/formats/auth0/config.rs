//! The options of the format `auth0`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::events::formats::kinds::kinds;

/// The options of the format `auth0`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Switches event types on or off. All are on.
    pub on: BTreeMap<Kind, bool>,
}

kinds! {
    /// An event type of Auth0.
    pub enum Kind {
        /// A member left an organization: the user's tokens for it.
        MemberDeleted = "organization.member.deleted",
        /// A member lost a role in an organization: the user's tokens for it.
        MemberRoleDeleted = "organization.member.role.deleted",
        /// A user was deleted.
        UserDeleted = "user.deleted",
        /// A user was changed: it counts while the user is blocked.
        UserUpdated = "user.updated",
    }
}
