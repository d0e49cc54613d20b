//! `jwt.refresh-token.revoke` in its four shapes.
//!
//! | trigger | `userId` | `applicationId` | `refreshToken` |
//! | --- | --- | --- | --- |
//! | one token | yes | yes, but for single sign-on | yes |
//! | a user in one application | yes | yes | no |
//! | a user in all applications | yes | no | no |
//! | all users of an application | no | yes | no |

use std::collections::{BTreeMap, BTreeSet};

use super::config::SessionScope;
use super::event::{APPLICATION_CLAIM, Cut, Event, MOST_RECORDS};
use super::members::{RefreshToken, Revoked, Seconds};
use crate::events::outcome::Rejection;
use crate::events::payload::{Id, required};

/// The `sid` of an access token is the id of the refresh token it came with.
const SESSION_CLAIM: &str = "sid";

/// Application → the life of its access tokens.
type Lives = BTreeMap<String, Seconds>;

pub(super) fn cuts(event: &Event<'_>, revoked: Revoked) -> Result<Vec<Cut>, Rejection> {
    let lives = revoked.lives.unwrap_or_default().0;
    let (user, application) = (revoked.user_id, revoked.application_id);
    if let Some(token) = revoked.refresh_token {
        return one_token(event, token.0, user, application, &lives);
    }
    match (user, application) {
        (Some(user), Some(application)) => Ok(vec![user_in(event, &user, &application, &lives)]),
        (Some(user), None) => Ok(user_everywhere(event, &user, &lives)),
        (None, Some(application)) => {
            let cut = event.cut([(APPLICATION_CLAIM, &*application)]);
            Ok(vec![bounded(event, cut, lives.get(&*application))])
        }
        (None, None) => required(None, "event.userId", "a user or an application"),
    }
}

/// A single sign-on token belongs to no application, so it counts for all that the event names.
fn one_token(
    event: &Event<'_>,
    token: RefreshToken,
    user: Option<Id>,
    application: Option<Id>,
    lives: &Lives,
) -> Result<Vec<Cut>, Rejection> {
    if event.config.session_scope == SessionScope::Session {
        let session = required(token.id, "event.refreshToken.id", Id::EXPECTED)?;
        return Ok(vec![Cut {
            issued_at_or_before: None,
            ..event.cut([(SESSION_CLAIM, &*session)])
        }]);
    }
    // Without a user this would read like "all users": one token must never log everybody out.
    let user = required(user.or(token.user_id), "event.userId", Id::EXPECTED)?;
    let applications: BTreeSet<Id> = application
        .into_iter()
        .chain(token.application_id)
        .collect();
    if applications.is_empty() {
        return Ok(user_everywhere(event, &user, lives));
    }
    let applications = applications.iter();
    Ok(applications
        .map(|application| user_in(event, &user, application, lives))
        .collect())
}

fn user_in(event: &Event<'_>, user: &str, application: &str, lives: &Lives) -> Cut {
    bounded(
        event,
        event.user_in(user, application),
        lives.get(application),
    )
}

/// Returns one cut per application that the event names. When it names none, or more than can be
/// told apart, the user as a whole: that reaches at least as much.
fn user_everywhere(event: &Event<'_>, user: &str, lives: &Lives) -> Vec<Cut> {
    if lives.is_empty() || lives.len() > MOST_RECORDS {
        return vec![event.user(user)];
    }
    let applications = lives.keys();
    applications
        .map(|application| user_in(event, user, application, lives))
        .collect()
}

/// Tokens without `iat` are cut off by their `exp`. An application that is not in the map has no
/// known life, so the longest that the issuer may give counts.
fn bounded(event: &Event<'_>, cut: Cut, life: Option<&Seconds>) -> Cut {
    let grace = event.config.grace.0;
    Cut {
        expires_at_or_before: life.map(|life| event.created.plus(life.0).plus(grace)),
        ..cut
    }
}
