//! From an event to the record that it leaves.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::config::Config;
use super::kind::Kind;
use crate::events::dialect::Origin;
use crate::events::outcome::{Effect, Outcome, Rejection};
use crate::events::payload::{Id, Instant, Object, read, required};
use crate::revocation::{Action, Draft, Target};

const UNTOLD: &str = "a user was changed, and the event does not say whether the user was disabled: switch \
                      on \"Include representation\" in the realm settings";

/// The members that count. An event of an administrator has an operation, one of a user a type.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Event {
    id: Option<Id>,
    time: Option<Instant>,
    #[serde(rename = "type")]
    kind: Option<String>,
    user_id: Option<Id>,
    session_id: Option<Id>,
    details: Object<Details>,
    operation_type: Option<String>,
    resource_type: Option<String>,
    resource_path: Option<String>,
    /// What the administrator sent, as a JSON text.
    representation: Option<String>,
    /// Why the operation failed.
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    credential_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    enabled: Option<bool>,
}

/// Whom an event is about.
enum Whom {
    User(Option<Id>),
    Session(Option<Id>),
    Everybody,
}

pub(super) fn map(config: &Config, body: &[u8], origin: Origin<'_>) -> Result<Outcome, Rejection> {
    let event: Event = read(body)?;
    let mut notice = None;
    let understood = match &event.kind {
        _ if event.error.is_some() => None,
        Some(name) => of_user(name, &event),
        None => of_administrator(&event, &mut notice)?,
    };
    let kind = understood.as_ref().map(|(kind, _)| *kind);
    let effect = match understood.filter(|(kind, _)| config.is_on(*kind)) {
        Some((kind, whom)) => Effect::Record(vec![draft(kind, whom, &event, origin)?]),
        None => Effect::Nothing,
    };
    Ok(Outcome {
        event: kind.map_or("other", Kind::as_str).into(),
        id: event.id.map(|id| id.to_string()),
        notice: notice.filter(|_| effect != Effect::Nothing),
        effect,
    })
}

fn of_user(name: &str, event: &Event) -> Option<(Kind, Whom)> {
    let kind = Kind::named(name).filter(|kind| kind.is_user_event())?;
    let (user, session) = (event.user_id.clone(), event.session_id.clone());
    Some(match kind {
        Kind::LoggedOut | Kind::SessionEnded | Kind::GrantRevoked if session.is_some() => {
            (kind, Whom::Session(session))
        }
        // A second factor that was added leaves the others good.
        Kind::CredentialUpdated
            if event.details.0.credential_type.as_deref() != Some("password") =>
        {
            return None;
        }
        _ => (kind, Whom::User(user)),
    })
}

fn of_administrator(
    event: &Event,
    notice: &mut Option<&'static str>,
) -> Result<Option<(Kind, Whom)>, Rejection> {
    let path = required(event.resource_path.as_deref(), "resourcePath", "a path")?;
    let path: Vec<_> = path.split('/').collect();
    let what = (
        event.resource_type.as_deref(),
        event.operation_type.as_deref(),
    );
    let (Some(resource), Some(operation)) = what else {
        return Ok(None);
    };
    let kind = match (resource, operation, &path[..]) {
        ("REALM", "ACTION", ["logout-all"]) => {
            return Ok(Some((Kind::RealmLogout, Whom::Everybody)));
        }
        ("USER_SESSION", "DELETE", ["sessions", session]) => {
            return Ok(Some((Kind::SessionDelete, Whom::Session(Id::of(session)))));
        }
        ("USER", "UPDATE", ["users", _]) => match disables(event)? {
            Some(false) => return Ok(None),
            Some(true) => Kind::UserDisable,
            None => {
                *notice = Some(UNTOLD);
                Kind::UserDisable
            }
        },
        ("USER", "DELETE", ["users", _]) => Kind::UserDelete,
        ("USER", "ACTION", ["users", _, "logout"]) => Kind::UserLogout,
        ("USER", "ACTION", ["users", _, "reset-password"]) => Kind::UserPasswordReset,
        (
            "USER",
            "ACTION",
            ["users", _, "credentials", _] | ["users", _, "disable-credential-types"],
        ) => Kind::UserCredentialRemove,
        ("USER", "ACTION", ["users", _, "consents", _]) => Kind::UserConsentRevoke,
        ("REALM_ROLE_MAPPING" | "CLIENT_ROLE_MAPPING", "DELETE", ["users", _, ..]) => {
            Kind::UserRoleRemove
        }
        ("GROUP_MEMBERSHIP", "DELETE", ["users", _, ..]) => Kind::UserGroupLeave,
        _ => return Ok(None),
    };
    Ok(Some((kind, Whom::User(Id::of(path[1])))))
}

/// Returns whether the change of a user disables it; `None` if the event does not say.
fn disables(event: &Event) -> Result<Option<bool>, Rejection> {
    let Some(user) = &event.representation else {
        return Ok(None);
    };
    let user = read::<User>(user.as_bytes()).map_err(|rejection| Rejection {
        path: format!("representation.{}", rejection.path),
        ..rejection
    });
    Ok(Some(user?.enabled == Some(false)))
}

fn draft(kind: Kind, whom: Whom, event: &Event, origin: Origin<'_>) -> Result<Draft, Rejection> {
    let id = required(event.id.as_deref(), "id", Id::EXPECTED)?;
    let at = required(event.time, "time", Instant::EXPECTED)?.0;
    let path = match event.kind {
        Some(_) => "userId",
        None => "resourcePath",
    };
    let (claim, value) = match whom {
        Whom::User(id) => (Some("sub"), id),
        Whom::Session(id) => (Some("sid"), id),
        Whom::Everybody => (None, None),
    };
    let matches = match claim {
        None => BTreeMap::new(),
        Some(claim) => {
            let value = required(value, path, Id::EXPECTED)?;
            BTreeMap::from([(claim.to_owned(), value.to_string())])
        }
    };
    Ok(Draft {
        id: format!("{}/{id}", origin.source),
        target: Target {
            issuer: origin.issuer.to_owned(),
            matches,
        },
        action: Action::Revoke,
        // A session that has ended never comes back.
        issued_at_or_before: Some(at).filter(|_| claim != Some("sid")),
        expires_at_or_before: None,
        occurred_at: at,
        source: origin.source.to_owned(),
        cause: kind.as_str().to_owned(),
    })
}
