//! `POST /v1/reload`: reads the configuration file and applies it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use tokio::sync::oneshot;

use super::access::Caller;
use super::api::Api;
use super::refused::Refused;
use super::shown::answer;

/// Answers when the file is in use, or with the reason why it is not.
pub(super) async fn reload(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Refused> {
    caller.may_write()?;
    let (question, answered) = oneshot::channel();
    // It waits there until Portcullis is ready.
    let _ = api.reload.ask.send(question).await;
    let state = answered.await.map_err(|_| {
        Refused::unavailable("Portcullis is shutting down; the configuration was not read")
    })?;
    match &state.failure {
        None => Ok(answer(StatusCode::OK, &state.shown())),
        Some(failure) => Err(Refused::unprocessable(&*failure.why)),
    }
}
