//! The legacy back end: it knows nothing of tokens and echoes what reached it.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::http::Reply;
use super::serve::Served;

/// Answers every request with its method, target and headers as JSON; `/status/500` with that
/// status, to see that a proxy leaves the upstream's own errors alone; `/stream` with one event and no
/// end; every upgrade with 101.
pub(crate) struct Backend(pub(crate) Served);

impl Backend {
    pub(crate) fn start() -> Self {
        Self(Served::start(Router::new().fallback(echo)))
    }
}

async fn echo(request: Request) -> Response {
    let path = request.uri().path();
    let status = path
        .strip_prefix("/status/")
        .and_then(|code| code.parse().ok());
    let status = status
        .and_then(|code| StatusCode::from_u16(code).ok())
        .unwrap_or(StatusCode::OK);
    if request.headers().contains_key("upgrade") {
        // The accept is the one for the key of RFC 6455 section 1.3.
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        return (StatusCode::SWITCHING_PROTOCOLS, upgrade).into_response();
    }
    if path == "/stream" {
        let first = stream::iter([Ok::<_, Infallible>("data: first\n\n")]);
        return Body::from_stream(first.chain(stream::pending())).into_response();
    }
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let seen = json!({
        "method": request.method().as_str(),
        "target": request.uri().path_and_query().map_or("", |target| target.as_str()),
        "headers": headers,
    });
    (status, seen.to_string()).into_response()
}

/// What the back end saw, read from its answer.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Echo {
    /// Every value that reached the back end under a name, also spelt with `_` for `-`.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = |held: &str| held.replace('_', "-").eq_ignore_ascii_case(name);
        let values = self.headers.iter().filter(|(held, _)| same(held));
        values.map(|(_, value)| value.as_str()).collect()
    }
}

impl Reply {
    /// Reads the echo; panics when the answer is not the back end's.
    pub(crate) fn echo(&self) -> Echo {
        let seen = self.body_json();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = seen["headers"]
            .as_array()
            .expect("an answer of the back end");
        Echo {
            method: text(&seen["method"]),
            target: text(&seen["target"]),
            headers: pairs
                .iter()
                .map(|pair| (text(&pair[0]), text(&pair[1])))
                .collect(),
        }
    }
}
