//! From the members of an event to what has to be done about it.

use std::collections::BTreeSet;

use super::config::Config;
use super::event::{Cut, Event, MOST_RECORDS};
use super::kind::Kind;
use super::members::{
    AboutUser, Envelope, Group, InApplication, RolesChange, Started, Type, Update, read,
};
use super::refresh_token;
use crate::events::dialect::Origin;
use crate::events::outcome::{Effect, Outcome, Rejection};
use crate::events::payload::{Id, required};

/// Maps an event. Of an event that is unknown or switched off only the type is read.
pub(super) fn map(config: &Config, body: &[u8], origin: Origin<'_>) -> Result<Outcome, Rejection> {
    let name = read::<Type>(body)?.name;
    let name = required(name, "event.type", "the name of an event type")?;
    let nothing = |event: &'static str, id| Outcome {
        event: event.into(),
        id,
        effect: Effect::Nothing,
        notice: None,
    };
    let Some(kind) = Kind::of(&name) else {
        let known = if name == "test" { "test" } else { "other" };
        return Ok(nothing(known, None));
    };
    if !config.is_on(kind) {
        return Ok(nothing(kind.as_str(), None));
    }
    let envelope = read::<Envelope>(body)?;
    let tenant = envelope.tenant_id.clone();
    let event = Event::of(config, origin, kind, envelope)?;
    let id = Some(event.id.to_string());
    // Events without a tenant are of every tenant.
    if let (Some(wanted), Some(tenant)) = (&config.tenant, tenant)
        && !wanted.eq_ignore_ascii_case(&tenant)
    {
        return Ok(nothing(kind.as_str(), id));
    }
    Ok(Outcome {
        event: kind.as_str().into(),
        id,
        effect: effect(&event, body)?,
        notice: None,
    })
}

fn effect(event: &Event<'_>, body: &[u8]) -> Result<Effect, Rejection> {
    let cuts = match event.kind {
        Kind::PublicKeyUpdate => return Ok(Effect::RefetchKeys),
        Kind::UserReactivate => return Ok(event.lift(&user(body)?)),
        Kind::RefreshTokenRevoke => refresh_token::cuts(event, read(body)?)?,
        Kind::UserUpdate => deactivated_user(event, body)?,
        Kind::UserRegistrationUpdate => changed_registration(event, body)?,
        Kind::UserRegistrationDelete => vec![registration(event, body)?],
        Kind::GroupMemberRemove => removed_members(event, body)?,
        Kind::UserAction => action(event, body)?,
        Kind::UserDeactivate
        | Kind::UserDelete
        | Kind::UserEmailUpdate
        | Kind::UserIdentityProviderUnlink
        | Kind::UserIdentityUpdate
        | Kind::UserLoginSuspicious
        | Kind::UserPasswordBreach
        | Kind::UserPasswordResetSuccess
        | Kind::UserPasswordUpdate
        | Kind::UserTwoFactorMethodAdd
        | Kind::UserTwoFactorMethodRemove => vec![event.user(&user(body)?)],
    };
    Ok(event.record(cuts))
}

fn user(body: &[u8]) -> Result<Id, Rejection> {
    let AboutUser { user } = read(body)?;
    required(user.0.id, "event.user.id", Id::EXPECTED)
}

/// `user.update` says that somebody was switched off by showing the user before and after.
/// Without the "before", an inactive user is taken for one who just became so.
fn deactivated_user(event: &Event<'_>, body: &[u8]) -> Result<Vec<Cut>, Rejection> {
    let Update {
        user: now,
        original,
    } = read(body)?;
    let is_active = required(now.0.active, "event.user.active", "a boolean")?;
    if is_active || original.0.active == Some(false) {
        return Ok(Vec::new());
    }
    Ok(vec![event.user(&user(body)?)])
}

fn registration(event: &Event<'_>, body: &[u8]) -> Result<Cut, Rejection> {
    let members = read::<InApplication>(body)?;
    let application = members
        .application_id
        .or(members.registration.0.application_id);
    let application = required(application, "event.applicationId", Id::EXPECTED)?;
    Ok(event.user_in(&user(body)?, &application))
}

/// Tokens carry the roles of their registration, so a change of roles makes them wrong. When
/// the event does not show the roles before, they count as changed.
fn changed_registration(event: &Event<'_>, body: &[u8]) -> Result<Vec<Cut>, Rejection> {
    let RolesChange {
        registration: now,
        original,
    } = read(body)?;
    let now = now.0.roles.unwrap_or_default();
    if original.is_some_and(|before| before.0.roles.unwrap_or_default() == now) {
        return Ok(Vec::new());
    }
    Ok(vec![registration(event, body)?])
}

fn removed_members(event: &Event<'_>, body: &[u8]) -> Result<Vec<Cut>, Rejection> {
    let members = required(read::<Group>(body)?.members, "event.members", "a list")?;
    let mut users = BTreeSet::new();
    for (index, member) in members.into_iter().enumerate() {
        let path = format!("event.members[{index}].userId");
        users.insert(required(member.0.user_id, &path, Id::EXPECTED)?);
    }
    if users.len() > MOST_RECORDS {
        return Err(Rejection {
            path: "event.members".to_owned(),
            message: format!("expected at most {MOST_RECORDS} members at once"),
        });
    }
    Ok(users.iter().map(|user| event.user(user)).collect())
}

/// An action that starts on a user: in the applications that it names, or in all of them.
fn action(event: &Event<'_>, body: &[u8]) -> Result<Vec<Cut>, Rejection> {
    if event.config.user_actions.is_empty() {
        return Ok(Vec::new());
    }
    let members = read::<Started>(body)?;
    let action = required(members.action_id, "event.actionId", Id::EXPECTED)?;
    let mut configured = event.config.user_actions.iter();
    if !configured.any(|wanted| wanted.eq_ignore_ascii_case(&action)) {
        return Ok(Vec::new());
    }
    let phase = required(members.phase, "event.phase", "the phase of the action")?;
    if phase != "start" {
        return Ok(Vec::new());
    }
    let user = members.actionee_user_id.or(members.actionee_id);
    let user = required(user, "event.actioneeUserId", Id::EXPECTED)?;
    Ok(event.user_in_each(&user, &members.application_ids.unwrap_or_default()))
}
