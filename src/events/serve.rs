//! The listener that identity providers reach. It may face the internet, so connections, heads,
//! bodies and the lives of connections are all bounded. It speaks HTTP/1.1, which is what senders
//! of webhooks speak.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use http::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answer;
use super::receiver::Receiver;
use crate::listen::{Connection, Listener};

/// The receiver in use. Store another one to change everything from the next request on.
pub type Current = Arc<ArcSwap<Receiver>>;

/// A sender that keeps one connection open for longer has to open another.
const CONNECTION_LIFE: Duration = Duration::from_mins(10);

/// What an open request may take beyond its own time-outs before its connection is cut.
const SLACK: Duration = Duration::from_secs(5);

/// `POST /events/<name>`.
pub fn router(current: Current) -> Router {
    Router::new()
        .route("/events/{name}", post(receive))
        .method_not_allowed_fallback(async || answer::wrong_method())
        .fallback(async || answer::not_found())
        .with_state(current)
}

async fn receive(
    State(current): State<Current>,
    name: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    let Ok(Path(name)) = name else {
        return answer::not_found();
    };
    let receiver = current.load_full();
    receiver.handle(&name, request).await
}

/// Serves until `shutdown`, then finishes the requests that are under way.
pub async fn serve(listener: Listener, current: Current, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(current.load().limits().max_connections));
    let router = router(Arc::clone(&current));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            (connection, place) = accept(&listener, &places) => {
                let task = converse(connection, router.clone(), &current, shutdown.clone());
                connections.spawn(async move {
                    task.await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &Listener,
    places: &Arc<Semaphore>,
) -> (Connection, tokio::sync::OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.expect("nobody closes this semaphore");
    loop {
        match listener.accept().await {
            Ok(connection) => return (connection, place),
            Err(error) => {
                // The machine is short of something, which passes.
                tracing::warn!(%error, "the event listener cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One connection, from its first byte to its end.
fn converse(
    connection: Connection,
    router: Router,
    current: &Current,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let limits = current.load().limits().clone();
    let last_request = limits.body_timeout.0 + limits.record_timeout.0 + SLACK;
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout.0)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(router));
    async move {
        let mut conversation = pin!(conversation);
        let ended = tokio::select! {
            ended = conversation.as_mut() => Some(ended),
            () = shutdown.cancelled() => None,
            () = tokio::time::sleep(CONNECTION_LIFE) => None,
        };
        if ended.is_none() {
            conversation.as_mut().graceful_shutdown();
            // A peer that does not read its answer in this time is cut off.
            let _ = tokio::time::timeout(last_request, conversation).await;
        }
    }
}

/// A broken connection is the peer's affair; a panic is ours.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection of the event listener ended in a panic");
    }
}
