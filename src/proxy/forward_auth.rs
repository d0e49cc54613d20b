//! The door for every other proxy: HTTP forward-auth.
//!
//! | path | for | the original request is in |
//! | --- | --- | --- |
//! | `/authz/auth-request` | nginx `auth_request` | `X-Original-Method`, `X-Original-URI` |
//! | `/authz/forward-auth` | Traefik, Caddy, `HAProxy` | `X-Forwarded-Method`, `X-Forwarded-Uri` |
//! | `/authz/ext-authz/…` | Envoy's HTTP mode (`path_prefix`) | the request itself |
//!
//! A request that may pass is answered with 200 and the identity headers; a claim that the token
//! lacks has no header. Everything else is the refusal: 401, 403 or 503.
//!
//! The proxy must do two things, since only it can. It must **set** the headers of the table
//! itself, replacing what the client sent; a request without them is refused with 400. And it
//! must **replace or remove** the client's own identity headers:
//!
//! - nginx: `auth_request_set $subject $upstream_http_x_portcullis_subject;` and
//!   `proxy_set_header X-Portcullis-Subject $subject;`, which removes the header when there is no
//!   value. nginx turns every status but 2xx, 401 and 403 into 500; to pass 503 on:
//!   `auth_request_set $authz_status $upstream_status;` with `error_page 500 = @authz;` and
//!   `location @authz { if ($authz_status = 503) { return 503; } return 500; }`.
//! - Traefik: list the headers in `authResponseHeaders`; absent ones are removed.
//! - Caddy: `request_header -X-Portcullis-*` **before** `forward_auth` with `copy_headers`; some
//!   versions of `copy_headers` leave the client's header where ours is absent.
//! - `HAProxy`: `http-request del-header X-Portcullis- -m beg` before the call.
//! - Envoy: list the headers in `allowed_upstream_headers`; what is to be removed is told in
//!   `x-envoy-auth-headers-to-remove`, which Envoy obeys and does not pass on. To it a 503 is an
//!   error of ours, answered with `status_on_error`: set that to 503, and `failure_mode_allow` to
//!   false. The gRPC door has no such trap, and dynamic metadata besides: prefer it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio_util::sync::CancellationToken;

use super::answer::{Answers, PROBLEM, Refusal, digits};
use super::guard::guarded;
use super::{Check, Doors, audit, serve};
use crate::gate::{Decision, Denial};
use crate::net::{self, Listener, Places};
use crate::request::{Found, Headers, Request};
use crate::verify::Claims;

const NAME: &str = "forward_auth";
const NGINX: &str = "/authz/auth-request";
const FORWARD: &str = "/authz/forward-auth";
const ENVOY: &str = "/authz/ext-authz";

const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

type Response = http::Response<Full<Bytes>>;

/// Serves until `shutdown`, then ends the checks under way.
pub async fn serve<C: Check>(
    listener: Listener,
    places: Arc<Places>,
    doors: Arc<Doors<C>>,
    shutdown: CancellationToken,
) {
    let config = doors.serve.clone();
    let drain = doors.serve.drain.0;
    let each = |connection, seat| {
        let doors = Arc::clone(&doors);
        let service = service_fn(move |request| route(Arc::clone(&doors), request));
        let config = config.clone();
        let builder = move |batch| config.http(batch);
        serve::connection(builder, connection, seat, service, shutdown.clone())
    };
    net::serve(listener, places, drain, shutdown.clone(), each).await;
}

async fn route<C: Check>(
    doors: Arc<Doors<C>>,
    request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    // The body is not ours: it is neither read nor waited for.
    let (head, _body) = request.into_parts();
    Ok(answer(&doors, &head).await)
}

async fn answer<C: Check>(doors: &Doors<C>, head: &http::request::Parts) -> Response {
    let refuse = |denial| refused(&doors.answers.load(), &denial);
    let failures = &doors.metrics.forward_auth;
    let limit = doors.serve.check_timeout.0;
    guarded(check(doors, head), limit, failures, refuse).await
}

/// The heart of this door: read, ask, log, write.
async fn check<C: Check>(doors: &Doors<C>, head: &http::request::Parts) -> Response {
    let request = match read(head) {
        Ok(request) => request,
        Err(Unreadable::Path) => return net::problem(StatusCode::NOT_FOUND, ""),
        Err(Unreadable::Original(missing)) => {
            doors.metrics.forward_auth.unreadable.inc();
            tracing::warn!(
                door = NAME,
                missing,
                "the proxy does not name the original request, once and as text; see its \
                 configuration"
            );
            return net::problem(StatusCode::BAD_REQUEST, "");
        }
    };
    let decision = doors.check.check(&request).await;
    audit::decided(NAME, &request, &decision);
    let answers = doors.answers.load();
    match &decision {
        Decision::Permit(permit) => passed(&answers, Some(&permit.verified().claims)),
        Decision::Bypass(_) => passed(&answers, None),
        Decision::Deny(denial) => refused(&answers, denial),
    }
}

enum Unreadable {
    /// None of the paths above.
    Path,
    /// This header is missing, stands twice or is not what it should be.
    Original(&'static str),
}

fn read(head: &http::request::Parts) -> Result<Request<'_>, Unreadable> {
    let mut headers = Headers::new();
    for (name, value) in &head.headers {
        headers.push(name.as_str(), value.as_bytes());
    }
    let (method, target) = match head.uri.path() {
        NGINX => original(&headers, "x-original-method", "x-original-uri")?,
        FORWARD => original(&headers, "x-forwarded-method", "x-forwarded-uri")?,
        _ => (head.method.as_str(), behind_prefix(&head.uri)?),
    };
    Ok(Request {
        method,
        target,
        headers,
    })
}

/// A request whose target is not known must not be taken for one to an exempt path.
fn original<'a>(
    headers: &Headers<'a>,
    method: &'static str,
    target: &'static str,
) -> Result<(&'a str, &'a str), Unreadable> {
    let text = |name: &'static str| match headers.find(name) {
        Found::One(value) => std::str::from_utf8(value).map_err(|_| Unreadable::Original(name)),
        Found::Nothing | Found::Several => Err(Unreadable::Original(name)),
    };
    let (named_method, named_target) = (text(method)?, text(target)?);
    if named_method.is_empty() {
        return Err(Unreadable::Original(method));
    }
    if !named_target.starts_with('/') {
        return Err(Unreadable::Original(target));
    }
    Ok((named_method, named_target))
}

fn behind_prefix(uri: &http::Uri) -> Result<&str, Unreadable> {
    let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
    let rest = whole.strip_prefix(ENVOY).ok_or(Unreadable::Path)?;
    if rest.starts_with('/') {
        return Ok(rest);
    }
    Err(Unreadable::Path)
}

/// A request that may pass: with claims, or exempt.
fn passed(answers: &Answers, claims: Option<&Claims>) -> Response {
    let mut response = Response::default();
    let headers = response.headers_mut();
    let mut remove: Vec<&str> = Vec::new();
    for (name, value) in answers.identity.values(claims) {
        match value.map(HeaderValue::try_from) {
            Some(Ok(value)) => drop(headers.insert(name, value)),
            Some(Err(_)) | None => remove.push(name.as_str()),
        }
    }
    remove.extend(answers.identity.look_alikes().iter().map(String::as_str));
    if answers.drop_authorization && claims.is_some() {
        remove.push(header::AUTHORIZATION.as_str());
    }
    if let Ok(list) = HeaderValue::try_from(remove.join(",")) {
        headers.insert(TO_REMOVE, list);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(answers: &Answers, denial: &Denial) -> Response {
    let refusal = Refusal::of(denial.reason);
    let body = refusal.body(digits(&denial.id.hex()));
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.extend(answers.headers(refusal));
    headers.insert(header::CONTENT_TYPE, PROBLEM);
    response
}

#[cfg(test)]
#[path = "forward_auth_tests.rs"]
mod tests;
