//! Sources whose only proof is a signature of the body.

use aws_lc_rs::{digest, hmac};
use serde_json::json;

use super::*;
use crate::core::config_error::ConfigErrors;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: u64 = 1_505_762_616;
const BODY: &str = r#"{"type":"user.locked","user":"alice"}"#;
const RULES: &str =
    "{ type: type, rules: [{ when: { type: user.locked }, target: { sub: user } }] }";

/// A source of the format `mapped`.
pub(super) fn mapped(format: &str, auth: &str) -> SourceConfig {
    let yaml =
        format!("name: hooks\nissuer: {ISSUER}\nformat: {{ mapped: {format} }}\nauth: {auth}\n");
    serde_saphyr::from_str(&yaml).unwrap()
}

pub(super) fn mapped_door(format: &str, auth: &str) -> Door {
    let source = mapped(format, auth);
    door(&source, ListenerConfig::default(), FakeRecord::default())
}

/// The source of a preset as it is shipped, but for its secret and its name.
pub(super) fn preset_door(preset: &str, secret_file: &str, secret: &str) -> Door {
    let in_file = format!("secret_file: {secret_file}");
    assert!(preset.contains(&in_file), "{in_file}");
    let preset = preset.replace(&in_file, &format!("secret: {secret}"));
    let head = "listen: { ext_authz: 127.0.0.1:1, events: 127.0.0.1:2 }\nissuers:\n  - issuer: \
                https://id.example.com\n    jwks: { uri: https://id.example.com/jwks.json }\n    \
                audiences: [shop]\n";
    let config =
        crate::config::parse("f", format!("{head}{preset}").as_bytes(), &|_| None).unwrap();
    let mut source = config.events.into_iter().next().unwrap();
    source.name = "hooks".to_owned();
    door(&source, ListenerConfig::default(), FakeRecord::default())
}

pub(super) fn problems_of(source: SourceConfig) -> Vec<String> {
    let mut errors = ConfigErrors::new();
    check(&[source], &mut errors);
    errors.into_vec().iter().map(ToString::to_string).collect()
}

pub(super) fn post(headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let request = Request::post("/events/hooks").header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Body::from(body.to_owned())).unwrap()
}

fn standard(id: &str, at: u64, body: &str) -> Request<Body> {
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(tag));
    let at = at.to_string();
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", &*at),
        ("webhook-signature", &*signature),
    ];
    post(&headers, body)
}

#[tokio::test]
async fn a_signature_with_a_time_is_enough_alone_and_its_id_makes_attempts_one_event() {
    let door = mapped_door(
        RULES,
        &format!("{{ standard_webhooks: {{ secret: {SECRET} }} }}"),
    );
    assert_eq!(
        door.status(standard("msg_1", NOW, BODY)).await,
        StatusCode::OK
    );
    assert_eq!(
        door.status(standard("msg_1", NOW + 5, BODY)).await,
        StatusCode::OK
    );
    assert_eq!(door.recorded(), 1);
    assert_eq!(door.record.recorded.lock().unwrap()[0].id, "hooks/msg_1");
    assert_eq!(
        door.status(standard("msg_2", NOW, BODY)).await,
        StatusCode::OK
    );
    assert_eq!(door.recorded(), 2);
    for forged in [
        standard("msg_3", NOW - 301, BODY),
        standard("msg_3", NOW + 301, BODY),
        post(&[], BODY),
        post(
            &[
                ("webhook-id", "msg_3"),
                ("webhook-timestamp", "1505762616"),
                ("webhook-signature", "v1,AAAA"),
            ],
            BODY,
        ),
    ] {
        assert_eq!(door.status(forged).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(door.recorded(), 2);
    door.counts("events_total{source=\"hooks\",result=\"duplicate\"} 1");
    door.counts("events_total{source=\"hooks\",result=\"unauthenticated\"} 4");
}

#[test]
fn a_signature_without_a_time_needs_another_proof_or_events_that_bound_their_replay() {
    let untimed = "hmac: { header: X-Signature, secret: s }";
    let bounded = "{ type: type, id: id, time: { path: at, unit: s }, rules: [{ when: { type: a }, target: { sub: u } }] }";
    let basic = "basic: { username: hooks, password: x }";
    for (format, auth, is_sound) in [
        (RULES, format!("{{ {untimed} }}"), false),
        (RULES, format!("{{ {untimed}, {basic} }}"), true),
        (bounded, format!("{{ {untimed} }}"), true),
        (
            RULES,
            "{ hmac: { header: X-Signature, secret: s, timestamp: ms } }".to_owned(),
            true,
        ),
        (RULES, "{ jwt: { audience: x } }".to_owned(), true),
        (
            RULES,
            format!("{{ jwt: {{ audience: x }}, {basic} }}"),
            false,
        ),
        (RULES, "{}".to_owned(), false),
        (bounded, "{}".to_owned(), false),
        (RULES, "{ jwt: { audience: '' } }".to_owned(), false),
        (
            bounded,
            format!("{{ {basic}, signature: {{ algorithms: [RS256] }} }}"),
            false,
        ),
    ] {
        let found = problems_of(mapped(format, &auth));
        assert_eq!(found.is_empty(), is_sound, "{auth}: {found:?}");
        let is_built = Source::build(&mapped(format, &auth)).is_ok();
        assert!(is_built || !is_sound, "{auth}");
    }
    let built = Source::build(&mapped(RULES, &format!("{{ {untimed} }}")));
    assert!(
        built.is_err(),
        "a configuration that was not checked admits nobody"
    );
}

#[tokio::test]
async fn a_token_about_this_very_body_is_enough_alone() {
    let door = mapped_door(RULES, "{ jwt: { audience: hooks } }");
    let hash = |body: &str| {
        let digest = digest::digest(&digest::SHA256, body.as_bytes());
        let bytes = digest.as_ref().iter();
        bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    };
    let good = json!({
        "iss": ISSUER, "aud": "hooks", "jti": "1", "iat": NOW, "exp": NOW + 300,
        "request_body_sha256": hash(BODY),
    });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    for (claims, status) in [
        (good.clone(), StatusCode::OK),
        (
            with("request_body_sha256", json!(hash("{}"))),
            StatusCode::UNAUTHORIZED,
        ),
        (
            with("request_body_sha256", Value::Null),
            StatusCode::UNAUTHORIZED,
        ),
        (with("aud", json!("account")), StatusCode::UNAUTHORIZED),
        (with("exp", json!(NOW - 100)), StatusCode::UNAUTHORIZED),
        (with("exp", Value::Null), StatusCode::UNAUTHORIZED),
    ] {
        *door.keys.opens.lock().unwrap() = Some(Ok(claims.to_string().into()));
        let header = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";
        let bearer = format!("Bearer {header}.e30.AAAA");
        let got = door.status(post(&[("authorization", &bearer)], BODY)).await;
        assert_eq!(got, status, "{claims}");
    }
    assert_eq!(door.recorded(), 1);
}

/// A delivery recorded from Keycloak 26.7 with the p2-inc extension, to the preset as it is shipped.
#[tokio::test]
async fn the_preset_for_keycloak_takes_what_a_real_one_signed() {
    let preset = include_str!("../../../presets/keycloak-p2.yaml");
    let door = preset_door(preset, "/run/secrets/keycloak", "p2-shared-secret");
    let body = include_str!("../../../presets/keycloak-p2/access.LOGOUT.json");
    let signature = "83f90409d0a88991db86553d31f6e829e36c5421a7a890dafd6620a9663b9f4e";
    let headers = [("x-keycloak-signature", signature)];
    assert_eq!(door.status(post(&headers, body)).await, StatusCode::OK);
    assert_eq!(door.recorded(), 1);
    let changed = body.replace("dave", "mary");
    assert_eq!(
        door.status(post(&headers, &changed)).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(door.recorded(), 1);
}
