//! `portcullis ssf` makes, checks, verifies and removes a stream at a small transmitter after the Shared
//! Signals Framework 1.0 §8.1.

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::support::Served;

const TOKEN: &str = "the-token-of-the-receiver";
const SECRET: &str = "Bearer the-secret-of-the-source";

#[derive(Debug, Default)]
struct Transmitter {
    stream: Option<Value>,
    is_paused: bool,
    verified: Vec<Value>,
    strangers: usize,
}

type Shared = Arc<Mutex<Transmitter>>;

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: String,
) -> Response {
    let base = format!("http://{}", headers["host"].to_str().unwrap());
    let mut transmitter = shared.lock().unwrap();
    let json = |status, value: Value| (status, value.to_string()).into_response();
    if uri.path() == "/.well-known/ssf-configuration/realms/acme" {
        let document = json!({
            "issuer": format!("{base}/realms/acme"),
            "configuration_endpoint": format!("{base}/streams"),
            "status_endpoint": format!("{base}/status"),
            "verification_endpoint": format!("{base}/verify"),
        });
        return json(StatusCode::OK, document);
    }
    let bearer = headers.get("authorization");
    if bearer.is_none_or(|value| value != format!("Bearer {TOKEN}").as_str()) {
        transmitter.strangers += 1;
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let of_stream = query.as_deref() == Some("stream_id=stream-1") && transmitter.stream.is_some();
    match (method.as_str(), uri.path()) {
        ("POST", "/streams") if transmitter.stream.is_some() => {
            StatusCode::CONFLICT.into_response()
        }
        ("POST", "/streams") => {
            let mut stream: Value = serde_json::from_str(&body).unwrap();
            stream["stream_id"] = json!("stream-1");
            stream["aud"] = json!(["receiver/1"]);
            let event = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
            stream["events_delivered"] = json!([event]);
            transmitter.stream = Some(stream.clone());
            json(StatusCode::CREATED, stream)
        }
        ("GET", "/streams") if of_stream => {
            json(StatusCode::OK, transmitter.stream.clone().unwrap())
        }
        ("GET", "/status") if of_stream => {
            let status = if transmitter.is_paused {
                "paused\u{1b}[2J"
            } else {
                "enabled"
            };
            json(
                StatusCode::OK,
                json!({ "stream_id": "stream-1", "status": status }),
            )
        }
        ("POST", "/verify") => {
            transmitter
                .verified
                .push(serde_json::from_str(&body).unwrap());
            StatusCode::NO_CONTENT.into_response()
        }
        ("DELETE", "/streams") if of_stream => {
            transmitter.stream = None;
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[test]
fn a_stream_is_created_checked_verified_and_removed() {
    let shared = Shared::default();
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&shared));
    let served = Served::start(router);
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (token, wrong) = (file("token", TOKEN), file("wrong", "another"));
    let secret = file("secret", SECRET);
    let issuer = format!("http://{}/realms/acme", served.address);
    let ssf = |action: &str, token: &str, more: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args([
            "ssf",
            action,
            "--transmitter",
            &issuer,
            "--token-file",
            token,
        ]);
        command.args(more).output().unwrap()
    };
    let text = |output: &Output| {
        let text = [&output.stdout[..], &output.stderr].concat();
        String::from_utf8(text).unwrap()
    };
    let push = ["--push-to", "https://portcullis.example.com/events/signals"];
    let create = [&push[..], &["--authorization-file", &secret]].concat();

    let output = ssf("create", &wrong, &create);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("401"), "{}", text(&output));
    assert_eq!(shared.lock().unwrap().strangers, 1);

    let output = ssf("create", &token, &create);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in [
        "stream: stream-1",
        "audience: [receiver/1]",
        "does not deliver: https:",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains(SECRET), "{said}");
    let stream = shared.lock().unwrap().stream.clone().unwrap();
    let delivery = json!({
        "method": "urn:ietf:rfc:8935", "endpoint_url": push[1], "authorization_header": SECRET,
    });
    assert_eq!(stream["delivery"], delivery);
    let asked = stream["events_requested"].to_string();
    assert!(asked.contains("caep/event-type/session-revoked"), "{asked}");
    assert!(
        asked.contains("risc/event-type/account-disabled"),
        "{asked}"
    );
    assert!(!asked.contains("risk-level-change"), "{asked}");
    assert!(text(&ssf("create", &token, &create)).contains("409"));

    let one = ["--stream", "stream-1"];
    let output = ssf("check", &token, &one);
    assert!(
        text(&output).ends_with("status: enabled\n"),
        "{}",
        text(&output)
    );
    shared.lock().unwrap().is_paused = true;
    let output = ssf("check", &token, &one);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("the stream is paused"),
        "{}",
        text(&output)
    );
    assert!(!text(&output).contains('\u{1b}'));

    assert_eq!(ssf("verify", &token, &one).status.code(), Some(0));
    let verified = shared.lock().unwrap().verified[0].clone();
    assert_eq!(verified["stream_id"], "stream-1");
    assert!(
        verified["state"]
            .as_str()
            .is_some_and(|state| state.len() == 16)
    );

    assert_eq!(ssf("remove", &token, &one).status.code(), Some(0));
    assert_eq!(shared.lock().unwrap().stream, None);
    assert_eq!(ssf("remove", &token, &one).status.code(), Some(1));
}
