//! The format `oidc-backchannel-logout`, from a request to its answer and record.

mod recorded;

use serde_json::json;

use super::provider::{NOW, door_of, forge, header, lines, problems, sign, unsigned};
use super::*;

const PATH: &str = "/events/logout";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn config(options: Value) -> Value {
    let mut options = options;
    options["clients"] = json!(["web", "web-sid", "web-offline", "web-es"]);
    json!({
        "name": "logout",
        "format": { "oidc-backchannel-logout": options },
        "issuer": ISSUER,
    })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": "web",
        "iat": NOW - 1,
        "exp": NOW + 119,
        "jti": "message-1",
        "sub": "alice",
        "sid": "session-1",
        "events": { EVENT: {} },
    })
}

/// The claims with some changed; `null` removes one.
fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn form(body: impl Into<Body>) -> Request<Body> {
    Request::post(PATH)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.into())
        .unwrap()
}

fn message(token: &str) -> Request<Body> {
    form(format!("logout_token={token}"))
}

fn logout(claims: &Value) -> Request<Body> {
    message(&sign(&header("logout+jwt"), claims))
}

#[tokio::test]
async fn a_message_ends_a_session_or_all_sessions_of_a_user() {
    for (changes, options, line, event) in [
        (
            json!({}),
            json!({}),
            "Revoke sid=session-1 until 1799999999000 backchannel-logout",
            "logout.session",
        ),
        (
            json!({ "sub": null }),
            json!({}),
            "Revoke sid=session-1 until 1799999999000 backchannel-logout",
            "logout.session",
        ),
        (
            json!({ "sid": null, "aud": ["other", "web"] }),
            json!({}),
            "Revoke sub=alice until 1799999999000 backchannel-logout",
            "logout.subject",
        ),
        (
            json!({ "iat": 1_799_999_998.9 }),
            json!({ "sid_fallback": "subject", "grace": "3s" }),
            "Revoke sub=alice until 1800000001000 backchannel-logout",
            "logout.subject-fallback",
        ),
        (
            json!({ "events": { EVENT: {}, "revoke_offline_access": true } }),
            json!({ "session_claim": "session_id" }),
            "Revoke session_id=session-1 until 1799999999000 backchannel-logout",
            "logout.session",
        ),
    ] {
        let door = door_of(&config(options));
        let status = door.status(logout(&with(&changes))).await;
        assert_eq!(status, StatusCode::OK, "{changes}");
        assert_eq!(lines(&door), [line]);
        let by_type = format!("events_by_type_total{{source=\"logout\",type=\"{event}\"}} 1");
        door.counts(&by_type);
        let ids = door.record.recorded.lock().unwrap();
        assert_eq!(ids[0].id, "logout/message-1");
    }
}

/// Each is signed with the provider's key.
#[tokio::test]
async fn an_invalid_logout_token_is_refused_with_400() {
    let expected_user = json!({ "sid_fallback": "subject" });
    for (changes, options, place) in [
        (
            json!({ "iss": "https://other.example.com" }),
            json!({}),
            "iss",
        ),
        (json!({ "iss": null }), json!({}), "iss"),
        (json!({ "aud": "other" }), json!({}), "aud"),
        (json!({ "aud": null }), json!({}), "aud"),
        (json!({ "aud": [] }), json!({}), "aud"),
        (json!({ "iat": null }), json!({}), "iat"),
        (json!({ "iat": "now" }), json!({}), "iat"),
        (
            json!({ "iat": NOW - 361, "exp": NOW + 9 }),
            json!({}),
            "iat",
        ),
        (json!({ "exp": null }), json!({}), "exp"),
        (json!({ "exp": NOW - 61 }), json!({}), "exp"),
        (
            json!({ "exp": NOW - 61 }),
            json!({ "require_exp": false }),
            "exp",
        ),
        (json!({ "jti": null }), json!({}), "jti"),
        (json!({ "jti": "" }), json!({}), "jti"),
        (json!({ "nonce": "n" }), json!({}), "nonce"),
        (json!({ "events": null }), json!({}), "events"),
        (json!({ "events": {} }), json!({}), "events"),
        (json!({ "events": [EVENT] }), json!({}), "events"),
        (json!({ "events": { EVENT: true } }), json!({}), "events"),
        (json!({ "sub": null, "sid": null }), json!({}), "sub"),
        (json!({ "sub": 7 }), json!({}), "sub"),
        (json!({ "sid": ["session-1"] }), json!({}), "sid"),
        (json!({ "sub": null }), expected_user, "sub"),
    ] {
        let door = door_of(&config(options));
        let response = door.send(logout(&with(&changes))).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{changes}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = json(response).await;
        assert_eq!(body["error"], "invalid_request");
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(place), "{changes}: {description}");
        assert_eq!(door.recorded(), 0, "{changes}");
    }
}

#[tokio::test]
async fn events_without_the_providers_signature_are_refused() {
    let good = header("logout+jwt");
    let mut unsecured = good.clone();
    unsecured["alg"] = json!("none");
    let mut confused = good.clone();
    confused["alg"] = json!("HS256");
    let mut unknown = good.clone();
    unknown["kid"] = json!("another");
    let mut critical = good.clone();
    critical["crit"] = json!(["x"]);
    let untyped = json!({ "alg": "ES256", "kid": "ours" });
    for token in [
        forge(&good, &claims()),
        unsigned(&unsecured, &claims()) + ".",
        sign(&unsecured, &claims()),
        sign(&confused, &claims()),
        sign(&unknown, &claims()),
        sign(&critical, &claims()),
        sign(&header("at+jwt"), &claims()),
        sign(&untyped, &claims()),
        unsigned(&good, &claims()),
        "a.b.c".to_owned(),
        String::new(),
    ] {
        let door = door_of(&config(json!({ "allow_untyped": false })));
        let response = door.send(message(&token)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{token}");
        assert_eq!(response.headers()["connection"], "close", "a stranger");
        door.counts("events_total{source=\"logout\",result=\"unauthenticated\"} 1");
        assert_eq!(door.recorded(), 0, "{token}");
    }
    let door = door_of(&config(json!({})));
    let status = door.status(message(&sign(&untyped, &claims()))).await;
    assert_eq!(status, StatusCode::OK, "a type is optional by default");
}

#[tokio::test]
async fn a_form_has_one_logout_token() {
    let token = sign(&header("logout+jwt"), &claims());
    for body in [
        String::new(),
        "x=y".to_owned(),
        format!("Logout_token={token}"),
        format!("logout_token={token}&logout_token={token}"),
    ] {
        let door = door_of(&config(json!({})));
        let status = door.status(form(body.clone())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        door.counts("events_total{source=\"logout\",result=\"malformed\"} 1");
    }
    let door = door_of(&config(json!({})));
    let mut other_type = message(&token);
    let value = "application/json".parse().unwrap();
    other_type.headers_mut().insert("content-type", value);
    let status = door.status(other_type).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let beside = format!("x=y&logout_token={token}&z");
    assert_eq!(door.status(form(beside)).await, StatusCode::OK);
}

#[tokio::test]
async fn a_message_from_the_future_may_come_again() {
    let door = door_of(&config(json!({})));
    let early = with(&json!({ "iat": NOW + 90, "exp": NOW + 200 }));
    let response = door.send(logout(&early)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    let ahead = with(&json!({ "iat": NOW + 50, "exp": NOW + 200 }));
    assert_eq!(door.status(logout(&ahead)).await, StatusCode::OK);
}

#[tokio::test]
async fn an_event_that_is_not_durable_is_not_acknowledged_and_can_be_sent_again() {
    let door = door_of(&config(json!({})));
    let broken = AppendError::Unavailable("no disk".to_owned());
    door.record.answers.lock().unwrap().push_back(broken);
    for (status, recorded) in [(503, 0), (200, 1), (200, 1), (200, 1)] {
        let response = door.send(logout(&claims())).await;
        assert_eq!(response.status(), status);
        assert_eq!(door.recorded(), recorded);
    }
    door.counts("events_total{source=\"logout\",result=\"accepted\"} 1");
    door.counts("events_total{source=\"logout\",result=\"duplicate\"} 2");
    door.counts("event_revocations_total{source=\"logout\"} 1");
}

#[tokio::test]
async fn a_shared_secret_verifies_what_it_is_configured_for() {
    let secret = "0123456789abcdef0123456789abcdef";
    let mut config = config(json!({}));
    config["auth"] = json!({ "signature": { "algorithms": ["HS256"], "secret": secret } });
    let door = door_of(&config);
    let signed = |algorithm: &str, secret: &str| {
        let header = json!({ "alg": algorithm, "typ": "logout+jwt" });
        let text = unsigned(&header, &claims());
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
        let tag = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag);
        message(&format!("{text}.{tag}"))
    };
    for (algorithm, secret, expected) in [
        (
            "HS256",
            "another secret of 32 bytes or mo",
            StatusCode::BAD_REQUEST,
        ),
        ("HS384", secret, StatusCode::BAD_REQUEST),
        ("HS256", secret, StatusCode::OK),
    ] {
        let status = door.status(signed(algorithm, secret)).await;
        assert_eq!(status, expected, "{algorithm} {secret}");
    }
    // The key of the issuer is not asked: the provider was told to use the secret.
    assert_eq!(
        door.status(logout(&claims())).await,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn credentials_count_as_well_if_they_are_configured() {
    let mut config = config(json!({}));
    config["auth"] = json!({ "basic": { "username": "hooks", "password": PASSWORD } });
    let door = door_of(&config);
    assert_eq!(
        door.status(logout(&claims())).await,
        StatusCode::BAD_REQUEST
    );
    let mut known = logout(&claims());
    let value = authorization(PASSWORD).parse().unwrap();
    known.headers_mut().insert("authorization", value);
    assert_eq!(door.status(known).await, StatusCode::OK);
}

#[test]
fn invalid_options_are_refused_with_a_reason() {
    assert_eq!(problems(&config(json!({}))), Vec::<String>::new());
    let place = "events[0].format.oidc-backchannel-logout";
    for (options, field) in [
        (json!({ "clients": [] }), "clients"),
        (json!({ "clients": [""] }), "clients"),
        (
            json!({ "clients": ["web"], "session_claim": "a..b" }),
            "session_claim",
        ),
        (json!({ "clients": ["web"], "types": [""] }), "types"),
        (
            json!({ "clients": ["web"], "types": [], "allow_untyped": false }),
            "types",
        ),
        (json!({ "clients": ["web"], "max_age": "0s" }), "max_age"),
        (json!({ "clients": ["web"], "grace": "6m" }), "grace"),
    ] {
        let mut config = config(json!({}));
        config["format"] = json!({ "oidc-backchannel-logout": options });
        let found = problems(&config);
        let expected = format!("{place}.{field}: ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{options}: {found:?}"
        );
    }
}
