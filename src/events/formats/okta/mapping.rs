//! From the events of a delivery to the records that they leave.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::config::{Config, User};
use super::kind::Kind;
use super::members::{Body, Entity, Event, Published};
use crate::events::dialect::Origin;
use crate::events::outcome::{Outcome, Rejection};
use crate::events::payload::{Id, Object, read, required};
use crate::revocation::{Action, Draft, Target};

/// Said of a delivery of which a part is recorded. Refusing it would lose that part: Okta does not
/// repeat what was refused.
const INCOMPLETE: &str = "an event of this delivery names no user or no time and left no record; see \
                          Okta's system log";

/// Maps a delivery. An event that cannot be understood does not keep the others from being recorded.
pub(super) fn map(config: &Config, body: &[u8], origin: Origin<'_>) -> Result<Outcome, Rejection> {
    let Body { event_id, data } = read(body)?;
    let events = required(data.0.events, "data.events", "a list of events")?;
    let (mut drafts, mut names, mut refused) = (Vec::new(), Vec::new(), None);
    for (index, Object(event)) in events.into_iter().enumerate() {
        let kind = event.kind.as_deref().and_then(Kind::named);
        names.push(Cow::Borrowed(kind.map_or("other", Kind::as_str)));
        let Some(kind) = kind.filter(|kind| config.is_on(*kind) && event.has_happened()) else {
            continue;
        };
        match draft(
            config,
            kind,
            event,
            &format!("data.events[{index}]"),
            origin,
        ) {
            Ok(draft) => drafts.push(draft),
            Err(rejection) => refused = Some(rejection),
        }
    }
    let id = event_id.map(|id| id.to_string());
    Outcome::of_several(names, id, drafts, refused, INCOMPLETE)
}

fn draft(
    config: &Config,
    kind: Kind,
    event: Event,
    path: &str,
    origin: Origin<'_>,
) -> Result<Draft, Rejection> {
    let of = |member: &str| format!("{path}.{member}");
    let uuid = required(event.uuid, &of("uuid"), Id::EXPECTED)?;
    let published = required(event.published, &of("published"), Published::EXPECTED)?.0;
    let targets = event.target.unwrap_or_default();
    let target = targets
        .into_iter()
        .map(|Object(target)| target)
        .find(Entity::is_user);
    let actor = Some(event.actor.0).filter(|actor| kind == Kind::SessionEnd && actor.is_user());
    let user = required(target.or(actor), &of("target"), "a user")?;
    let user = match config.user {
        User::Id => required(user.id, &of("target.id"), Id::EXPECTED)?,
        User::Login => required(user.alternate_id, &of("target.alternateId"), Id::EXPECTED)?,
    };
    Ok(Draft {
        id: format!("{}/{}", origin.source, &*uuid),
        target: Target {
            issuer: origin.issuer.to_owned(),
            matches: BTreeMap::from([(config.claim().to_owned(), user.to_string())]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(published),
        expires_at_or_before: None,
        occurred_at: published,
        source: origin.source.to_owned(),
        cause: kind.as_str().to_owned(),
    })
}

impl Event {
    /// Returns whether the action succeeded. Okta also reports attempts.
    fn has_happened(&self) -> bool {
        let result = self.outcome.0.result.as_deref();
        result.is_none_or(|result| result == "SUCCESS")
    }
}

impl Entity {
    fn is_user(&self) -> bool {
        self.kind.as_deref() == Some("User")
    }
}
