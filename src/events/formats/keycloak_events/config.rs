//! The options of the format `keycloak-events`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::kind::Kind;
use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;
use crate::events::pull::http;

/// The options of the format `keycloak-events`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the admin API is reached. The endpoint is that of the realm, such as
    /// `https://id.example.com/admin/realms/acme`; the client needs the role `view-events` of
    /// `realm-management`.
    pub from: http::Config,
    /// How long to wait after an answer without events. From 1s to 1h.
    #[serde(default = "default_every")]
    pub every: Span,
    /// How much later than its time an event may appear: the longest transaction of Keycloak, and the
    /// difference between the clocks of its nodes. So much is read again each time. From 1s to 1h.
    #[serde(default = "default_overlap")]
    pub overlap: Span,
    /// Switches what happened on or off. All is on but for `USER_DISABLED_BY_TEMPORARY_LOCKOUT`.
    #[serde(default)]
    pub on: BTreeMap<Kind, bool>,
}

fn default_every() -> Span {
    Span::secs(5)
}

fn default_overlap() -> Span {
    Span::secs(60)
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        errors.within("from", |errors| self.from.check(errors));
        for (field, span) in [("every", self.every), ("overlap", self.overlap)] {
            errors.range(field, span, Span::secs(1)..=Span::secs(3600));
        }
    }

    pub(super) fn is_on(&self, kind: Kind) -> bool {
        let configured = self.on.get(&kind).copied();
        configured.unwrap_or_else(|| kind.is_on_by_default())
    }
}
