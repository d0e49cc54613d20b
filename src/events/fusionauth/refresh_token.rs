//! `jwt.refresh-token.revoke` in its four shapes.
//!
//! | trigger | `userId` | `applicationId` | `refreshToken` |
//! | --- | --- | --- | --- |
//! | one token | yes | yes, but for single sign-on | yes |
//! | a user in one application | yes | yes | no |
//! | a user in all applications | yes | no | no |
//! | all users of an application | no | yes | no |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::SessionScope;
use super::event::{APPLICATION_CLAIM, Cut, Event, MOST_RECORDS, USER_CLAIM, first_id};
use crate::events::json::Place;
use crate::events::outcome::Rejection;

/// The `sid` of an access token is the id of the refresh token it came with.
const SESSION_CLAIM: &str = "sid";

/// Longer lives are a mistake, and would have to be remembered for as long.
const TEN_YEARS: u64 = 10 * 366 * 24 * 3600;

/// Application → the life of its access tokens.
type Lives<'a> = BTreeMap<&'a str, Duration>;

pub(super) fn cuts(event: &Event<'_>) -> Result<Vec<Cut>, Rejection> {
    let lives = lives(&event.body.member("applicationTimeToLiveInSeconds")?)?;
    let user = event.body.member("userId")?.optional_id()?;
    let application = event.body.member("applicationId")?.optional_id()?;
    if let Some(token) = event.body.member("refreshToken")?.given() {
        return one_token(event, &token, application, &lives);
    }
    match (user, application) {
        (Some(user), Some(application)) => Ok(vec![user_in(event, user, application, &lives)]),
        (Some(user), None) => Ok(user_everywhere(event, user, &lives)),
        (None, Some(application)) => Ok(vec![everyone_in(event, application, &lives)]),
        (None, None) => Err(event
            .body
            .member("userId")?
            .wrong("a user or an application")),
    }
}

/// A single sign-on token belongs to no application, so it counts for all that the event names.
fn one_token<'a>(
    event: &Event<'a>,
    token: &Place<'a>,
    application: Option<&str>,
    lives: &Lives<'_>,
) -> Result<Vec<Cut>, Rejection> {
    if event.config.session_scope == SessionScope::Session {
        let session = token.member("id")?.id()?;
        return Ok(vec![Cut {
            issued_at_or_before: None,
            ..event.cut([(SESSION_CLAIM, session)])
        }]);
    }
    // Without a user this would read like "all users": one token must never log everybody out.
    let user = first_id(&event.body.member("userId")?, &token.member("userId")?)?;
    let inner = token.member("applicationId")?.optional_id()?;
    let applications: BTreeSet<&str> = application.into_iter().chain(inner).collect();
    if applications.is_empty() {
        return Ok(user_everywhere(event, user, lives));
    }
    let applications = applications.into_iter();
    Ok(applications
        .map(|application| user_in(event, user, application, lives))
        .collect())
}

fn user_in(event: &Event<'_>, user: &str, application: &str, lives: &Lives<'_>) -> Cut {
    let target = [(USER_CLAIM, user), (APPLICATION_CLAIM, application)];
    bounded(event, event.cut(target), lives.get(application))
}

fn everyone_in(event: &Event<'_>, application: &str, lives: &Lives<'_>) -> Cut {
    let target = [(APPLICATION_CLAIM, application)];
    bounded(event, event.cut(target), lives.get(application))
}

/// One cut per application that the event names. When it names none, or more than can be told
/// apart, the user as a whole: that reaches at least as much.
fn user_everywhere(event: &Event<'_>, user: &str, lives: &Lives<'_>) -> Vec<Cut> {
    if lives.is_empty() || lives.len() > MOST_RECORDS {
        return vec![event.cut([(USER_CLAIM, user)])];
    }
    let applications = lives.keys();
    applications
        .map(|application| user_in(event, user, application, lives))
        .collect()
}

/// Tokens without `iat` are cut off by their `exp`. An application that is not in the map has no
/// known life, so the longest that the issuer may give counts.
fn bounded(event: &Event<'_>, cut: Cut, life: Option<&Duration>) -> Cut {
    let grace = event.config.grace.0;
    Cut {
        expires_at_or_before: life.map(|life| event.created.plus(*life).plus(grace)),
        ..cut
    }
}

fn lives<'a>(map: &Place<'a>) -> Result<Lives<'a>, Rejection> {
    if map.is_absent() {
        return Ok(Lives::new());
    }
    let mut lives = Lives::new();
    for (application, life) in map.entries()? {
        let life = life.unsigned(0..=TEN_YEARS, "a number of seconds, at most ten years")?;
        lives.insert(application, Duration::from_secs(life));
    }
    Ok(lives)
}
