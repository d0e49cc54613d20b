//! A source that sends too much has to wait, and nobody else can use up what it may send.

use super::*;
use crate::core::config_error::ConfigErrors;

fn limited(auth: CredentialsConfig, yaml: &str) -> Door {
    let mut source = source(auth);
    source.rate_limit = Some(serde_saphyr::from_str(yaml).unwrap());
    door(&source, ListenerConfig::default(), FakeRecord::default())
}

/// An event with an id of its own: what is sent again is not recorded again.
fn numbered(number: usize) -> Request<Body> {
    let mut event: Value = serde_json::from_slice(DEACTIVATE).unwrap();
    event["event"]["id"] = format!("event-{number}").into();
    request(event.to_string())
}

#[tokio::test]
async fn events_above_the_rate_get_429_and_acknowledged_ones_are_recorded() {
    let door = limited(basic_source().auth, "{ per_second: 2, burst: 3 }");
    let mut answers = Vec::new();
    for number in 0..5 {
        answers.push(door.send(numbered(number)).await);
    }
    let statuses = answers.iter().map(|answer| answer.status().as_u16());
    assert_eq!(statuses.collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
    assert_eq!(door.recorded(), 3, "what got 2xx, and nothing else");
    let refused = answers.pop().unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(!refused.headers().contains_key("connection"));
    let told = json(refused).await;
    assert!(
        told["detail"].as_str().unwrap().contains("Retry-After"),
        "{told}"
    );
    door.counts("events_total{source=\"fusionauth\",result=\"rate_limited\"} 2");

    door.clock.advance(Duration::from_secs(1));
    assert_eq!(door.status(numbered(3)).await, StatusCode::OK);
    assert_eq!(door.status(numbered(4)).await, StatusCode::OK);
    assert_eq!(
        door.status(numbered(5)).await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(door.recorded(), 5);
}

#[tokio::test]
async fn unauthenticated_senders_use_up_no_budget() {
    let auth = CredentialsConfig {
        hmac: Some(serde_saphyr::from_str(HMAC).unwrap()),
        ..basic_source().auth
    };
    let door = limited(auth, "per_second: 1");
    for _ in 0..20 {
        // The credentials in the headers hold, the signature does not.
        let forged = request(DEACTIVATE);
        assert_eq!(door.status(forged).await, StatusCode::UNAUTHORIZED);
        let mut stranger = signed();
        stranger.headers_mut().remove("authorization");
        assert_eq!(door.status(stranger).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(door.status(signed()).await, StatusCode::OK);
    assert_eq!(door.status(signed()).await, StatusCode::TOO_MANY_REQUESTS);
}

const HMAC: &str = "{ header: x-signature, secret: 0123456789abcdef }";

fn signed() -> Request<Body> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"0123456789abcdef");
    let tag = aws_lc_rs::hmac::sign(&key, DEACTIVATE);
    let bytes = tag.as_ref().iter();
    let tag = bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let mut request = request(DEACTIVATE);
    request
        .headers_mut()
        .insert("x-signature", tag.parse().unwrap());
    request
}

#[test]
fn a_limit_of_zero_is_an_error() {
    for (yaml, field) in [
        ("per_second: 0", "rate_limit.per_second"),
        ("{ per_second: 5, burst: 0 }", "rate_limit.burst"),
        ("per_second: 1000001", "rate_limit.per_second"),
    ] {
        let mut source = basic_source();
        source.rate_limit = Some(serde_saphyr::from_str(yaml).unwrap());
        let mut errors = ConfigErrors::new();
        check(&[source], &mut errors);
        let found: Vec<_> = errors.into_vec().iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(&format!("events[0].{field}: ")),
            "{found:?}"
        );
    }
}

/// A source that takes no Basic credentials must not ask for them.
#[tokio::test]
async fn a_401_asks_only_for_what_the_source_takes() {
    let read = |yaml: &str| serde_saphyr::from_str::<CredentialsConfig>(yaml).unwrap();
    for (auth, asks_for) in [
        (
            "basic: { username: hooks, password: secret }",
            Some("Basic realm=\"events\""),
        ),
        ("header: { name: x-secret, value: secret }", None),
        (
            "standard_webhooks: { secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw }",
            None,
        ),
        (
            "hmac: { header: x-signature, secret: s, timestamp: s }",
            None,
        ),
        (
            "jwt: { audience: shop }",
            Some("Bearer error=\"invalid_token\""),
        ),
    ] {
        let door = door(
            &source(read(auth)),
            ListenerConfig::default(),
            FakeRecord::default(),
        );
        let mut stranger = request(DEACTIVATE);
        stranger.headers_mut().remove("authorization");
        let answer = door.send(stranger).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{auth}");
        let asked = answer.headers().get("www-authenticate");
        assert_eq!(
            asked.map(|value| value.to_str().unwrap()),
            asks_for,
            "{auth}"
        );
    }
}
