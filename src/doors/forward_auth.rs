//! The door for every other proxy: HTTP forward-auth.
//!
//! | path | for | the original request is in |
//! | --- | --- | --- |
//! | `/authz/auth-request` | nginx `auth_request` | `X-Original-Method`, `X-Original-URI`, `Host` |
//! | | ingress-nginx | `X-Original-Method`, `X-Original-URL` |
//! | `/authz/forward-auth` | Traefik, Caddy, `HAProxy` | `X-Forwarded-` `Method`, `Uri` and `Host` |
//! | `/authz/ext-authz/…` | Envoy's HTTP mode (`path_prefix`) | the request itself |
//!
//! A request that may pass is answered with 200 and the identity headers; a claim that the token
//! lacks has no header. Everything else is the refusal, with the status that `answer` says; at
//! nginx' path it has no body.
//!
//! The proxy must do two things, since only it can. It must **set** the headers of the table
//! itself, replacing what the client sent; a request without them is refused with 400. And it
//! must **replace or remove** the client's own identity headers. A question that carries one, or
//! one that some upstream reads alike, is refused with 400 unless `answer.refuse_spoofed` is off.
//!
//! `portcullis proxy-config` prints a configuration that does both; docs/proxies has a page for each
//! proxy. What Envoy has to remove in its HTTP mode stands in `x-envoy-auth-headers-to-remove`, which
//! it obeys and does not pass on.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio_util::sync::CancellationToken;

use super::answer::Answers;
use super::asserted::Asserted;
use super::exchange::Exchange;
use super::refusal::Refusal;
use super::{Check, Doors, serve};
use crate::core::reason::Reason;
use crate::core::request::{Found, Headers, NamedPolicy, Request, authority_of, target_of};
use crate::core::token::Stripped;
use crate::gate::{Decision, Denial};
use crate::net::{Listener, PROBLEM, Places};

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
    let service = service_fn(move |request: http::Request<Incoming>| {
        let doors = Arc::clone(&doors);
        // The body is not ours: it is neither read nor waited for.
        let (head, _body) = request.into_parts();
        async move { Ok::<_, Infallible>(answer(&doors, &head).await) }
    });
    serve::serve(
        listener,
        places,
        config,
        serve::Config::http,
        service,
        shutdown,
    )
    .await;
}

/// Answers the question of a proxy, whose body is not read.
pub(crate) async fn answer<C: Check>(doors: &Doors<C>, head: &http::request::Parts) -> Response {
    let exchange = doors.begin(&doors.metrics.forward_auth);
    let path = head.uri.path();
    let work = pin!(check(&exchange, head));
    match exchange.guarded(work).await {
        Ok(Outcome::Passed(response)) => response,
        Ok(Outcome::Refused(denial)) | Err(denial) => refused(exchange.answers(), &denial, path),
        Ok(Outcome::NotServed) => exchange.answers().documents.answer(head),
    }
}

enum Outcome {
    Passed(Response),
    Refused(Denial),
    /// The path is none of those above; perhaps a document is there.
    NotServed,
}

/// Reads, decides and writes the answer of a request that passes.
async fn check<C: Check>(exchange: &Exchange<'_, C>, head: &http::request::Parts) -> Outcome {
    let answers = exchange.answers();
    let request = match read(head) {
        Ok(request) => request,
        Err(Unreadable::Path) => return Outcome::NotServed,
        Err(Unreadable::Original(header)) => {
            exchange.metrics.unreadable.inc();
            let denial = exchange.refuse(&Request::unread(), Reason::UnreadableRequest);
            tracing::warn!(
                door = exchange.metrics.door,
                decision_id = %denial.id,
                header,
                "cannot tell the original request: the header is missing, repeated, not valid \
                 UTF-8, or contradicts another one; check the proxy's configuration"
            );
            return Outcome::Refused(denial);
        }
    };
    // Proxies of this door send the client's headers along, so it sees what the client claims to be.
    if answers.refuse_spoofed && answers.identity.claimed(&request.headers).next().is_some() {
        return Outcome::Refused(exchange.refuse(&request, Reason::SpoofedIdentity));
    }
    match exchange.decide(&request).await {
        (Decision::Deny(denial), _) => Outcome::Refused(denial),
        (decision, asserted) => {
            let asserted = asserted.as_ref();
            Outcome::Passed(passed(answers, &request, &decision, asserted))
        }
    }
}

/// Why there is no original request.
#[derive(Debug)]
pub enum Unreadable {
    /// None of the paths above.
    Path,
    /// This header is missing, stands twice, is not what it should be, or contradicts another.
    Original(&'static str),
}

/// Returns the original request, which the head of the proxy's question tells.
///
/// # Errors
/// See [`Unreadable`].
pub fn read(head: &http::request::Parts) -> Result<Request<'_>, Unreadable> {
    let mut headers = Headers::new();
    for (name, value) in &head.headers {
        headers.push(name.as_str(), value.as_bytes());
    }
    let (method, target, host) = match head.uri.path() {
        NGINX => (
            original(&headers, "x-original-method")?,
            nginx_target(&headers)?,
            nginx_host(head, &headers)?,
        ),
        FORWARD => (
            original(&headers, "x-forwarded-method")?,
            path(original(&headers, "x-forwarded-uri")?, "x-forwarded-uri")?,
            host(&headers, "x-forwarded-host")?,
        ),
        _ => (
            head.method.as_str(),
            behind_prefix(&head.uri)?,
            asked_host(head, &headers)?,
        ),
    };
    Ok(Request {
        method,
        target,
        headers,
        host,
        policy: NamedPolicy::InHeader,
    })
}

/// A request whose target is not known must not be taken for one to an exempt path.
fn original<'a>(headers: &Headers<'a>, name: &'static str) -> Result<&'a str, Unreadable> {
    let text = headers.text(name).filter(|text| !text.is_empty());
    text.ok_or(Unreadable::Original(name))
}

fn path<'a>(target: &'a str, name: &'static str) -> Result<&'a str, Unreadable> {
    let is_path = target.starts_with('/');
    is_path.then_some(target).ok_or(Unreadable::Original(name))
}

/// nginx is told to send `X-Original-URI`. ingress-nginx sends a whole URL, `X-Original-URL`, and
/// passes on what the client sent under the other names, so those must not say anything else.
fn nginx_target<'a>(headers: &Headers<'a>) -> Result<&'a str, Unreadable> {
    const URI: &str = "x-original-uri";
    const URL: &str = "x-original-url";
    const FORWARDED: &str = "x-forwarded-uri";
    if headers.find(URL) == Found::Nothing {
        return path(original(headers, URI)?, URI);
    }
    let url = original(headers, URL)?;
    let named = target_of(url);
    for (other, name) in [URI, FORWARDED].map(|name| (headers.find(name), name)) {
        let expected = named.unwrap_or(url).as_bytes();
        if other != Found::Nothing && other != Found::One(expected) {
            return Err(Unreadable::Original(name));
        }
    }
    // Alone, it has to be what ingress-nginx makes of it.
    let alone = headers.find(URI) == Found::Nothing;
    let target = named.or((!alone).then_some(url));
    path(target.ok_or(Unreadable::Original(URL))?, URL)
}

/// Returns the host that a header names; nothing when it is absent, which no policy takes for any host.
fn host<'a>(headers: &Headers<'a>, name: &'static str) -> Result<&'a str, Unreadable> {
    match headers.find(name) {
        Found::Nothing => Ok(""),
        _ => headers.text(name).ok_or(Unreadable::Original(name)),
    }
}

/// nginx is told to send the client's host as that of the question. ingress-nginx sends a host of its
/// own, and the client's in the URL.
fn nginx_host<'a>(
    head: &'a http::request::Parts,
    headers: &Headers<'a>,
) -> Result<&'a str, Unreadable> {
    let url = headers.text("x-original-url");
    let named = url.and_then(authority_of);
    named.map_or_else(|| asked_host(head, headers), Ok)
}

/// Returns the host of the question itself.
fn asked_host<'a>(
    head: &'a http::request::Parts,
    headers: &Headers<'a>,
) -> Result<&'a str, Unreadable> {
    let named = head.uri.authority().map(http::uri::Authority::as_str);
    named.map_or_else(|| host(headers, "host"), Ok)
}

fn behind_prefix(uri: &http::Uri) -> Result<&str, Unreadable> {
    let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
    let rest = whole.strip_prefix(ENVOY).ok_or(Unreadable::Path)?;
    if rest.starts_with('/') {
        return Ok(rest);
    }
    Err(Unreadable::Path)
}

/// Returns the answer to a decision, as every proxy but nginx gets it.
pub(crate) fn response(answers: &Answers, request: &Request<'_>, decision: &Decision) -> Response {
    match decision {
        Decision::Deny(denial) => refused(answers, denial, FORWARD),
        decision => passed(answers, request, decision, None),
    }
}

/// Answers a request that passes: with claims, or on an exempt route.
fn passed(
    answers: &Answers,
    request: &Request<'_>,
    decision: &Decision,
    asserted: Option<&Asserted>,
) -> Response {
    if let (Decision::Permit(permit), Some(asserted)) = (decision, asserted) {
        answers.keep(permit, asserted);
    }
    let mut response = Response::default();
    let headers = response.headers_mut();
    let changes = answers.changes(decision, request);
    let mut remove = changes.remove.to_vec();
    let claimed = answers.values(decision, asserted.is_some(), request);
    let claimed = claimed.into_iter();
    let claimed = claimed.map(|(name, value)| (name, value.map(HeaderValue::try_from)));
    let claimed = claimed.map(|(name, value)| (name, value.and_then(Result::ok)));
    let asserted = asserted.map(|asserted| (&asserted.name, asserted.value()));
    let fixed = answers.told(decision.route()).headers.iter();
    let fixed = fixed.map(|(name, value)| (name, value.clone()));
    for (name, value) in claimed.chain(asserted).chain(fixed) {
        match value {
            Some(value) => drop(headers.insert(name, value)),
            None => remove.push(name.as_str()),
        }
    }
    if let Ok(list) = HeaderValue::try_from(remove.join(",")) {
        headers.insert(TO_REMOVE, list);
    }
    if answers.sources.strips(answers.drop_token) {
        keep_the_rest(answers, request, &changes, headers);
    }
    for (name, rest) in &changes.replace {
        if let Ok(rest) = HeaderValue::from_bytes(rest) {
            headers.insert(*name, rest);
        }
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Most proxies cannot be told to remove a header. They replace each one that may hold a token by
/// the answer's, so the answer holds those that stay, as the client sent them.
fn keep_the_rest(
    answers: &Answers,
    request: &Request<'_>,
    changes: &Stripped<'_>,
    headers: &mut HeaderMap,
) {
    for name in answers.sources.headers() {
        if changes.remove.contains(&name) || headers.contains_key(name) {
            continue;
        }
        let separator = if name == "cookie" { "; " } else { ", " };
        let values: Vec<&[u8]> = request.headers.all(name).collect();
        let value = HeaderValue::from_bytes(&values.join(separator.as_bytes()));
        if let (false, Ok(name), Ok(value)) = (values.is_empty(), HeaderName::try_from(name), value)
        {
            headers.insert(name, value);
        }
    }
}

/// `path` is that of the question. nginx throws a refusal's body away, and with it the connection,
/// so it gets none: a flood of bad tokens would be as many new connections.
fn refused(answers: &Answers, denial: &Denial, path: &str) -> Response {
    let refusal = Refusal::of(denial.reason);
    let challenge = answers.challenge(denial.route);
    let mut response = Response::default();
    *response.status_mut() = refusal.status;
    response
        .headers_mut()
        .extend(challenge.headers(refusal, denial.wanted.as_deref()));
    if path != NGINX {
        let body = refusal.body(&denial.id.to_string());
        *response.body_mut() = Full::from(body);
        response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM);
    }
    response
}

#[cfg(test)]
mod tests;
