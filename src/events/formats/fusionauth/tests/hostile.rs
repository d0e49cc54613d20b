//! Members that are absent, of another kind or past any sense.

use super::*;

fn path_of(config: &Config, body: &Value) -> String {
    map_value(config, body).unwrap_err().path
}

/// Puts each of several wrong values at a place and expects to be told that very place.
fn refuses(name: &str, pointer: &str, path: &str, wrong: &[Value]) {
    for value in wrong {
        let mut body = payload_value(name);
        *body.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(
            path_of(&config(), &body),
            path,
            "{name} with {value} at {pointer}"
        );
    }
}

fn not_ids() -> Vec<Value> {
    vec![
        json!(7),
        json!(true),
        json!([]),
        json!({}),
        json!(""),
        json!("a\u{0}b"),
        json!("a\nb"),
        json!("x".repeat(257)),
    ]
}

fn with_null(mut values: Vec<Value>) -> Vec<Value> {
    values.push(Value::Null);
    values
}

#[test]
fn wrong_types_are_refused_with_their_place() {
    const ONE: &str = "jwt.refresh-token.revoke.one-token";
    let ids = not_ids();
    let required = with_null(not_ids());
    let not_objects = [json!(7), json!("text"), json!([1]), json!(false)];
    refuses("user.deactivate", "/event", "event", &not_objects);
    refuses(
        "user.deactivate",
        "/event/type",
        "event.type",
        &[json!(7), json!(null), json!([])],
    );
    refuses("user.deactivate", "/event/id", "event.id", &required);
    refuses("user.deactivate", "/event/tenantId", "event.tenantId", &ids);
    refuses("user.deactivate", "/event/user", "event.user", &not_objects);
    refuses(
        "user.deactivate",
        "/event/user/id",
        "event.user.id",
        &required,
    );
    refuses(ONE, "/event/userId", "event.userId", &ids);
    refuses(ONE, "/event/applicationId", "event.applicationId", &ids);
    refuses(
        ONE,
        "/event/refreshToken",
        "event.refreshToken",
        &not_objects,
    );
    let place = "event.refreshToken.applicationId";
    refuses(ONE, "/event/refreshToken/applicationId", place, &ids);
    let map = "/event/applicationTimeToLiveInSeconds";
    refuses(
        ONE,
        map,
        "event.applicationTimeToLiveInSeconds",
        &not_objects,
    );
}

#[test]
fn wrong_types_in_other_events_are_refused_with_their_place() {
    let not_objects = [json!(7), json!("text"), json!([1]), json!(false)];
    let required = with_null(not_ids());
    let actives = [json!(null), json!("false"), json!(0)];
    refuses(
        "user.update.deactivated",
        "/event/user/active",
        "event.user.active",
        &actives,
    );
    let place = "event.original.active";
    refuses(
        "user.update.deactivated",
        "/event/original/active",
        place,
        &actives[1..],
    );
    let lists = [json!({}), json!("admin"), json!(1)];
    let place = "event.registration.roles";
    refuses(
        "user.registration.update.roles",
        "/event/registration/roles",
        place,
        &lists,
    );
    let place = "event.original.roles";
    refuses(
        "user.registration.update.roles",
        "/event/original/roles",
        place,
        &lists,
    );
    let place = "event.original.roles[1]";
    refuses(
        "user.registration.update.roles",
        "/event/original/roles/1",
        place,
        &[json!(1), json!(null)],
    );
    let nothings = [json!(null), json!({}), json!("x"), json!(1)];
    refuses(
        "group.member.remove",
        "/event/members",
        "event.members",
        &nothings,
    );
    refuses(
        "group.member.remove",
        "/event/members/1",
        "event.members[1]",
        &not_objects,
    );
    let place = "event.members[1].userId";
    refuses(
        "group.member.remove",
        "/event/members/1/userId",
        place,
        &required,
    );
    refuses(
        "user.action.start",
        "/event/actionId",
        "event.actionId",
        &required,
    );
    refuses(
        "user.action.start",
        "/event/phase",
        "event.phase",
        &[json!(null), json!(1)],
    );
    refuses(
        "user.action.start",
        "/event/actioneeUserId",
        "event.actioneeUserId",
        &required,
    );
    refuses(
        "user.action.start",
        "/event/applicationIds",
        "event.applicationIds",
        &lists,
    );
    let place = "event.applicationIds[0]";
    refuses(
        "user.action.start",
        "/event/applicationIds/0",
        place,
        &required,
    );
}

#[test]
fn times_that_are_no_milliseconds_are_refused() {
    for wrong in [
        json!(null),
        json!("1505762615056"),
        json!(-1),
        json!(0),
        json!(1_505_762_615), // seconds
        json!(1_505_762_615_056.5),
        json!(1e30),
        json!(u64::MAX),
        json!(i64::MAX),
        json!([CREATED]),
    ] {
        let mut body = payload_value("user.deactivate");
        body["event"]["createInstant"] = wrong;
        let rejection = map_value(&config(), &body).unwrap_err();
        assert_eq!(rejection.path, "event.createInstant");
        assert!(
            rejection
                .message
                .starts_with("expected milliseconds since the epoch, found")
        );
    }
}

#[test]
fn lifetimes_that_are_no_seconds_are_refused() {
    for wrong in [
        json!(null),
        json!("600"),
        json!(-1),
        json!(600.5),
        json!(1e300),
        json!(u64::MAX),
        json!(u32::MAX),
        json!({}),
    ] {
        for name in [
            "one-token",
            "user-in-application",
            "everyone-in-application",
        ] {
            let mut body = payload_value(&format!("jwt.refresh-token.revoke.{name}"));
            body["event"]["applicationTimeToLiveInSeconds"][APPLICATION] = wrong.clone();
            let path = format!("event.applicationTimeToLiveInSeconds[{APPLICATION:?}]");
            assert_eq!(path_of(&config(), &body), path, "{wrong}");
        }
    }
}

#[test]
fn an_event_without_a_subject_never_reaches_everybody() {
    let mut body = payload_value("jwt.refresh-token.revoke.everyone-in-application");
    body["event"]["applicationId"] = Value::Null;
    assert_eq!(path_of(&config(), &body), "event.userId");
    let mut body = payload_value("jwt.refresh-token.revoke.one-token");
    body["event"]["userId"] = Value::Null;
    body["event"]["refreshToken"]["userId"] = Value::Null;
    assert_eq!(path_of(&config(), &body), "event.userId");
    let mut body = payload_value("user.registration.delete");
    body["event"]["applicationId"] = Value::Null;
    body["event"]["registration"]["applicationId"] = Value::Null;
    assert_eq!(path_of(&config(), &body), "event.applicationId");
    for name in ["user.deactivate", "user.registration.delete"] {
        let mut body = payload_value(name);
        body["event"]["user"] = Value::Null;
        assert_eq!(path_of(&config(), &body), "event.user.id");
    }
    let mut body = payload_value("jwt.refresh-token.revoke.one-token");
    body["event"]["refreshToken"]["id"] = Value::Null;
    let session = Config {
        session_scope: SessionScope::Session,
        ..config()
    };
    assert_eq!(path_of(&session, &body), "event.refreshToken.id");
}

#[test]
fn too_many_members_are_an_error() {
    let mut body = payload_value("group.member.remove");
    let members = (0..=10_000).map(|n| json!({ "userId": format!("user-{n}") }));
    body["event"]["members"] = members.collect();
    assert_eq!(path_of(&config(), &body), "event.members");
}

#[test]
fn a_time_in_the_future_is_left_to_the_receipt_to_clamp() {
    let mut body = payload_value("user.deactivate");
    body["event"]["createInstant"] = json!(CREATED + 1_000_000_000);
    let drafts = drafts(map_value(&config(), &body).unwrap());
    let ahead = UnixMillis(CREATED + 1_000_000_000);
    assert_eq!(drafts[0].issued_at_or_before, Some(ahead));
    assert_eq!(drafts[0].occurred_at, ahead);
}

#[test]
fn rejections_repeat_no_values() {
    let mut body = payload_value("user.deactivate");
    body["event"]["createInstant"] = json!("jo@example.com");
    let rejection = map_value(&config(), &body).unwrap_err().to_string();
    let expected = "event.createInstant: expected milliseconds since the epoch, found a string";
    assert_eq!(rejection, expected);
}
