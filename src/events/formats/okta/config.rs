//! The options of the format `okta`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::events::pull::reconcile;
use crate::verify::claims::ClaimPath;

/// The options of the format `okta`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What stands for a user: the `id` in Okta, or the `login`.
    pub user: User,
    /// The claim of access tokens that holds it. Default: `uid` for the id and `sub` for the login, as
    /// in tokens of a custom authorization server.
    pub claim: Option<ClaimPath>,
    /// Switches event types on or off. All are on, but for `application.user_membership.remove`,
    /// `device.lifecycle.deactivate`, `device.lifecycle.suspend`, `user.account.privilege.revoke`,
    /// `user.risk.change` and `user.session.context.change`.
    pub on: BTreeMap<Kind, bool>,
    /// Look in the System Log of Okta for events that were not delivered. The endpoint is
    /// `https://acme.okta.com/api/v1/logs`.
    pub reconcile: Option<Box<reconcile::Config>>,
}

/// What stands for a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum User {
    /// The id of the user in Okta: `id` of the target.
    #[default]
    Id,
    /// The login: `alternateId` of the target.
    Login,
}

impl Config {
    pub(super) fn claim(&self) -> &str {
        match (&self.claim, self.user) {
            (Some(claim), _) => claim.as_str(),
            (None, User::Id) => "uid",
            (None, User::Login) => "sub",
        }
    }

    pub(super) fn is_on(&self, kind: Kind) -> bool {
        let configured = self.on.get(&kind).copied();
        configured.unwrap_or_else(|| kind.is_on_by_default())
    }
}
