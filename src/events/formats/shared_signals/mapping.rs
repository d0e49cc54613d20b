//! From a security event token to what has to be done.

use super::config::Config;
use super::event::{Details, Events, SecurityEvent};
use super::kind::Kind;
use crate::core::clock::UnixMillis;
use crate::events::delivery::{Delivery, Verified};
use crate::events::dialect::Origin;
use crate::events::outcome::{Effect, Outcome, Rejection};
use crate::events::payload::{self, Id, required};
use crate::events::subject::{About, Matches, Resolver, Subject};
use crate::revocation::{Action, Draft, Target};

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
/// The name in RISC before 1.0, which Google uses.
const RISC_VERIFICATION: &str = "https://schemas.openid.net/secevent/risc/event-type/verification";
const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// Maps a token. It should have one event; if it has several, all count.
pub(super) fn map(
    config: &Config,
    delivery: &Delivery<Verified>,
    origin: Origin<'_>,
) -> Result<Outcome, Rejection> {
    let token: SecurityEvent = payload::read(delivery.claims())?;
    let Some((uri, _)) = token.events.0.first_key_value() else {
        return required(None, "events", "at least one event");
    };
    let event = label(uri);
    let notice = notice(&token.events.0)?;
    let id = required(delivery.id(), "jti", Id::EXPECTED)?;
    let mut drafts = Vec::new();
    for (uri, members) in &token.events.0 {
        let Some(kind) = Kind::of(uri).filter(|kind| config.is_on(*kind)) else {
            continue;
        };
        let details = Details::read(uri, members)?;
        if !ends_tokens(kind, &details) {
            continue;
        }
        let found = match subject(config, origin, kind, &token, &details) {
            Ok(found) => found,
            Err(rejection) => {
                return Ok(Outcome {
                    event: event.into(),
                    id: None,
                    effect: Effect::Unresolved(rejection),
                    notice,
                });
            }
        };
        let issued = token.iat.map(|iat| iat.0);
        let occurred = details.event_timestamp.or(token.toe).map(|moment| moment.0);
        let occurred = required(occurred.or(issued), "iat", "seconds since the epoch")?;
        for matches in found {
            let index = drafts.len();
            drafts.push(draft(config, origin, kind, id, index, occurred, matches));
        }
    }
    let effect = if drafts.is_empty() {
        Effect::Nothing
    } else {
        Effect::Record(drafts)
    };
    Ok(Outcome {
        event: event.into(),
        id: None,
        effect,
        notice,
    })
}

/// Returns the label of an event in metrics.
fn label(uri: &str) -> &'static str {
    match uri {
        VERIFICATION | RISC_VERIFICATION => "verification",
        STREAM_UPDATED => "stream-updated",
        _ => Kind::of(uri).map_or("other", Kind::as_str),
    }
}

/// Returns what an operator should know about the stream itself.
fn notice(events: &Events) -> Result<Option<&'static str>, Rejection> {
    let Some(members) = events.get(STREAM_UPDATED) else {
        return Ok(None);
    };
    let details = Details::read(STREAM_UPDATED, members)?;
    Ok(match details.status.as_deref() {
        Some("paused") => Some("the transmitter paused the stream: its events will come late"),
        Some("disabled") => Some("the transmitter disabled the stream: its events are lost"),
        _ => None,
    })
}

/// Returns whether an event that is switched on is a reason to end tokens.
fn ends_tokens(kind: Kind, details: &Details) -> bool {
    match kind {
        Kind::CredentialChange => details.change_type.as_deref() != Some("create"),
        Kind::AssuranceLevelChange => details.change_direction.as_deref() != Some("increase"),
        Kind::DeviceComplianceChange => details.current_status.as_deref() != Some("compliant"),
        Kind::RiskLevelChange => details.current_level.as_deref() == Some("HIGH"),
        _ => true,
    }
}

/// Returns the tokens that an event is about. `sub_id` goes before the `subject` of the event.
fn subject(
    config: &Config,
    origin: Origin<'_>,
    kind: Kind,
    token: &SecurityEvent,
    details: &Details,
) -> Result<Vec<Matches>, Rejection> {
    let (subject, path): (Option<&Subject>, _) = match (&token.sub_id, &details.subject) {
        (Some(subject), _) => (Some(&subject.0), "sub_id"),
        (None, Some(subject)) => (Some(&subject.0), "subject"),
        (None, None) => (None, "sub_id"),
    };
    let subject = required(subject, path, "a subject")?;
    let about = match kind {
        Kind::SessionRevoked => About::Session,
        _ => About::User,
    };
    let transmitter = config.transmitter.as_deref().unwrap_or(origin.issuer);
    let resolver = Resolver {
        subjects: &config.subjects,
        issuers: &[origin.issuer, transmitter],
        critical: &config.critical_subject_members,
    };
    resolver.resolve(subject, about, path)
}

fn draft(
    config: &Config,
    origin: Origin<'_>,
    kind: Kind,
    id: &str,
    index: usize,
    occurred: UnixMillis,
    matches: Matches,
) -> Draft {
    // Enabling an account takes back what disabling it set, and nothing else.
    let (action, cause) = match kind {
        Kind::AccountEnabled => (Action::Lift, Kind::AccountDisabled),
        kind => (Action::Revoke, kind),
    };
    let source = origin.source;
    Draft {
        id: if index == 0 {
            format!("{source}/{id}")
        } else {
            format!("{source}/{id}/{index}")
        },
        target: Target {
            issuer: origin.issuer.to_owned(),
            matches,
        },
        action,
        issued_at_or_before: (action == Action::Revoke).then(|| occurred.plus(config.grace.0)),
        expires_at_or_before: None,
        occurred_at: occurred,
        source: source.to_owned(),
        cause: cause.as_str().to_owned(),
    }
}
