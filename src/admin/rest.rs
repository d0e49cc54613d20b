//! The verbs over HTTP: reads requests, and writes answers as JSON.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::api::Api;
use super::approvals::Order;
use super::audited::note;
use super::caller::Caller;
use super::promote::{self, Promoted};
use super::query::{Filter, Query};
use super::refused::Refused;
use super::revocations::{Made, Ordered};
use super::shown::answer;
use super::watch::Shutdown;
use super::{
    body, configuration, decisions, explain, preview, reload, replicas, revocations, trail, watch,
};
use crate::net::uncached;

type Answer = Result<Response, Refused>;

/// Returns an answer with members for the audit trail.
fn noted(mut response: Response, members: Value) -> Response {
    note(response.extensions_mut(), members);
    response
}

/// `POST /v1/revocations`.
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let headers = request.headers().clone();
    let order = body::read(request).await?;
    match revocations::revoke(&api, &caller, idempotency_key(&headers), &order).await? {
        Ordered::Made(made) => {
            let line = made.line(&api.audit);
            Ok(noted(made_answer(&made), line))
        }
        Ordered::Waits(order) => Ok(noted(waits(&api, &order), order.line(&api.audit))),
    }
}

fn waits(api: &Api, order: &Order) -> Response {
    let response = answer(StatusCode::ACCEPTED, &order.shown(&api.audit));
    located(response, "approvals", &order.id)
}

fn made_answer(made: &Made) -> Response {
    let status = if made.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    located(answer(status, &made.record), "revocations", &made.record.id)
}

/// Adds the header that says where something is.
fn located(mut response: Response, kind: &str, id: &str) -> Response {
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/{kind}/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// `GET /v1/approvals`.
pub(super) async fn approvals(State(api): State<Arc<Api>>) -> Response {
    answer(StatusCode::OK, &api.approvals.list(&api.audit))
}

/// `GET /v1/approvals/{id}`.
pub(super) async fn approval(State(api): State<Arc<Api>>, id: Id) -> Answer {
    let order = api.approvals.find(&id_of(id)?)?;
    Ok(answer(StatusCode::OK, &order.shown(&api.audit)))
}

/// `POST /v1/approvals/{id}`.
pub(super) async fn approve(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    id: Id,
) -> Answer {
    let (order, made) = revocations::approve(&api, &caller, &id_of(id)?).await?;
    let line = order.approved_line(&api.audit, made.line(&api.audit));
    Ok(noted(made_answer(&made), line))
}

/// `DELETE /v1/approvals/{id}`.
pub(super) async fn withdraw(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    id: Id,
) -> Answer {
    let order = revocations::withdraw(&api, &caller, &id_of(id)?)?;
    let line = order.withdrawn_line(&api.audit);
    Ok(noted(
        answer(StatusCode::OK, &order.shown(&api.audit)),
        line,
    ))
}

/// Returns the header of a key; an empty key, which is refused, if it stands twice or is no text.
fn idempotency_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("idempotency-key").iter();
    match (values.next()?, values.next()) {
        (value, None) => Some(value.to_str().unwrap_or_default()),
        (_, Some(_)) => Some(""),
    }
}

/// `GET /v1/revocations`.
pub(super) async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let listed = revocations::list(&api, query).await?;
    Ok(answer(StatusCode::OK, &listed))
}

/// The id of a path.
type Id = Result<Path<String>, PathRejection>;

fn id_of(path: Id) -> Result<String, Refused> {
    let why = |_| Refused::bad_request("the id in the path is not UTF-8");
    path.map(|Path(id)| id).map_err(why)
}

/// `GET /v1/revocations/{id}`.
pub(super) async fn find(State(api): State<Arc<Api>>, id: Id) -> Answer {
    let listed = revocations::find(&api, id_of(id)?).await?;
    Ok(answer(StatusCode::OK, &listed))
}

/// `DELETE /v1/revocations/{id}`.
pub(super) async fn lift(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    id: Id,
) -> Answer {
    let listed = revocations::lift(&api, &caller, id_of(id)?).await?;
    Ok(noted(answer(StatusCode::OK, &listed), listed.line()))
}

/// `POST /v1/revocations/{id}/promote`.
pub(super) async fn promote(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    id: Id,
) -> Answer {
    let id = id_of(id)?;
    let promoted = promote::promote(&api, &caller, &id).await?;
    let line = promoted.line(&api.audit, &id);
    Ok(match promoted {
        Promoted::Enforced(made) => noted(answer(StatusCode::OK, &made), line),
        Promoted::Waits(order) => noted(waits(&api, &order), line),
    })
}

/// `GET /v1/watch`: a line of JSON for each event.
pub(super) async fn watch(
    State(api): State<Arc<Api>>,
    Extension(shutdown): Extension<Shutdown>,
    RawQuery(query): RawQuery,
) -> Answer {
    let (filter, after) = Filter::parse(query.as_deref().unwrap_or_default(), "after")?;
    let events = watch::watch(&api, filter, after.as_deref(), shutdown)?;
    let lines = events.map(|event| serde_json::to_string(&event).map(|line| line + "\n"));
    let kind = [(header::CONTENT_TYPE, "application/jsonl")];
    Ok(uncached((kind, Body::from_stream(lines)).into_response()))
}

/// `POST /v1/preview`.
pub(super) async fn preview(State(api): State<Arc<Api>>, request: Request) -> Answer {
    let order = body::read(request).await?;
    let (target, reach) = preview::preview(&api, &order).await?;
    let line = reach.line(&api.audit, &target);
    Ok(noted(answer(StatusCode::OK, &reach), line))
}

/// `GET /v1/decisions`.
pub(super) async fn decisions(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Answer {
    let filter = decisions::Filter::parse(query.as_deref().unwrap_or_default())?;
    let listed = decisions::list(&api, &filter)?;
    Ok(answer(StatusCode::OK, &listed))
}

/// `GET /v1/decisions/{id}`.
pub(super) async fn decision(State(api): State<Arc<Api>>, id: Id) -> Answer {
    let found = decisions::find(&api, &id_of(id)?).await?;
    Ok(answer(StatusCode::OK, &found))
}

/// `GET /v1/audit`.
pub(super) async fn audit(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Answer {
    let listed = trail::list(&api, query.as_deref().unwrap_or_default()).await?;
    Ok(answer(StatusCode::OK, &listed))
}

/// `GET /v1/status`.
pub(super) async fn status(State(api): State<Arc<Api>>) -> Response {
    answer(StatusCode::OK, &api.status())
}

/// `GET /v1/replicas`.
pub(super) async fn replicas(State(api): State<Arc<Api>>) -> Response {
    answer(StatusCode::OK, &replicas::replicas(&api).await)
}

/// `GET /v1/configuration`.
pub(super) async fn configuration(State(api): State<Arc<Api>>) -> Answer {
    let outline = Arc::clone(&api.outline.load());
    Ok(answer(
        StatusCode::OK,
        &configuration::settings(outline).await?,
    ))
}

/// `POST /v1/reload`.
pub(super) async fn reload(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let state = reload::reload(&api, &caller).await?;
    Ok(answer(StatusCode::OK, &state))
}

/// `POST /v1/explain`.
pub(super) async fn explain(State(api): State<Arc<Api>>, request: Request) -> Answer {
    let question = body::read(request).await?;
    let explained = explain::explain(&api, &question).await?;
    Ok(noted(answer(StatusCode::OK, &explained), explained.line()))
}

/// `GET /openapi.json` and `GET /v1/openapi.json`.
pub(super) async fn openapi() -> Response {
    answer(StatusCode::OK, &super::openapi())
}
