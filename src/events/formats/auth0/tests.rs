use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::core::clock::UnixMillis;
use crate::events::delivery::verified;
use crate::events::outcome::Effect;

const ORIGIN: Origin<'static> = Origin {
    source: "auth0",
    issuer: "https://acme.eu.auth0.com/",
};

fn map(config: &Config, body: impl Into<Bytes>) -> Result<Outcome, Rejection> {
    let delivery = verified(HeaderMap::new(), body.into(), UnixMillis(1_800_000_000_000));
    Dialect::map(config, &delivery, ORIGIN)
}

/// An event by Auth0's published schema.
fn event(kind: &str, object: &Value) -> Value {
    json!({
        "specversion": "1.0", "type": kind, "source": "urn:auth0:acme.eu.auth0.com",
        "id": "evt_1234567890abcdef", "time": "2025-02-01T12:34:56.789Z",
        "data": { "object": object }, "a0tenant": "acme", "a0stream": "est_1234567890abcdef",
    })
}

fn matches(kind: &str, object: &Value) -> Vec<(String, String)> {
    let outcome = map(&Config::default(), event(kind, object).to_string()).unwrap();
    assert_eq!(
        (&*outcome.event, outcome.id.as_deref()),
        (kind, Some("evt_1234567890abcdef"))
    );
    let Effect::Record(drafts) = outcome.effect else {
        return Vec::new();
    };
    assert_eq!(drafts[0].id, "auth0/evt_1234567890abcdef");
    assert_eq!(drafts[0].cause, kind);
    assert_eq!(
        drafts[0].issued_at_or_before,
        Some(UnixMillis(1_738_413_296_789))
    );
    drafts[0].target.matches.clone().into_iter().collect()
}

#[test]
fn users_who_are_deleted_or_blocked_and_members_who_lost_something_are_revoked() {
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(claim, value)| ((*claim).to_owned(), (*value).to_owned()))
            .collect()
    };
    let user = json!({ "user_id": "auth0|alice" });
    let member = json!({ "organization": { "id": "org_1" }, "user": { "user_id": "auth0|alice" } });
    let alice = own(&[("sub", "auth0|alice")]);
    let alice_there = own(&[("org_id", "org_1"), ("sub", "auth0|alice")]);
    assert_eq!(matches("user.deleted", &user), alice);
    assert_eq!(matches("organization.member.deleted", &member), alice_there);
    assert_eq!(
        matches("organization.member.role.deleted", &member),
        alice_there
    );
    let blocked = json!({ "user_id": "auth0|alice", "blocked": true });
    assert_eq!(matches("user.updated", &blocked), alice);
    assert_eq!(matches("user.updated", &user), []);
    let unblocked = json!({ "user_id": "auth0|alice", "blocked": false });
    assert_eq!(matches("user.updated", &unblocked), []);
}

#[test]
fn unknown_events_and_those_that_are_off_are_ignored() {
    let object = json!({ "user_id": "auth0|alice" });
    let unknown = event("user.created", &object).to_string();
    let outcome = map(&Config::default(), unknown).unwrap();
    assert_eq!(
        (&*outcome.event, outcome.effect),
        ("other", Effect::Nothing)
    );
    let config: Config = serde_saphyr::from_str("{ on: { user.deleted: false } }").unwrap();
    let outcome = map(&config, event("user.deleted", &object).to_string()).unwrap();
    assert_eq!(
        (&*outcome.event, outcome.effect),
        ("user.deleted", Effect::Nothing)
    );
}

#[test]
fn a_missing_member_is_named_by_its_path() {
    let deleted = event("user.deleted", &json!({ "user_id": "auth0|alice" }));
    let without = |change: &dyn Fn(&mut Value)| {
        let mut body = deleted.clone();
        change(&mut body);
        body.to_string()
    };
    let member = json!({ "user": { "user_id": "auth0|alice" } });
    for (body, path) in [
        (without(&|body| body["type"] = json!(null)), "type"),
        (without(&|body| body["id"] = json!(null)), "id"),
        (without(&|body| body["time"] = json!("today")), "time"),
        (
            without(&|body| body["data"] = json!(null)),
            "data.object.user_id",
        ),
        (
            event("organization.member.deleted", &member).to_string(),
            "data.object.organization.id",
        ),
    ] {
        let rejection = map(&Config::default(), body).unwrap_err();
        assert_eq!(rejection.path, path, "{rejection}");
    }
}
