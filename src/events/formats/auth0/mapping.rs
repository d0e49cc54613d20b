//! From an event to the record that it leaves.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::config::{Config, Kind};
use crate::events::dialect::Origin;
use crate::events::formats::mapped::Unit;
use crate::events::outcome::{Effect, Outcome, Rejection};
use crate::events::payload::{Id, Object, read, required};
use crate::revocation::{Action, Draft, Target};

/// The members of an event that are read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    id: Option<Id>,
    #[serde(rename = "type")]
    kind: Option<String>,
    time: Option<String>,
    data: Object<Data>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    object: Object<Subject>,
}

/// A user, or a membership of one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject {
    user_id: Option<Id>,
    blocked: Option<bool>,
    user: Object<User>,
    organization: Object<Organization>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    user_id: Option<Id>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Organization {
    id: Option<Id>,
}

/// Maps an event. Of an event that is unknown or switched off only the type counts.
pub(super) fn map(config: &Config, body: &[u8], origin: Origin<'_>) -> Result<Outcome, Rejection> {
    let event = read::<Event>(body)?;
    let name = required(event.kind, "type", "the name of an event type")?;
    let kind = Kind::named(&name);
    let id = required(event.id, "id", Id::EXPECTED)?.to_string();
    let outcome = |effect| Outcome {
        event: Cow::Borrowed(kind.map_or("other", Kind::as_str)),
        id: Some(id.clone()),
        effect,
        notice: None,
    };
    let kind = kind.filter(|kind| config.on.get(kind).copied().unwrap_or(true));
    let subject = event.data.0.object.0;
    let Some(kind) =
        kind.filter(|kind| *kind != Kind::UserUpdated || subject.blocked == Some(true))
    else {
        return Ok(outcome(Effect::Nothing));
    };
    let time = event
        .time
        .as_deref()
        .and_then(|text| Unit::Rfc3339.read(text));
    let time = required(time, "time", Unit::Rfc3339.expected())?;
    let draft = Draft {
        id: format!("{}/{id}", origin.source),
        target: Target {
            issuer: origin.issuer.to_owned(),
            matches: matches(kind, subject)?,
        },
        action: Action::Revoke,
        issued_at_or_before: Some(time),
        expires_at_or_before: None,
        occurred_at: time,
        source: origin.source.to_owned(),
        cause: kind.as_str().to_owned(),
    };
    Ok(outcome(Effect::Record(vec![draft])))
}

fn matches(kind: Kind, subject: Subject) -> Result<BTreeMap<String, String>, Rejection> {
    const OBJECT: &str = "data.object";
    let of = |member: &str| format!("{OBJECT}.{member}");
    let owned = |claim: &str, value: Id| (claim.to_owned(), value.to_string());
    match kind {
        Kind::UserDeleted | Kind::UserUpdated => {
            let user = required(subject.user_id, &of("user_id"), Id::EXPECTED)?;
            Ok(BTreeMap::from([owned("sub", user)]))
        }
        Kind::MemberDeleted | Kind::MemberRoleDeleted => {
            let user = required(subject.user.0.user_id, &of("user.user_id"), Id::EXPECTED)?;
            let organization = subject.organization.0.id;
            let organization = required(organization, &of("organization.id"), Id::EXPECTED)?;
            Ok(BTreeMap::from([
                owned("sub", user),
                owned("org_id", organization),
            ]))
        }
    }
}
