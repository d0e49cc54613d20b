mod bodies;
mod hostile;
mod mapping;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::core::clock::UnixMillis;
use crate::core::units::Span;
use crate::events::delivery::verified;
use crate::events::outcome::Effect;
use crate::revocation::{Action, Draft};

const USER: &str = "dfdbae16-7ed4-4a6c-8f1b-0a1de9a0e5b1";
const APPLICATION: &str = "21a8893c-3b1c-4e0f-9c55-6f5b7f1f0a11";
const CREATED: u64 = 1_505_762_615_056;
const PREVENT_LOGIN: &str = "b96a0548-e87c-42dd-887c-31294ca10c8b";

const ORIGIN: Origin<'static> = Origin {
    source: "hooks",
    issuer: "https://id.example.com",
};

fn config() -> Config {
    Config {
        user_actions: vec![PREVENT_LOGIN.to_owned()],
        on: BTreeMap::from([(Kind::UserReactivate, true)]),
        ..Config::default()
    }
}

fn map(config: &Config, body: impl Into<Bytes>) -> Result<Outcome, Rejection> {
    let delivery = verified(HeaderMap::new(), body.into(), UnixMillis(CREATED));
    Dialect::map(config, &delivery, ORIGIN)
}

fn map_value(config: &Config, body: &Value) -> Result<Outcome, Rejection> {
    map(config, body.to_string())
}

fn payload(name: &str) -> Vec<u8> {
    let here = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/events/formats/fusionauth/payloads"
    );
    std::fs::read(format!("{here}/{name}.json")).unwrap()
}

fn payload_value(name: &str) -> Value {
    serde_json::from_slice(&payload(name)).unwrap()
}

fn drafts(outcome: Outcome) -> Vec<Draft> {
    match outcome.effect {
        Effect::Record(drafts) | Effect::RecordLater(drafts, _) => drafts,
        Effect::RefetchKeys | Effect::Unresolved(_) | Effect::Nothing => Vec::new(),
    }
}

/// One line per record, with times relative to the event's and the first part of each id.
fn lines(outcome: Outcome) -> Vec<String> {
    drafts(outcome).iter().map(line).collect()
}

fn line(draft: &Draft) -> String {
    assert_eq!(draft.target.issuer, ORIGIN.issuer);
    assert_eq!(draft.source, ORIGIN.source);
    assert_eq!(draft.occurred_at, UnixMillis(CREATED));
    let targets = draft.target.matches.iter();
    let targets: Vec<_> = targets
        .map(|(claim, value)| format!("{claim}={}", value.split('-').next().unwrap()))
        .collect();
    let after = |at: Option<UnixMillis>| {
        at.map_or("-".to_owned(), |at| {
            let milliseconds = i128::from(at.0) - i128::from(CREATED);
            format!("+{milliseconds}")
        })
    };
    let action = match draft.action {
        Action::Revoke => "revoke",
        Action::Lift => "lift",
    };
    let (iat, exp) = (
        after(draft.issued_at_or_before),
        after(draft.expires_at_or_before),
    );
    format!(
        "{action} {} iat{iat} exp{exp} {}",
        targets.join(" "),
        draft.cause
    )
}
