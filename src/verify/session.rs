//! How long the sessions of users last: `issuers[].session`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;

/// How long the sessions of users last. A session is the `sid` of the tokens or, without it, their `sub` and
/// client. A token without `sid` and `auth_time` belongs to no session and is not limited, such as that of a
/// service. A token of a session that has ended gets 401 with `max_age` (RFC 9470), so that the client lets the
/// user log in again; [policy.md](policy.md#sessions) has the details.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// A session that this replica has not seen for longer is refused, until its tokens show a newer login
    /// (`auth_time`).
    pub idle_timeout: Option<Span>,
    /// The longest time since the login (`auth_time`). A token of a session without `auth_time` is refused.
    pub max_age: Option<Span>,
}

impl SessionConfig {
    /// Reports what is wrong, with `session` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        for (field, span) in [
            ("idle_timeout", self.idle_timeout),
            ("max_age", self.max_age),
        ] {
            if span.is_some_and(|span| span.0.as_secs() == 0) {
                errors.push(field, "must be at least 1s");
            }
        }
        if *self == Self::default() {
            errors.push("", "give idle_timeout, max_age or both");
        }
    }
}
