//! What browsers are told, however they log in.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::Value;

use crate::admin::audited;
use crate::admin::caller::Caller;
use crate::admin::refused::Refused;
use crate::audit::Audit;

/// Whether a listener speaks plain HTTP on loopback, where a cookie need not be `Secure`.
#[derive(Clone, Copy, Debug)]
pub(in crate::admin) struct PlainLoopback(pub(in crate::admin) bool);

/// Returns whether the browser came over HTTPS, to a proxy in front of a plain listener.
pub(super) fn is_https(request: &Request) -> bool {
    let origin = request.headers().get(header::ORIGIN);
    origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https:"))
}

/// Returns who logged in, for the audit trail.
pub(super) fn who(audit: &Audit, caller: &Caller) -> Value {
    Value::Object(audited::who(audit, caller))
}

/// Adds members to the line about a request in the audit trail.
pub(super) fn noted(mut response: Response, members: Value) -> Response {
    audited::note(response.extensions_mut(), members);
    response
}

/// Sends away after too many failed logins.
pub(super) fn too_many(seconds: u64) -> Response {
    let why = format!("too many logins failed; try again in {seconds} s");
    let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, why);
    let wait = [(header::RETRY_AFTER, seconds.to_string())];
    (wait, refused).into_response()
}
