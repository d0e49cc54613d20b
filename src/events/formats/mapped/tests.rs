mod configuration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::core::clock::UnixMillis;
use crate::events::delivery::verified;
use crate::events::formats::Format;
use crate::events::outcome::Effect;
use crate::revocation::{Action, Draft};

const RECEIVED: u64 = 1_800_000_000_000;
const ORIGIN: Origin<'static> = Origin {
    source: "hooks",
    issuer: "https://id.example.com",
};

/// Reads a whole configuration with these options of the format.
fn parse(options: &str) -> Result<Config, String> {
    let options = options.replace('\n', "\n        ");
    let file = format!(
        "listen: {{ ext_authz: 127.0.0.1:9191, events: 127.0.0.1:9193 }}\n\
         issuers:\n\
         \x20 - issuer: https://id.example.com\n\
         \x20   jwks: {{ uri: https://id.example.com/jwks.json }}\n\
         \x20   audiences: [shop]\n\
         events:\n\
         \x20 - name: hooks\n\
         \x20   issuer: https://id.example.com\n\
         \x20   auth: {{ header: {{ name: x, value: y }} }}\n\
         \x20   format:\n\
         \x20     mapped:\n\
         \x20       {options}\n"
    );
    let read = crate::config::parse("f", file.as_bytes(), &|_| None);
    match read
        .map_err(|report| report.to_string())?
        .events
        .remove(0)
        .format
    {
        Format::Mapped(config) => Ok(config),
        other => panic!("{other:?}"),
    }
}

fn map(config: &Config, body: impl Into<Bytes>) -> Result<Outcome, Rejection> {
    let delivery = verified(HeaderMap::new(), body.into(), UnixMillis(RECEIVED));
    Dialect::map(config, &delivery, ORIGIN)
}

fn drafts(config: &Config, body: impl Into<Bytes>) -> Vec<Draft> {
    match map(config, body).unwrap().effect {
        Effect::Record(drafts) => drafts,
        other => panic!("{other:?}"),
    }
}

const USERS: &str = "\
type: type
id: id
time: { path: at, unit: s }
grace: 2s
rules:
  - when: { type: [locked, deleted], user.kind: 7 }
    target: { sub: user.id, tenant: { value: acme } }
  - when: { type: logged_out }
    present: [session]
    target: { sid: session }
    cut_off: none
  - when: { type: locked }
    cause: odd
    target: { sub: \"a\\\\.b|user.name\" }
    cut_off: receipt
  - when: { type: unlocked }
    cause: odd
    lift: true
    target: { sub: user.id }
  - when: { type: changed, 'text.enabled': false }
    cause: disabled
    target: { sub: { part: { path: path, pattern: 'users/([^/]+)(?:/.*)?' } } }
    cut_off: { path: text.when, unit: ms }
ignore: [created]";

#[test]
fn the_first_rule_that_fits_makes_the_record() {
    let config = parse(USERS).unwrap();
    let body = json!({ "type": "locked", "id": 17, "at": 1_790_000_000, "user": { "id": "alice", "kind": 7 } });
    let outcome = map(&config, body.to_string()).unwrap();
    assert_eq!(
        (&*outcome.event, outcome.id.as_deref()),
        ("locked", Some("17"))
    );
    let [draft] = &drafts(&config, body.to_string())[..] else {
        panic!("one record");
    };
    assert_eq!(draft.id, "hooks/17");
    assert_eq!(draft.cause, "locked");
    assert_eq!(draft.action, Action::Revoke);
    assert_eq!(draft.target.issuer, ORIGIN.issuer);
    let matches: Vec<_> = draft.target.matches.iter().collect();
    let expected =
        [("sub", "alice"), ("tenant", "acme")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert!(matches.into_iter().eq(expected.iter().map(|(k, v)| (k, v))));
    assert_eq!(draft.occurred_at, UnixMillis(1_790_000_000_000));
    assert_eq!(
        draft.issued_at_or_before,
        Some(UnixMillis(1_790_000_002_000))
    );
}

#[test]
fn cut_offs_come_from_where_the_rule_says() {
    let config = parse(USERS).unwrap();
    let text = json!({ "enabled": false, "when": 1_780_000_000_000_u64 }).to_string();
    for (body, sub, cut_off) in [
        (
            json!({ "type": "logged_out", "session": "s1" }),
            ("sid", "s1"),
            None,
        ),
        (
            json!({ "type": "locked", "a.b": "bob" }),
            ("a\\.b|user.name", "bob"),
            Some(RECEIVED + 2000),
        ),
        (
            json!({ "type": "changed", "path": "users/carol/x", "text": text }),
            ("", "carol"),
            Some(1_780_000_002_000),
        ),
    ] {
        let mut body = body;
        body["id"] = json!("e");
        body["at"] = json!("1790000000.5");
        let [draft] = &drafts(&config, body.to_string())[..] else {
            panic!("one record");
        };
        let value = draft.target.matches.values().next().unwrap();
        assert_eq!(value, sub.1, "{body}");
        assert_eq!(draft.issued_at_or_before, cut_off.map(UnixMillis), "{body}");
        assert_eq!(draft.occurred_at, UnixMillis(1_790_000_000_500));
    }
    let unlocked =
        json!({ "type": "unlocked", "id": "e", "at": 1_790_000_000, "user": { "id": "bob" } });
    let [draft] = &drafts(&config, unlocked.to_string())[..] else {
        panic!("one record");
    };
    assert_eq!(
        (draft.action, draft.issued_at_or_before),
        (Action::Lift, None)
    );
    assert_eq!(draft.cause, "odd");
}

#[test]
fn events_that_fit_no_rule_are_ignored_under_a_bounded_set_of_names() {
    let config = parse(USERS).unwrap();
    for (kind, name) in [
        ("created", "created"),
        ("logged_out", "logged_out"),
        ("x", "other"),
    ] {
        let body = json!({ "type": kind, "id": "e", "at": 1_790_000_000, "user": "alice" });
        let outcome = map(&config, body.to_string()).unwrap();
        assert_eq!((&*outcome.event, outcome.effect), (name, Effect::Nothing));
    }
}

#[test]
fn a_value_that_a_rule_needs_is_named_when_absent() {
    let config = parse(USERS).unwrap();
    let locked = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut body = json!({ "type": "locked", "id": "e", "at": 1_790_000_000, "user": { "id": "alice", "kind": 7 } });
        change(&mut body);
        body.to_string()
    };
    for (body, expected) in [
        (
            locked(&|body| body["type"] = json!(null)),
            "type: expected the type of the event, found nothing",
        ),
        (
            locked(&|body| body["id"] = json!({})),
            "id: expected the id of the event, found nothing",
        ),
        (
            locked(&|body| body["id"] = json!(["a", "b"])),
            "id: expected the id of the event, found 2 of them",
        ),
        (
            locked(&|body| body["id"] = json!("a\nb")),
            "id: expected the id of the event of 1 to 256 characters",
        ),
        (
            locked(&|body| body["at"] = json!(1_790_000_000_000_u64)),
            "at: expected a time in seconds since 1970, found something else: is the unit right?",
        ),
        (
            locked(&|body| body["user"]["id"] = json!("")),
            "user.id: expected a value for the claim sub of 1 to 256 characters",
        ),
        (
            locked(&|body| body["user"] = json!([{ "id": "a", "kind": 7 }, { "id": "b" }])),
            "user.id: expected a value for the claim sub, found 2 of them",
        ),
        (
            locked(&|body| body["user"]["id"] = json!(1e20)),
            "user.id: expected a number of at most 15 digits, or text, found another number",
        ),
        (
            locked(&|body| {
                body["type"] = json!("changed");
                body["text"] = json!("{\"enabled\":false,\"when\":1}");
                body["path"] = json!("groups/x");
            }),
            "text.when: expected a time in milliseconds since 1970",
        ),
        (
            locked(&|body| {
                body["type"] = json!("changed");
                body["text"] = json!("{\"enabled\":false,\"when\":1780000000000}");
                body["path"] = json!("groups/x");
            }),
            "path: expected a value for the claim sub, found no such part of the text",
        ),
        (
            locked(&|body| body["text"] = json!("{\"enabled\":")),
            "text: expected text that is a JSON object, found a string",
        ),
        (
            "[]".to_owned(),
            "the body: expected an object, found a list",
        ),
        (
            "7".to_owned(),
            "the body: expected an object, found another number",
        ),
        ("{\"type\":".to_owned(), "not valid JSON"),
        ("{} {}".to_owned(), "not valid JSON"),
        (
            "{\"type\":\"x\",\"type\":\"y\"}".to_owned(),
            "duplicate member",
        ),
    ] {
        let rejection = map(&config, body.clone()).unwrap_err().to_string();
        assert!(rejection.contains(expected), "{body}: {rejection}");
        assert!(!rejection.contains("alice"), "{rejection}");
    }
    // What no rule reads spoils nothing.
    let custom = locked(&|_| {}).replacen('{', "{\"x\":1,\"x\":2,\"y\":[[[[1e99]]]],", 1);
    assert_eq!(drafts(&config, custom).len(), 1);
}

const SEVERAL: &str = "\
type: kind
events: data.items
rules:
  - when: { kind: gone }
    target: { sub: user }";

#[test]
fn a_body_may_hold_several_events_and_a_bad_one_does_not_lose_the_others() {
    let config = parse(SEVERAL).unwrap();
    let body = json!({ "data": { "items": [
        { "kind": "gone", "user": "alice" }, { "kind": "came" }, { "kind": "gone", "user": "bob" },
    ] } });
    let ids: Vec<String> = drafts(&config, body.to_string())
        .into_iter()
        .map(|draft| draft.id)
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(
        ids[0].starts_with("hooks/1800000000000-") && ids[0].ends_with("/0"),
        "{ids:?}"
    );
    assert!(ids[1].ends_with("/2"), "{ids:?}");
    let outcome = map(&config, body.to_string()).unwrap();
    assert_eq!((&*outcome.event, outcome.notice), ("several", None));
    let mut half = body.clone();
    half["data"]["items"][0]["user"] = json!(null);
    let outcome = map(&config, half.to_string()).unwrap();
    assert!(outcome.notice.is_some());
    assert!(matches!(outcome.effect, Effect::Record(drafts) if drafts.len() == 1));
    half["data"]["items"][2]["user"] = json!(null);
    let rejection = map(&config, half.to_string()).unwrap_err().to_string();
    assert_eq!(
        rejection,
        "data.items[2].user: expected a value for the claim sub, found nothing"
    );
    for (body, expected) in [
        ("{}", "data.items: expected a list of events, found nothing"),
        (
            "{\"data\":{\"items\":{}}}",
            "data.items: expected a list of events, found an object",
        ),
        (
            "{\"data\":{\"items\":[7]}}",
            "data.items[0]: expected an object, found another number",
        ),
        (
            "{\"data\":7}",
            "data: expected an object, found another number",
        ),
        (
            "{\"data\":{\"items\":[]},\"data\":{\"items\":[]}}",
            "the body: duplicate member",
        ),
    ] {
        assert_eq!(
            map(&config, body).unwrap_err().to_string(),
            expected,
            "{body}"
        );
    }
    assert_eq!(
        map(&config, "{\"data\":{\"items\":[]}}").unwrap().effect,
        Effect::Nothing
    );
}

#[test]
fn the_same_body_at_another_time_is_another_event() {
    let config =
        parse("rules:\n  - { present: [user], cause: gone, target: { sub: user } }").unwrap();
    let at = |millis| {
        let delivery = verified(
            HeaderMap::new(),
            "{\"user\":\"a\"}".into(),
            UnixMillis(millis),
        );
        let outcome = Dialect::map(&config, &delivery, ORIGIN).unwrap();
        assert_eq!((&*outcome.event, outcome.id), ("gone", None));
        match outcome.effect {
            Effect::Record(drafts) => drafts[0].id.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(at(RECEIVED), at(RECEIVED));
    assert_ne!(at(RECEIVED), at(RECEIVED + 1));
}

#[test]
fn what_is_no_network_is_refused_and_a_source_of_networks_needs_client_ip() {
    let options =
        "type: type\nrules: [{ when: { type: attack }, target: { \"client#ip\": from } }]";
    let needed = parse(options).unwrap_err();
    assert!(
        needed.contains("say in client_ip which header has it"),
        "{needed}"
    );
    let config: Config = serde_saphyr::from_str(options).unwrap();
    let event = |from: &str| json!({ "type": "attack", "from": from }).to_string();
    assert_eq!(drafts(&config, event("10.0.0.0/8")).len(), 1);
    for from in ["alice", "10.0.0.1/8", "0.0.0.0/0"] {
        let refused = map(&config, event(from)).unwrap_err();
        assert_eq!(refused.path, "from");
        assert!(!refused.message.contains(from), "{refused}");
    }
}
