//! From a request to what has to be done.

use serde::Deserialize;

use super::config::Config;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::Origin;
use crate::events::outcome::{Effect, Outcome, Rejection};
use crate::events::payload::{self, Id, NumericDate, Object, required};
use crate::events::subject::{About, Resolver, Subject};
use crate::revocation::{Action, Draft, Target};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Request {
    sub_id: Option<Object<Subject>>,
    /// The name up to draft 02, which Okta and Auth0 implement.
    subject: Option<Object<Subject>>,
}

/// The claims of the bearer token that count here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bearer {
    iat: Option<NumericDate>,
}

const CAUSE: &str = "global-token-revocation";

pub(super) fn map(
    config: &Config,
    delivery: &Delivery<Verified>,
    origin: Origin<'_>,
) -> Result<Outcome, Rejection> {
    let request: Request = payload::read(delivery.body())?;
    let path = match request.sub_id {
        None if request.subject.is_some() => "subject",
        _ => "sub_id",
    };
    let subject = required(request.sub_id.or(request.subject), path, "a subject")?.0;
    let id = required(delivery.id(), "jti", Id::EXPECTED)?;
    let caller = config.caller.as_deref().unwrap_or(origin.issuer);
    let resolver = Resolver {
        subjects: &config.subjects,
        issuers: &[origin.issuer, caller],
        critical: &[],
    };
    // A request that is sent again must not end what began after it.
    let token: Bearer = payload::read(delivery.claims())?;
    let asked_at = token.iat.map_or(delivery.received_at(), |iat| iat.0);
    let draft = |(index, matches)| Draft {
        id: format!("{}/{id}/{index}", origin.source),
        target: Target {
            issuer: origin.issuer.to_owned(),
            matches,
        },
        action: Action::Revoke,
        issued_at_or_before: Some(asked_at.plus(config.grace.0)),
        expires_at_or_before: None,
        occurred_at: asked_at,
        source: origin.source.to_owned(),
        cause: CAUSE.to_owned(),
    };
    let effect = match resolver.resolve(&subject, About::User, path) {
        Ok(found) => Effect::Record(found.into_iter().enumerate().map(draft).collect()),
        Err(rejection) => Effect::Unresolved(rejection),
    };
    Ok(Outcome {
        event: CAUSE.into(),
        id: None,
        effect,
        notice: None,
    })
}
