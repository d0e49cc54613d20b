//! The format `global-token-revocation`, from a request to its answer and record.

use serde_json::json;

use super::provider::{NOW, door_of, forge, header, lines, problems, sign};
use super::*;

const PATH: &str = "/events/universal-logout";
const AUDIENCE: &str = "https://portcullis.example.com/events/universal-logout";
const TYPE: &str = "global-token-revocation+jwt";

fn config(mut options: Value) -> Value {
    if options["audience"].is_null() {
        options["audience"] = json!([AUDIENCE]);
    }
    json!({
        "name": "universal-logout",
        "format": { "global-token-revocation": options },
        "issuer": ISSUER,
    })
}

fn bearer() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "app-1",
        "aud": AUDIENCE,
        "iat": NOW - 3,
        "exp": NOW + 297,
        "jti": "request-1",
    })
}

fn alice() -> Value {
    json!({ "sub_id": { "format": "iss_sub", "iss": ISSUER, "sub": "alice" } })
}

fn request(token: &str, body: &Value) -> Request<Body> {
    Request::post(PATH)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn signed(body: &Value) -> Request<Body> {
    request(&sign(&header(TYPE), &bearer()), body)
}

#[tokio::test]
async fn a_user_loses_all_tokens() {
    let subject = |subject: Value| json!({ "sub_id": subject });
    for (body, line) in [
        (alice(), "Revoke sub=alice"),
        (json!({ "subject": alice()["sub_id"] }), "Revoke sub=alice"),
        (
            subject(json!({ "format": "email", "email": "a@example.com" })),
            "Revoke email=a@example.com",
        ),
        (
            subject(json!({ "format": "opaque", "id": "alice" })),
            "Revoke sub=alice",
        ),
    ] {
        let door = door_of(&config(json!({})));
        let response = door.send(signed(&body)).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{body}");
        let expected = format!("{line} until 1799999997000 global-token-revocation");
        assert_eq!(lines(&door), [expected]);
    }
    // Without the time of the request, its receipt counts.
    let mut timeless = bearer();
    timeless.as_object_mut().unwrap().remove("iat");
    let door = door_of(&config(json!({ "grace": "2s" })));
    let timeless = request(&sign(&header(TYPE), &timeless), &alice());
    assert_eq!(door.status(timeless).await, StatusCode::NO_CONTENT);
    let expected = "Revoke sub=alice until 1800000002000 global-token-revocation";
    assert_eq!(lines(&door), [expected]);
}

#[tokio::test]
async fn a_request_needs_a_token_for_this_endpoint() {
    let with = |name: &str, value: Value| {
        let mut claims = bearer();
        claims[name] = value;
        sign(&header(TYPE), &claims)
    };
    for token in [
        String::new(),
        forge(&header(TYPE), &bearer()),
        sign(&header("JWT"), &bearer()),
        sign(&header("at+jwt"), &bearer()),
        with("iss", json!("https://other.example.com")),
        with("aud", json!("https://other.example.com")),
        with("aud", Value::Null),
        with("sub", Value::Null),
        with("sub", json!("app-2")),
        with("exp", Value::Null),
        with("exp", json!(NOW - 61)),
        with("iat", json!(NOW - 3661)),
        with("jti", Value::Null),
    ] {
        let door = door_of(&config(json!({ "caller_subject": "app-1" })));
        let response = door.send(request(&token, &alice())).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{token}");
        let challenge = &response.headers()["www-authenticate"];
        assert_eq!(challenge, "Bearer error=\"invalid_token\"");
        assert_eq!(door.recorded(), 0, "{token}");
    }
    let door = door_of(&config(json!({})));
    let mut bare = signed(&alice());
    bare.headers_mut().remove("authorization");
    assert_eq!(door.status(bare).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_is_good_for_one_request() {
    let door = door_of(&config(json!({})));
    let broken = AppendError::Unavailable("no disk".to_owned());
    door.record.answers.lock().unwrap().push_back(broken);
    for (status, recorded) in [(503, 0), (204, 1), (204, 1)] {
        assert_eq!(door.status(signed(&alice())).await, status);
        assert_eq!(door.recorded(), recorded);
    }
    let bob = json!({ "sub_id": { "format": "opaque", "id": "bob" } });
    let status = door.status(signed(&bob)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the token was for alice");
    assert_eq!(door.recorded(), 1);
    door.counts("events_total{source=\"universal-logout\",result=\"duplicate\"} 1");
}

#[tokio::test]
async fn try_event_names_invalid_payloads_and_unknown_sources() {
    for (body, status) in [
        (json!({}), 400),
        (json!([]), 400),
        (json!({ "sub_id": "alice" }), 400),
        (json!({ "sub_id": { "format": "email", "email": 7 } }), 400),
        (
            json!({ "sub_id": { "format": "account", "uri": "acct:a" } }),
            422,
        ),
        (json!({ "sub_id": { "format": "invented" } }), 422),
        (
            json!({ "sub_id": { "format": "iss_sub", "iss": "https://x.example.com", "sub": "a" } }),
            422,
        ),
    ] {
        let door = door_of(&config(json!({})));
        assert_eq!(door.status(signed(&body)).await, status, "{body}");
        let door = door_of(&config(json!({ "unknown_subject": "not-found" })));
        let expected = if status == 422 { 404 } else { status };
        assert_eq!(door.status(signed(&body)).await, expected, "{body}");
        assert_eq!(door.recorded(), 0);
    }
}

#[test]
fn invalid_options_are_refused_with_a_reason() {
    assert_eq!(problems(&config(json!({}))), Vec::<String>::new());
    for (options, field) in [
        (json!({ "audience": [""] }), "audience"),
        (json!({ "subjects": { "uri": "" } }), "subjects.uri"),
        (json!({ "types": [] }), "types"),
        (json!({ "types": ["JWT"] }), "caller_subject"),
        (json!({ "allow_untyped": true }), "caller_subject"),
        (json!({ "max_age": "0s" }), "max_age"),
        (json!({ "grace": "6m" }), "grace"),
    ] {
        let found = problems(&config(options.clone()));
        let expected = format!("events[0].format.global-token-revocation.{field}: ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{options}: {found:?}"
        );
    }
}
