//! Error answers as problem+json (RFC 9457).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// The media type of RFC 9457.
pub const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Builds an answer of the type `about:blank`, whose title is the phrase of the status. An empty
/// `detail` is left out.
pub fn problem<B: From<Bytes>>(status: StatusCode, detail: &str) -> Response<B> {
    let mut body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Refused"),
        "status": status.as_u16(),
    });
    if !detail.is_empty() {
        body["detail"] = detail.into();
    }
    let mut response = Response::new(Bytes::from(body.to_string()).into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM);
    uncached(response)
}

/// Forbids caches to store the answer.
pub fn uncached<B>(mut response: Response<B>) -> Response<B> {
    let value = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}

/// Closes the connection after the answer.
pub fn last<B>(mut response: Response<B>) -> Response<B> {
    let value = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, value);
    response
}
