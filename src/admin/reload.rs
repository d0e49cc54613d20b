//! Reload, for every protocol: reads the configuration file and applies it.

use tokio::sync::oneshot;

use super::api::Api;
use super::caller::Caller;
use super::configuration::Shown;
use super::refused::Refused;

/// Returns when the file is in use, or the reason why it is not.
pub(super) async fn reload(api: &Api, caller: &Caller) -> Result<Shown, Refused> {
    caller.may_write()?;
    let (question, answered) = oneshot::channel();
    // It waits there until Portcullis is ready.
    let _ = api.reload.ask.send(question).await;
    let state = answered.await.map_err(|_| {
        Refused::unavailable("Portcullis is shutting down; the configuration was not read")
    })?;
    match &state.failure {
        None => Ok(state.shown()),
        Some(failure) => Err(Refused::unprocessable(&*failure.why)),
    }
}
