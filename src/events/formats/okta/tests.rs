use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::core::clock::UnixMillis;
use crate::events::delivery::verified;
use crate::events::outcome::Effect;
use crate::revocation::Draft;

const ORIGIN: Origin<'static> = Origin {
    source: "okta",
    issuer: "https://acme.okta.com/oauth2/default",
};
/// A delivery with two events, by Okta's documentation.
const DEACTIVATE: &str = include_str!("payloads/user.lifecycle.deactivate.json");

fn map(config: &Config, body: impl Into<Bytes>) -> Result<Outcome, Rejection> {
    let delivery = verified(HeaderMap::new(), body.into(), UnixMillis(1_800_000_000_000));
    Dialect::map(config, &delivery, ORIGIN)
}

fn drafts(outcome: Outcome) -> Vec<Draft> {
    match outcome.effect {
        Effect::Record(drafts) => drafts,
        Effect::Nothing => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn changed(change: impl Fn(&mut Value)) -> String {
    let mut body: Value = serde_json::from_str(DEACTIVATE).unwrap();
    body["data"]["events"].as_array_mut().unwrap().truncate(1);
    change(&mut body["data"]["events"][0]);
    body.to_string()
}

#[test]
fn the_target_of_each_event_loses_its_tokens_and_the_actor_does_not() {
    let outcome = map(&Config::default(), DEACTIVATE).unwrap();
    assert_eq!(&*outcome.event, "several");
    assert_eq!(
        outcome.id.as_deref(),
        Some("b5a188b9-5ece-4636-b041-482ffda96311")
    );
    let found: Vec<_> = drafts(outcome)
        .into_iter()
        .map(|draft| {
            (
                draft.id,
                draft.cause,
                draft.target.matches,
                draft.issued_at_or_before,
            )
        })
        .collect();
    let matches = |user: &str| [("uid".to_owned(), user.to_owned())].into();
    assert_eq!(
        found,
        [
            (
                "okta/f790999f-fe87-467a-9880-6982a583986c".to_owned(),
                "user.lifecycle.deactivate".to_owned(),
                matches("00u2alice"),
                Some(UnixMillis(1_522_275_787_777)),
            ),
            (
                "okta/f790999f-fe87-467a-9880-6982a583986d".to_owned(),
                "user.session.end".to_owned(),
                matches("00u3bob"),
                Some(UnixMillis(1_522_275_788_000)),
            ),
        ]
    );
}

#[test]
fn the_login_stands_in_sub_unless_another_claim_is_named() {
    for (yaml, claim, value) in [
        ("{ user: login }", "sub", "alice@example.com"),
        ("{ claim: okta_id }", "okta_id", "00u2alice"),
    ] {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let drafts = drafts(map(&config, changed(|_| {})).unwrap());
        let matches: Vec<_> = drafts[0].target.matches.iter().collect();
        assert_eq!(matches, [(&claim.to_owned(), &value.to_owned())], "{yaml}");
    }
}

#[test]
fn unsuccessful_disabled_and_unknown_events_are_ignored() {
    let default = Config::default();
    for (body, name) in [
        (
            changed(|event| event["outcome"]["result"] = json!("FAILURE")),
            "user.lifecycle.deactivate",
        ),
        (
            changed(|event| event["eventType"] = json!("user.risk.change")),
            "user.risk.change",
        ),
        (
            changed(|event| event["eventType"] = json!("user.session.start")),
            "other",
        ),
    ] {
        let outcome = map(&default, body).unwrap();
        assert_eq!((&*outcome.event, outcome.effect), (name, Effect::Nothing));
    }
    let config: Config = serde_saphyr::from_str(
        "{ on: { user.lifecycle.deactivate: false, user.risk.change: true } }",
    )
    .unwrap();
    assert_eq!(drafts(map(&config, changed(|_| {})).unwrap()).len(), 0);
    let risk = changed(|event| event["eventType"] = json!("user.risk.change"));
    assert_eq!(drafts(map(&config, risk).unwrap()).len(), 1);
}

#[test]
fn an_event_without_a_user_or_a_time_is_refused_and_loses_no_other() {
    for (body, path) in [
        (
            changed(|event| event["target"] = json!(null)),
            "data.events[0].target",
        ),
        (
            changed(|event| event["target"][0]["type"] = json!("AppInstance")),
            "data.events[0].target",
        ),
        (
            changed(|event| event["target"][0]["id"] = json!(null)),
            "data.events[0].target.id",
        ),
        (
            changed(|event| event["published"] = json!(null)),
            "data.events[0].published",
        ),
        (
            changed(|event| event["published"] = json!("yesterday")),
            "data.events[0].published",
        ),
        (
            changed(|event| event["uuid"] = json!(null)),
            "data.events[0].uuid",
        ),
        ("{}".to_owned(), "data.events"),
    ] {
        let rejection = map(&Config::default(), body).unwrap_err();
        assert_eq!(rejection.path, path, "{rejection}");
    }
    let mut body: Value = serde_json::from_str(DEACTIVATE).unwrap();
    body["data"]["events"][0]["target"] = json!([]);
    let outcome = map(&Config::default(), body.to_string()).unwrap();
    assert!(outcome.notice.is_some());
    assert_eq!(drafts(outcome).len(), 1);
}

#[test]
fn the_challenge_is_answered_to_a_get_only() {
    let ask = |method: Method, challenge: &str| {
        let request = Request::builder().method(method).uri("/events/okta");
        let request = request.header("X-Okta-Verification-Challenge", challenge);
        Config::default().handshake(&request.body(Body::empty()).unwrap())
    };
    let answer = ask(Method::GET, "a\"b").unwrap();
    assert_eq!(
        (answer.content_type, &*answer.body),
        ("application/json", r#"{"verification":"a\"b"}"#)
    );
    assert!(ask(Method::POST, "abc").is_none());
    assert!(ask(Method::GET, &"x".repeat(2000)).is_none());
    let plain = Request::get("/events/okta").body(Body::empty()).unwrap();
    assert!(Config::default().handshake(&plain).is_none());
}
