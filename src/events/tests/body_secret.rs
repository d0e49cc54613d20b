//! Sources whose only proof is a secret in every event of the body, as Microsoft Graph sends it.

use http::header;

use super::webhook_signatures::{mapped, mapped_door, post, preset_door, problems_of};
use super::*;

const RULES: &str = "{ type: type, events: value, handshake: validation_token, \
                     rules: [{ when: { type: gone }, target: { sub: user } }] }";
const AUTH: &str = "{ body_secret: { path: value.clientState, secret: s3cret } }";
const ALICE: &str = r#"{"type":"gone","user":"alice","clientState":"s3cret"}"#;

fn several(events: &[&str]) -> String {
    format!(r#"{{"value":[{}]}}"#, events.join(","))
}

#[tokio::test]
async fn every_event_of_a_body_must_have_the_secret_or_none_is_recorded() {
    let door = mapped_door(RULES, AUTH);
    let event = |state: &str| format!(r#"{{"type":"gone","user":"bob"{state}}}"#);
    let wrong = event(r#","clientState":"s3cre""#);
    let longer = event(r#","clientState":"s3crets""#);
    let empty = event(r#","clientState":"""#);
    let absent = event("");
    let list = event(r#","clientState":["s3cret"]"#);
    let twice = event(r#","clientState":"s3cret","clientState":"s3cret""#);
    let number = event(r#","clientState":1"#);
    let deeper = event(r#","resourceData":{"clientState":"s3cret"}"#);
    for forged in [
        several(&[&wrong]),
        several(&[ALICE, &wrong]),
        several(&[&wrong, ALICE]),
        several(&[ALICE, &longer]),
        several(&[ALICE, &empty]),
        several(&[ALICE, &absent]),
        several(&[ALICE, &list]),
        several(&[ALICE, &twice]),
        several(&[ALICE, &number]),
        several(&[ALICE, &deeper]),
        several(&[ALICE, "null"]),
        several(&[ALICE, r#""s3cret""#]),
        several(&[&format!("[{ALICE}]")]),
        several(&[]),
        several(&[ALICE]).replace(":[", ":null,\"value\":["),
        format!(r#"{{"value":[{ALICE}],"value":[{wrong}]}}"#),
        format!(r#"{{"value":[{ALICE}],"\u0076alue":[{wrong}]}}"#),
        format!(r#"{{"value":[{ALICE}]"#),
        format!(r#"{{"value":[{ALICE}]}}{{}}"#),
        ALICE.to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        let got = door.status(post(&[], &forged)).await;
        assert_eq!(got, StatusCode::UNAUTHORIZED, "{forged}");
    }
    assert_eq!(door.recorded(), 0);
    let bob = event(r#","clientState":"s3cret""#);
    let good = several(&[ALICE, &bob]);
    assert_eq!(door.status(post(&[], &good)).await, StatusCode::OK);
    assert_eq!(door.recorded(), 2);
}

#[tokio::test]
async fn the_secret_is_enough_alone_and_either_holds_during_a_rotation() {
    let auth = "{ body_secret: { path: value.clientState, secret: [n3w, s3cret] } }";
    let door = mapped_door(RULES, auth);
    let mixed = several(&[
        ALICE,
        &ALICE.replace("s3cret", "n3w").replace("alice", "bob"),
    ]);
    assert_eq!(door.status(post(&[], &mixed)).await, StatusCode::OK);
    assert_eq!(door.recorded(), 2);
    for (auth, problem) in [
        (AUTH, None),
        (
            "{ body_secret: { path: value.clientState } }",
            Some("secret or secret_file is missing"),
        ),
        (
            "{ body_secret: { path: value.clientState, secret: '' } }",
            Some("secret is empty"),
        ),
        (
            "{ body_secret: { path: a|b, secret: x } }",
            Some("must be one path"),
        ),
        (
            "{ body_secret: { path: a..b, secret: x } }",
            Some("has an empty part"),
        ),
        (
            "{ body_secret: { path: '', secret: x } }",
            Some("names no claim"),
        ),
    ] {
        let found = problems_of(mapped(RULES, auth));
        match problem {
            None => assert!(found.is_empty(), "{found:?}"),
            Some(problem) => assert!(found.concat().contains(problem), "{auth}: {found:?}"),
        }
        assert_eq!(
            Source::build(&mapped(RULES, auth)).is_ok(),
            problem.is_none()
        );
    }
}

fn greet(method: &str, query: &str) -> Request<Body> {
    let request = Request::builder().method(method);
    let request = request.uri(format!("/events/hooks?{query}"));
    let request = request.header("content-type", "text/plain; charset=utf-8");
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_posted_validation_token_comes_back_decoded_and_never_as_a_page() {
    let door = mapped_door(RULES, AUTH);
    for (query, token) in [
        (
            "validationToken=Validation%3a+Testing+client%20Request-Id%3A+25460e7d",
            "Validation: Testing client Request-Id: 25460e7d",
        ),
        ("a=b&validationToken=x", "x"),
        ("validationToken=%3Cscript%3E", "<script>"),
    ] {
        let response = door.send(greet("POST", query)).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], "text/plain");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, token.as_bytes());
    }
    let longest = format!("validationToken={}", "x".repeat(1024));
    assert_eq!(door.status(greet("POST", &longest)).await, StatusCode::OK);
    for (method, query) in [
        ("POST", &*format!("{longest}x")),
        ("POST", "validationToken="),
        ("POST", "validationToken=a&validationToken=b"),
        ("POST", "validationToken=a%0D%0Ab"),
        ("POST", "validationToken=%C3%A9"),
        ("POST", "validationtoken=a"),
        ("POST", ""),
        ("GET", "validationToken=a"),
        ("PUT", "validationToken=a"),
    ] {
        let status = door.status(greet(method, query)).await;
        assert!(status.is_client_error(), "{method} {query}: {status}");
    }
    door.counts("events_total{source=\"hooks\",result=\"handshake\"} 4");
    let plain = RULES.replace("handshake: validation_token, ", "");
    let door = mapped_door(&plain, AUTH);
    let status = door.status(greet("POST", "validationToken=a")).await;
    assert!(status.is_client_error(), "{status}");
}

/// A body after Microsoft's documentation, to the preset as it is shipped.
#[tokio::test]
async fn the_preset_for_entra_takes_deleted_users_with_its_secret_only() {
    let preset = include_str!("../../../presets/entra.yaml");
    let door = preset_door(preset, "/run/secrets/entra", "SecretClientState");
    let body = include_str!("../../../presets/entra/user.deleted.json");
    let forged = body.replacen("SecretClientState", "secretclientstate", 1);
    let got = door.status(post(&[], &forged)).await;
    assert_eq!((got, door.recorded()), (StatusCode::UNAUTHORIZED, 0));
    assert_eq!(door.status(post(&[], body)).await, StatusCode::OK);
    assert_eq!(door.recorded(), 2);
    let greeting = greet("POST", "validationToken=abc");
    assert_eq!(door.status(greeting).await, StatusCode::OK);
}
