//! FusionAuth's webhooks.
//!
//! The user of an event is the token's `sub`; the application is the token's `applicationId` or,
//! where it has none, its `aud`. Times are in **milliseconds**, lives of tokens in **seconds**.

mod event;
mod kind;
mod refresh_token;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::delivery::{Delivery, Unproven, Unverified, Verified};
use super::format::Origin;
use super::json::{self, Place, Wanted};
use super::keys::Keys;
use super::outcome::{Effect, Outcome, Rejection};
use super::signature::Signature;
use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;
use event::Event;

pub use kind::Kind;

/// Answers before a read time-out of 2 s, which third parties publish in their configurations of
/// FusionAuth's webhooks.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);

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
        }
    }
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.grace > Span::secs(300) {
            errors.push(
                "grace",
                "more than 5m would refuse new log-ins for that long",
            );
        }
        if self.lift_grace > Span::secs(3600) {
            errors.push("lift_grace", "must be at most 1h");
        }
        if self.user_actions.iter().any(String::is_empty) {
            errors.push("user_actions", "an id is not empty");
        }
        if self.tenant.as_deref() == Some("") {
            errors.push("tenant", "an id is not empty");
        }
        if self.on.get(&Kind::UserAction) == Some(&true) && self.user_actions.is_empty() {
            errors.conflict("user_actions", "user.action is on, but no action is named");
        }
    }

    fn is_on(&self, kind: Kind) -> bool {
        let configured = self.on.get(&kind).copied();
        configured.unwrap_or_else(|| kind.is_on_by_default())
    }
}

/// The JWS that FusionAuth puts beside the body.
const SIGNATURE_HEADER: &str = "x-fusionauth-signature-jwt";

static SIGNED: Wanted = Wanted::Members(&[("request_body_sha256", Wanted::Whole)]);

/// Whether the signature holds and is about this very body. The keys that verify it sign tokens
/// too, so a payload without the body's hash proves nothing.
pub(super) async fn check_signature(
    delivery: &Delivery<Unverified>,
    signature: &Signature,
    issuer: &str,
    keys: &dyn Keys,
) -> Result<(), Unproven> {
    let compact = delivery.header(SIGNATURE_HEADER);
    let compact = compact.and_then(|value| std::str::from_utf8(value).ok());
    let compact = compact.ok_or(Unproven::Forged("the signature is absent or stands twice"))?;
    let payload = signature.open(compact, issuer, keys).await?;
    let payload = json::parse(&payload, &SIGNED)
        .map_err(|_| Unproven::Forged("the signed payload is not understood"))?;
    let signed = Place::root(&payload)
        .member("request_body_sha256")
        .and_then(|place| place.text("a hash"))
        .map_err(|_| Unproven::Forged("the signature is about no body"))?;
    let actual = STANDARD.encode(delivery.sha256());
    if bool::from(signed.as_bytes().ct_eq(actual.as_bytes())) {
        Ok(())
    } else {
        Err(Unproven::Forged("the signature is about another body"))
    }
}

/// What an event comes to.
///
/// # Errors
/// The first member that is absent or of another kind than documented.
pub(super) fn revocations(
    config: &Config,
    delivery: &Delivery<Verified>,
    origin: Origin<'_>,
) -> Result<Outcome, Rejection> {
    let body = json::parse(delivery.body(), &event::WANTED)?;
    let event = Place::root(&body).member("event")?;
    let name = event.member("type")?.text("the name of an event type")?;
    let Some(kind) = Kind::of(name) else {
        let known = if name == "test" { "test" } else { "other" };
        return Ok(nothing(known, None));
    };
    if !config.is_on(kind) {
        return Ok(nothing(kind.as_str(), None));
    }
    let event = Event::read(config, origin, kind, event)?;
    let id = Some(event.id.to_owned());
    let effect = if event.is_of_another_tenant()? {
        Effect::Nothing
    } else {
        event.effect()?
    };
    Ok(Outcome {
        event: kind.as_str(),
        id,
        effect,
    })
}

const fn nothing(event: &'static str, id: Option<String>) -> Outcome {
    Outcome {
        event,
        id,
        effect: Effect::Nothing,
    }
}
