//! The web console below `/console/`: a page that calls the admin API, and the sessions that stand in for
//! its secrets.

mod login;
pub(in crate::admin) mod logins;
pub(in crate::admin) mod oidc;
pub(in crate::admin) mod origin;
mod reply;
pub(in crate::admin) mod session;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Door, admit};
use super::audited::audited;
use super::body;
use super::caller::Caller;
use super::refused::Refused;
use super::shown::answer;
use crate::core::secret::Secret;
use crate::net::uncached;
pub(in crate::admin) use reply::PlainLoopback;
use reply::{is_https, noted, too_many};

/// The files of the page: path, media type, content.
const FILES: [(&str, &str, &[u8]); 6] = [
    (
        "/console/",
        "text/html; charset=utf-8",
        include_bytes!("../../../console/index.html"),
    ),
    (
        "/console/style.css",
        "text/css; charset=utf-8",
        include_bytes!("../../../console/style.css"),
    ),
    (
        "/console/app.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../../console/app.js"),
    ),
    (
        "/console/parts.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../../console/parts.js"),
    ),
    (
        "/console/overview.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../../console/overview.js"),
    ),
    (
        "/console/replicas.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../../console/replicas.js"),
    ),
];

/// The browser takes scripts, styles and data from here alone, runs nothing that a value holds, shows the
/// page in no frame and tells nobody its address.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Returns the routes of the console.
pub(super) fn router(door: &Door) -> Router {
    let in_trail = || from_fn_with_state(door.audit.clone(), audited);
    let own = get(who)
        .delete(logout)
        .route_layer(in_trail())
        .route_layer(from_fn_with_state(door.clone(), admit));
    let session: MethodRouter<Door> = own.merge(post(by_secret).route_layer(in_trail()));
    let router = Router::new()
        .route("/console", get(async || Redirect::permanent("/console/")))
        .route("/console/login", get(login::begin))
        .route("/console/login/options", get(login::options))
        .route(
            "/console/login/done",
            get(login::done).route_layer(in_trail()),
        )
        .route("/console/session", session);
    let router = FILES.iter().fold(router, |router, (path, kind, content)| {
        let file = async || ([(header::CONTENT_TYPE, *kind)], *content);
        router.route(path, get(file))
    });
    router
        .layer(from_fn_with_state(door.clone(), guard))
        .with_state(door.clone())
}

/// Hides a console that is off, and adds the headers that confine the page.
async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    if !door.has_console() {
        let why = "the console is off: admin.console says so, or admin.credentials is empty";
        return Refused::new(StatusCode::NOT_FOUND, why).into_response();
    }
    let mut response = uncached(next.run(request).await);
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// The body of a login.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    secret: Secret,
}

/// `POST /console/session`: exchanges a secret for a session.
async fn by_secret(
    State(door): State<Door>,
    Extension(PlainLoopback(is_plain)): Extension<PlainLoopback>,
    request: Request,
) -> Result<Response, Refused> {
    origin::check(&request)?;
    if let Err(wait) = door.sessions.attempt() {
        return Ok(too_many(wait.as_secs() + 1));
    }
    let is_secure = is_https(&request) || !is_plain;
    let login: Login = body::read(request).await?;
    let secret = Secret::new(login.secret.expose().trim_ascii());
    let credentials = Arc::clone(&door.credentials.load());
    let caller = credentials.by_bearer(secret.expose()).await;
    let caller = caller.map_err(|refused| {
        tracing::warn!("a login at the console failed: its secret is of no credential");
        match refused.status {
            StatusCode::UNAUTHORIZED => {
                let why = "no credential of admin.credentials has this secret";
                Refused::new(StatusCode::UNAUTHORIZED, why)
            }
            _ => refused,
        }
    })?;
    door.sessions.succeeded();
    let id = door.sessions.open(secret);
    tracing::info!(credential = &*caller.name, "logged in at the console");
    let cookie = session::cookie(Some(&id), is_secure);
    let response = with_cookies(&shown(&caller), &[cookie]);
    Ok(noted(response, reply::who(&door.audit, &caller)))
}

/// `GET /console/session`: says whose session it is.
async fn who(Extension(caller): Extension<Caller>) -> Response {
    answer(StatusCode::OK, &shown(&caller))
}

/// `DELETE /console/session`: ends the session.
async fn logout(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    if let Some(id) = session::id(&request) {
        door.sessions.end(id);
        tracing::info!(credential = &*caller.name, "logged out of the console");
    }
    let gone = [true, false].map(|secure| session::cookie(None, secure));
    with_cookies(&json!({}), &gone)
}

fn shown(caller: &Caller) -> Value {
    json!({ "name": *caller.name, "role": caller.role.as_str() })
}

fn with_cookies(body: &Value, cookies: &[String]) -> Response {
    let mut response = answer(StatusCode::OK, body);
    for cookie in cookies {
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}
