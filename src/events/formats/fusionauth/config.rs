//! The options of the format `fusionauth`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;
use crate::events::pull::reconcile;

/// The options of the format `fusionauth`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the revocation of one refresh token reaches: all tokens of the user for that
    /// application (`application`), or only those with the same `sid` (`session`).
    pub session_scope: SessionScope,
    /// Added to every cut-off. Transactional webhooks run before FusionAuth commits, so a token
    /// can be minted a moment after the event that was to end it. At most 5m.
    pub grace: Span,
    /// How long `user.reactivate`, if it is switched on, waits before it takes anything back. It comes
    /// before FusionAuth commits; if the reactivation fails, deactivate the user again within this
    /// time. At most 1h.
    pub lift_grace: Span,
    /// The ids of the user actions that prevent log-in: `user.action` revokes for these only,
    /// because the event itself does not say what an action does.
    pub user_actions: Vec<String>,
    /// The only tenant that counts. Events that name another one are acknowledged and ignored.
    pub tenant: Option<String>,
    /// Switches event types on or off. All are on, but for `user.email.update`,
    /// `user.identity-provider.unlink`, `user.identity.update`, `user.login.suspicious`,
    /// `user.password.breach` and `user.reactivate`.
    pub on: BTreeMap<Kind, bool>,
    /// Look in the webhook event log of FusionAuth for events that were not delivered. The endpoint is
    /// FusionAuth's own address.
    pub reconcile: Option<Box<reconcile::Config>>,
}

/// What the revocation of one refresh token reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionScope {
    /// Every token that the user has for the application.
    #[default]
    Application,
    /// The access tokens that came of this refresh token: those with its id as `sid`. Access
    /// tokens without `sid` (no `offline_access`, or FusionAuth before 1.37) go on.
    Session,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            session_scope: SessionScope::default(),
            grace: Span::secs(0),
            lift_grace: Span::secs(60),
            user_actions: Vec::new(),
            tenant: None,
            on: BTreeMap::new(),
            reconcile: None,
        }
    }
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.grace > Span::secs(300) {
            let message = "must be at most 5m: new log-ins would be refused for that long";
            errors.push("grace", message);
        }
        if self.lift_grace > Span::secs(3600) {
            errors.push("lift_grace", "must be at most 1h");
        }
        if self.user_actions.iter().any(String::is_empty) {
            errors.push("user_actions", "an id must not be empty");
        }
        if self.tenant.as_deref() == Some("") {
            errors.push("tenant", "an id must not be empty");
        }
        if let Some(reconcile) = &self.reconcile {
            reconcile.check(errors);
        }
        if self.on.get(&Kind::UserAction) == Some(&true) && self.user_actions.is_empty() {
            errors.conflict("user_actions", "user.action is on, but no action is named");
        }
    }

    pub(super) fn is_on(&self, kind: Kind) -> bool {
        let configured = self.on.get(&kind).copied();
        configured.unwrap_or_else(|| kind.is_on_by_default())
    }
}
