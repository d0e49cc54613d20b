//! From the claims of a logout token to what has to be done.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::config::{Config, SidFallback};
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::Origin;
use crate::events::outcome::{Effect, Outcome, Rejection};
use crate::events::payload::{self, Id, NumericDate, Object, required};
use crate::revocation::{Action, Draft, Target};

/// The claims of Back-Channel Logout §2.4 that say whom the message is about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LogoutToken {
    iat: Option<NumericDate>,
    sub: Option<Id>,
    sid: Option<Id>,
    nonce: Option<IgnoredAny>,
    events: Object<Events>,
}

/// Keycloak adds members that are no objects.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Events {
    #[serde(rename = "http://schemas.openid.net/event/backchannel-logout")]
    logout: Option<Object<Anything>>,
}

/// An object whose members do not count.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Anything {}

const CAUSE: &str = "backchannel-logout";

pub(super) fn map(
    config: &Config,
    delivery: &Delivery<Verified>,
    origin: Origin<'_>,
) -> Result<Outcome, Rejection> {
    let token: LogoutToken = payload::read(delivery.claims())?;
    // An ID token is signed with the same keys, and must not count as a logout token (§2.6).
    let expected = "the member http://schemas.openid.net/event/backchannel-logout";
    required(token.events.0.logout, "events", expected)?;
    if token.nonce.is_some() {
        return Err(rejection("nonce", "a logout token has none"));
    }
    let (event, notice, matches) = target(config, token.sub, token.sid)?;
    let issued = required(token.iat, "iat", "seconds since the epoch")?.0;
    let id = required(delivery.id(), "jti", Id::EXPECTED)?;
    let draft = Draft {
        id: format!("{}/{id}", origin.source),
        target: Target {
            issuer: origin.issuer.to_owned(),
            matches,
        },
        action: Action::Revoke,
        issued_at_or_before: Some(issued.plus(config.grace.0)),
        expires_at_or_before: None,
        occurred_at: issued,
        source: origin.source.to_owned(),
        cause: CAUSE.to_owned(),
    };
    Ok(Outcome {
        event: event.into(),
        id: None,
        effect: Effect::Record(vec![draft]),
        notice,
    })
}

type Meant = (&'static str, Option<&'static str>, BTreeMap<String, String>);

/// Returns the label in metrics, what an operator should know, and the claims of the tokens that are
/// meant.
fn target(config: &Config, sub: Option<Id>, sid: Option<Id>) -> Result<Meant, Rejection> {
    let of = |claim: &str, value: Id| BTreeMap::from([(claim.to_owned(), value.to_string())]);
    match (sub, sid, config.sid_fallback) {
        (None, None, _) => Err(rejection("sub", "expected sub or sid, found neither")),
        (None, Some(_), Some(SidFallback::Subject)) => Err(rejection(
            "sub",
            "expected a user: by sid_fallback, access tokens name no session, so the sid alone \
             reaches nothing",
        )),
        (Some(sub), None, _) => Ok(("logout.subject", None, of("sub", sub))),
        (Some(sub), Some(_), Some(SidFallback::Subject)) => {
            let notice = "sid_fallback: all sessions of the user are ended for one";
            Ok(("logout.subject-fallback", Some(notice), of("sub", sub)))
        }
        (_, Some(sid), None) => {
            let matches = of(&config.session_claim, sid);
            Ok(("logout.session", None, matches))
        }
    }
}

fn rejection(path: &str, message: &str) -> Rejection {
    Rejection {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}
