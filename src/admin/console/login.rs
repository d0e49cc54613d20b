//! `GET /console/login`: login at an issuer, for a browser.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::oidc::Login;
use super::reply::{noted, too_many, who};
use super::{origin, session};
use crate::admin::access::Door;
use crate::admin::caller::Caller;
use crate::admin::refused::Refused;
use crate::admin::shown::answer;

/// The cookie that ties a login to the browser that began it.
const NAME: &str = "portcullis-login";

/// `GET /console/login/options`: says where the page can offer to log in.
pub(super) async fn options(State(door): State<Door>) -> Response {
    let credentials = Arc::clone(&door.credentials.load());
    let issuer = credentials.login.as_ref().map(Login::issuer);
    answer(StatusCode::OK, &json!({ "issuer": issuer }))
}

/// `GET /console/login`: sends the browser to the issuer.
pub(super) async fn begin(State(door): State<Door>, request: Request) -> Result<Response, Refused> {
    let credentials = Arc::clone(&door.credentials.load());
    let Some(login) = &credentials.login else {
        let why = "nobody logs in at an issuer here: admin.login is not configured";
        return Err(Refused::new(StatusCode::NOT_FOUND, why));
    };
    // Other pages must not use up the attempts.
    origin::check_browser(&request)?;
    if let Err(wait) = door.sessions.attempt() {
        return Ok(too_many(wait.as_secs() + 1));
    }
    let (begun, url) = login.begin().await?;
    let browser = door.logins.add(begun);
    let mut response = Redirect::to(url.as_str()).into_response();
    let secure = if login.is_https() { "; Secure" } else { "" };
    // The issuer sends the browser back, from another site.
    let cookie = format!(
        "{NAME}={browser}; Path=/console/login; HttpOnly; SameSite=Lax; Max-Age=600{secure}"
    );
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `GET /console/login/done`: where the issuer sends the browser. Opens a session, and leads to the page in
/// any case.
pub(super) async fn done(
    State(door): State<Door>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let browser = session::only_cookie(&request, &[NAME]).map(str::to_owned);
    drop(request);
    let finished = finish(&door, query.as_deref().unwrap_or_default(), browser).await;
    match finished {
        Ok((caller, cookie)) => {
            door.sessions.succeeded();
            tracing::info!(credential = &*caller.name, "logged in at the console");
            let mut response = Redirect::to("/console/").into_response();
            if let Ok(cookie) = HeaderValue::try_from(cookie) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            noted(response, who(&door.audit, &caller))
        }
        Err(Refused { status, detail }) => {
            tracing::warn!(why = detail, "a login at the console by an issuer failed");
            let page = format!("/console/#/login/{}", status.as_u16());
            let line = json!({ "status": status.as_u16(), "refused": detail });
            noted(Redirect::to(&page).into_response(), line)
        }
    }
}

/// Ends a login. Returns who logged in, and the cookie of the session.
async fn finish(
    door: &Door,
    query: &str,
    browser: Option<String>,
) -> Result<(Caller, String), Refused> {
    let credentials = Arc::clone(&door.credentials.load());
    let bad = || Refused::bad_request("this is the end of no login that this browser began here");
    let login = credentials.login.as_ref().ok_or_else(bad)?;
    let parameter = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        let (_, value) = pairs.find(|(own, _)| own == name)?;
        Some(value.into_owned())
    };
    let (browser, state) = browser.zip(parameter("state")).ok_or_else(bad)?;
    let begun = door.logins.take(&browser, &state).ok_or_else(bad)?;
    // RFC 9207: an answer of another issuer.
    if parameter("iss").is_some_and(|issuer| issuer != login.issuer()) {
        return Err(bad());
    }
    let code = parameter("code").ok_or_else(|| {
        let why = "the issuer did not log the operator in";
        Refused::new(StatusCode::UNAUTHORIZED, why)
    })?;
    let (token, subject) = login.finish(begun, &code, credentials.keys()).await?;
    let caller = credentials.by_bearer(token.expose()).await?;
    let own = caller.subject.as_ref();
    let is_own = own.is_some_and(|own| *own.issuer == *login.issuer() && *own.name == *subject);
    if !is_own {
        let why = "the access token is of another subject than the ID token";
        return Err(Refused::new(StatusCode::UNAUTHORIZED, why));
    }
    let id = door.sessions.open(token);
    let cookie = session::cookie(Some(&id), login.is_https());
    Ok((caller, cookie))
}
