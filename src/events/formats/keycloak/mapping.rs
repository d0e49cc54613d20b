//! From an adapter action to what has to be done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::config::{Config, Reach};
use crate::core::clock::UnixMillis;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::Origin;
use crate::events::formats::kinds::kinds;
use crate::events::outcome::{Effect, Outcome, Rejection};
use crate::events::payload::{self, Id, NumericDate, required};
use crate::revocation::{Action, Draft, Target};

kinds! {
    /// The actions, by the names in their `action`.
    pub enum Kind {
        Logout = "LOGOUT",
        PushNotBefore = "PUSH_NOT_BEFORE",
        TestAvailability = "TEST_AVAILABILITY",
    }
}

/// The members of an action that count. Both lists are absent when everybody is logged out.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    action: Option<String>,
    resource: Option<Id>,
    expiration: Option<NumericDate>,
    not_before: Option<NumericDate>,
    adapter_session_ids: Option<Vec<IgnoredAny>>,
    keycloak_session_ids: Option<Vec<Id>>,
}

/// How long before its `expiration` Keycloak makes an action.
const LIFE: Duration = Duration::from_secs(30);

const CLEARED: &str = "the not-before was cleared; revocations by earlier ones stay, because \
                       lift_when_cleared is off";

pub(super) fn map(
    config: &Config,
    delivery: &Delivery<Verified>,
    origin: Origin<'_>,
) -> Result<Outcome, Rejection> {
    let body: Body = payload::read(delivery.claims())?;
    let name = required(body.action.as_deref(), "action", "the name of an action")?;
    let kind = Kind::named(name);
    let mut outcome = Outcome {
        event: kind.map_or("other", Kind::as_str).into(),
        id: None,
        effect: Effect::Nothing,
        notice: None,
    };
    let Some(kind) = kind else {
        return Ok(outcome);
    };
    let expiration = required(body.expiration, "expiration", "seconds since the epoch")?;
    let draft = Draft {
        id: format!(
            "{}/{}",
            origin.source,
            required(delivery.id(), "id", Id::EXPECTED)?
        ),
        target: Target {
            issuer: origin.issuer.to_owned(),
            matches: everybody(config, body.resource)?,
        },
        action: Action::Revoke,
        issued_at_or_before: None,
        expires_at_or_before: None,
        // By the sender's clock, so that an action which is sent again comes no later than it did.
        occurred_at: expiration.0.minus(LIFE),
        source: origin.source.to_owned(),
        cause: kind.as_str().to_owned(),
    };
    let not_before = body.not_before.map(|at| at.0);
    outcome.effect = match kind {
        Kind::TestAvailability => Effect::Nothing,
        Kind::PushNotBefore => {
            let at = required(not_before, "notBefore", "seconds since the epoch")?;
            if at == UnixMillis(0) && !config.lift_when_cleared {
                outcome.notice = Some(CLEARED);
            }
            push(draft, at, config.lift_when_cleared)
        }
        Kind::Logout => logout(
            config,
            draft,
            body.keycloak_session_ids,
            body.adapter_session_ids,
            not_before,
        ),
    };
    Ok(outcome)
}

/// Returns the claims of the tokens that an action without a session ends.
fn everybody(config: &Config, client: Option<Id>) -> Result<BTreeMap<String, String>, Rejection> {
    let client = required(client, "resource", Id::EXPECTED)?;
    Ok(match config.reach {
        Reach::Realm => BTreeMap::new(),
        Reach::Client => BTreeMap::from([("azp".to_owned(), client.to_string())]),
    })
}

/// Ends the sessions of Keycloak that a logout names, or everything if it names none at all.
fn logout(
    config: &Config,
    draft: Draft,
    sessions: Option<Vec<Id>>,
    of_adapter: Option<Vec<IgnoredAny>>,
    not_before: Option<UnixMillis>,
) -> Effect {
    match (sessions, of_adapter) {
        (Some(sessions), _) if !sessions.is_empty() => {
            let sessions = sessions.iter().enumerate();
            let drafts =
                sessions.map(|(index, session)| of_session(&draft, index, config, session));
            Effect::Record(drafts.collect())
        }
        (None, None) => {
            let at = not_before.filter(|at| *at > UnixMillis(0));
            let at = at.unwrap_or(draft.occurred_at);
            push(draft, at, false)
        }
        _ => Effect::Unresolved(Rejection {
            path: "keycloakSessionIds".to_owned(),
            message: "expected a session of Keycloak: access tokens do not name the HTTP sessions \
                      of an adapter"
                .to_owned(),
        }),
    }
}

/// Ends what was issued up to `at`; 0 stands for a cut-off that was cleared.
fn push(draft: Draft, at: UnixMillis, lifts: bool) -> Effect {
    match (at, lifts) {
        (UnixMillis(0), false) => Effect::Nothing,
        (UnixMillis(0), true) => Effect::Record(vec![Draft {
            action: Action::Lift,
            ..draft
        }]),
        (at, _) => Effect::Record(vec![Draft {
            issued_at_or_before: Some(at),
            ..draft
        }]),
    }
}

fn of_session(draft: &Draft, index: usize, config: &Config, session: &Id) -> Draft {
    let mut draft = draft.clone();
    draft.id = format!("{}/{index}", draft.id);
    draft.target.matches = BTreeMap::from([(config.session_claim.clone(), session.to_string())]);
    draft
}
