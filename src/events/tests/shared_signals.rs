//! The format `shared-signals`, from a request to its answer and record.

mod subjects;

use serde_json::json;

use super::provider::{NOW, door_at, door_of, forge, header, lines, problems, recorded, sign};
use super::*;

const PATH: &str = "/events/signals";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type";

fn config(mut options: Value) -> Value {
    if options["audience"].is_null() {
        options["audience"] = json!(["stream-1"]);
    }
    json!({ "name": "signals", "format": { "shared-signals": options }, "issuer": ISSUER })
}

fn alice() -> Value {
    json!({ "format": "iss_sub", "iss": ISSUER, "sub": "alice" })
}

/// A token with one event, and its subject in `sub_id`.
fn token(uri: &str, event: &Value, subject: &Value) -> Value {
    json!({
        "iss": ISSUER,
        "aud": "stream-1",
        "iat": NOW - 5,
        "jti": "event-1",
        "events": { uri: event },
        "sub_id": subject,
    })
}

fn push(set: impl Into<Body>) -> Request<Body> {
    Request::post(PATH)
        .header("content-type", "application/secevent+jwt")
        .header("accept", "application/json")
        .body(set.into())
        .unwrap()
}

fn signed(claims: &Value) -> Request<Body> {
    push(sign(&header("secevent+jwt"), claims))
}

async fn refused(door: &Door, request: Request<Body>, err: &str, what: &str) -> String {
    let response = door.send(request).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{what}");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["content-language"], "en");
    let body = json(response).await;
    assert_eq!(body["err"], err, "{what}: {body}");
    assert_eq!(door.recorded(), 0, "{what}");
    body["description"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn recorded_events_of_keycloak_end_what_they_are_about() {
    let jwks = include_str!("../../../tests/recorded/keycloak.jwks.json");
    let jwks: Value = serde_json::from_str(jwks).unwrap();
    let issuer = "http://127.0.0.1:23080/realms/acme";
    let mut config = config(json!({
        "audience": ["ssf-receiver/1d92978b-a341-4495-adeb-38c09c73453b"],
        "critical_subject_members": ["user"],
    }));
    config["issuer"] = json!(issuer);
    let header = json!({ "name": "Authorization", "value": "Bearer receiver-shared-token" });
    config["auth"] = json!({ "header": header });
    for (http, expected) in [
        (
            include_str!("../../../tests/recorded/keycloak-ssf-session-revoked.http"),
            Some("Revoke sid=gPclHxTeJajSGrjmffMyif7R until 1795702890000 session-revoked"),
        ),
        (
            include_str!("../../../tests/recorded/keycloak-ssf-credential-change.http"),
            Some(
                "Revoke sub=43e184ee-e7ea-4bf3-bb5f-b5898b0bfdd8 until 1795702895000 \
                 credential-change",
            ),
        ),
        (
            include_str!("../../../tests/recorded/keycloak-ssf-verification.http"),
            None,
        ),
    ] {
        let door = door_at(&config, issuer, &jwks, 1_795_702_900);
        let response = door.send(recorded(http, PATH)).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{expected:?}");
        assert_eq!(lines(&door), Vec::from_iter(expected));
        let mut stranger = recorded(http, PATH);
        stranger.headers_mut().remove("authorization");
        let door = door_at(&config, issuer, &jwks, 1_795_702_900);
        refused(&door, stranger, "authentication_failed", "a stranger").await;
        let door = door_at(&config, issuer, &jwks, 1_795_702_900 + 8 * 24 * 3600);
        refused(&door, recorded(http, PATH), "invalid_request", "stale").await;
    }
}

#[tokio::test]
async fn every_event_does_what_its_kind_and_the_configuration_say() {
    let all_on = || {
        let kinds = crate::events::formats::shared_signals::Kind::ALL;
        let on: serde_json::Map<String, Value> = kinds
            .into_iter()
            .map(|kind| (kind.as_str().to_owned(), json!(true)))
            .collect();
        json!({ "on": on })
    };
    let details = |name: &str| match name {
        "risk-level-change" => json!({ "current_level": "HIGH" }),
        "assurance-level-change" => json!({ "change_direction": "decrease" }),
        "device-compliance-change" => json!({ "current_status": "not-compliant" }),
        _ => json!({}),
    };
    for (base, name, is_on) in [
        (CAEP, "session-revoked", true),
        (CAEP, "token-claims-change", true),
        (CAEP, "credential-change", true),
        (CAEP, "assurance-level-change", false),
        (CAEP, "device-compliance-change", false),
        (CAEP, "risk-level-change", false),
        (RISC, "account-disabled", true),
        (RISC, "account-enabled", false),
        (RISC, "account-purged", true),
        (RISC, "account-credential-change-required", true),
        (RISC, "credential-compromise", true),
        (RISC, "identifier-changed", false),
        (RISC, "identifier-recycled", false),
        (RISC, "recovery-activated", false),
        (RISC, "recovery-information-changed", false),
        (RISC, "sessions-revoked", true),
        (
            "https://schemas.openid.net/secevent/oauth/event-type",
            "tokens-revoked",
            true,
        ),
    ] {
        let claims = token(&format!("{base}/{name}"), &details(name), &alice());
        for (options, is_on) in [(json!({}), is_on), (all_on(), true)] {
            let door = door_of(&config(options));
            assert_eq!(door.status(signed(&claims)).await, StatusCode::ACCEPTED);
            let line = match name {
                "account-enabled" => "Lift sub=alice until - account-disabled".to_owned(),
                _ => format!("Revoke sub=alice until 1799999995000 {name}"),
            };
            let expected = if is_on { vec![line] } else { Vec::new() };
            assert_eq!(lines(&door), expected, "{name}");
            let by_type = format!("events_by_type_total{{source=\"signals\",type=\"{name}\"}} 1");
            door.counts(&by_type);
        }
    }
    for (uri, event) in [
        (
            format!("{CAEP}/credential-change"),
            json!({ "change_type": "create" }),
        ),
        (
            format!("{CAEP}/risk-level-change"),
            json!({ "current_level": "LOW" }),
        ),
        (
            format!("{CAEP}/assurance-level-change"),
            json!({ "change_direction": "increase" }),
        ),
        (
            format!("{CAEP}/device-compliance-change"),
            json!({ "current_status": "compliant" }),
        ),
        (format!("{CAEP}/session-established"), json!({})),
        (format!("{RISC}/session-revoked"), json!({})),
        (format!("{RISC}/opt-in"), json!({})),
        (format!("{SSF}/verification"), json!({ "state": "x" })),
        (
            format!("{SSF}/stream-updated"),
            json!({ "status": "paused" }),
        ),
        ("https://example.com/invented".to_owned(), json!(7)),
    ] {
        let door = door_of(&config(all_on()));
        let status = door.status(signed(&token(&uri, &event, &alice()))).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{uri}");
        assert_eq!(door.recorded(), 0, "{uri}");
        door.counts("events_total{source=\"signals\",result=\"ignored\"} 1");
    }
}

#[tokio::test]
async fn the_cut_off_is_the_events_own_time() {
    let uri = format!("{CAEP}/credential-change");
    for (event, toe, options, until) in [
        (json!({}), Value::Null, json!({}), 1_799_999_995_000_u64),
        (
            json!({}),
            json!(NOW - 20),
            json!({ "grace": "2s" }),
            1_799_999_982_000,
        ),
        (
            json!({ "event_timestamp": NOW - 30 }),
            json!(NOW - 20),
            json!({}),
            1_799_999_970_000,
        ),
        (
            json!({ "event_timestamp": 1_799_999_970_123_u64 }),
            Value::Null,
            json!({}),
            1_799_999_970_123,
        ),
    ] {
        let mut claims = token(&uri, &event, &alice());
        claims["toe"] = toe;
        let door = door_of(&config(options));
        assert_eq!(door.status(signed(&claims)).await, StatusCode::ACCEPTED);
        assert_eq!(
            lines(&door),
            [format!("Revoke sub=alice until {until} credential-change")]
        );
    }
}

#[tokio::test]
async fn an_invalid_security_event_token_is_refused_with_its_error_code() {
    let uri = format!("{CAEP}/session-revoked");
    let good = token(&uri, &json!({}), &alice());
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    for (claims, err, place) in [
        (
            with("iss", json!("https://other.example.com")),
            "invalid_issuer",
            "iss",
        ),
        (with("aud", json!("stream-2")), "invalid_audience", "aud"),
        (with("aud", Value::Null), "invalid_audience", "aud"),
        (with("iat", Value::Null), "invalid_request", "iat"),
        (
            with("iat", json!(NOW - 8 * 24 * 3600)),
            "invalid_request",
            "iat",
        ),
        (with("exp", json!(NOW - 100)), "invalid_request", "exp"),
        (with("jti", Value::Null), "invalid_request", "jti"),
        (with("events", json!({})), "invalid_request", "events"),
        (with("events", json!("x")), "invalid_request", "events"),
        (
            with("events", json!({ uri.clone(): [] })),
            "invalid_request",
            "events",
        ),
        (
            with(
                "events",
                json!({ uri.clone(): { "event_timestamp": "now" } }),
            ),
            "invalid_request",
            "events[\"",
        ),
        (with("sub_id", json!("alice")), "invalid_request", "sub_id"),
        (
            with("sub_id", json!({ "format": 7 })),
            "invalid_request",
            "sub_id.format",
        ),
    ] {
        let door = door_of(&config(json!({})));
        let what = claims.to_string();
        let description = refused(&door, signed(&claims), err, &what).await;
        assert!(description.starts_with(place), "{what}: {description}");
        assert!(!description.contains("alice"), "{description}");
    }
    let door = door_of(&config(json!({})));
    for (set, err) in [
        (forge(&header("secevent+jwt"), &good), "invalid_key"),
        (sign(&header("JWT"), &good), "invalid_key"),
        (sign(&header("at+jwt"), &good), "invalid_key"),
        ("not a token".to_owned(), "invalid_key"),
    ] {
        refused(&door, push(set.clone()), err, &set).await;
    }
    let mut form = push(sign(&header("secevent+jwt"), &good));
    let value = "application/json".parse().unwrap();
    form.headers_mut().insert("content-type", value);
    let status = door.status(form).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn an_event_that_comes_again_is_acknowledged_as_before() {
    let door = door_of(&config(json!({})));
    let set = sign(
        &header("secevent+jwt"),
        &token(&format!("{CAEP}/session-revoked"), &json!({}), &alice()),
    );
    let broken = AppendError::Unavailable("no disk".to_owned());
    door.record.answers.lock().unwrap().push_back(broken);
    for (status, recorded) in [(503, 0), (202, 1), (202, 1)] {
        let response = door.send(push(set.clone())).await;
        assert_eq!(response.status(), status);
        assert_eq!(door.recorded(), recorded);
    }
    door.counts("events_total{source=\"signals\",result=\"duplicate\"} 1");
}

#[tokio::test]
async fn a_transmitter_of_another_name_signs_with_its_own_keys() {
    let mut options = json!({ "transmitter": ISSUER });
    options["audience"] = json!(["stream-1"]);
    let mut config = config(options);
    config["issuer"] = json!("https://tokens.example.com");
    let door = door_of(&config);
    let claims = token(&format!("{CAEP}/session-revoked"), &json!({}), &alice());
    assert_eq!(door.status(signed(&claims)).await, StatusCode::ACCEPTED);
    let recorded = door.record.recorded.lock().unwrap();
    assert_eq!(recorded[0].target.issuer, "https://tokens.example.com");
    assert_eq!(super::provider::source(&config).signer().unwrap().1, ISSUER);
}

#[test]
fn invalid_options_are_refused_with_a_reason() {
    assert_eq!(problems(&config(json!({}))), Vec::<String>::new());
    for (options, field) in [
        (json!({ "audience": [] }), "audience"),
        (json!({ "subjects": { "email": "a..b" } }), "subjects.email"),
        (json!({ "subjects": { "user": "sub" } }), "subjects.user"),
        (json!({ "types": [] }), "types"),
        (json!({ "max_age": "1s" }), "max_age"),
        (json!({ "grace": "6m" }), "grace"),
    ] {
        let found = problems(&config(options.clone()));
        let expected = format!("events[0].format.shared-signals.{field}: ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{options}: {found:?}"
        );
    }
}
