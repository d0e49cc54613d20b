//! The listener that identity providers reach. It may face the internet, so connections, heads,
//! bodies and the lives of connections are all bounded. It speaks HTTP/1.1, which is what senders
//! of webhooks speak.

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
use tokio_util::sync::CancellationToken;

use super::answer;
use super::receiver::Receiver;
use crate::net::{self, Listener, Patience, Places};

/// The receiver in use. Store another one to change everything from the next request on.
pub type Current = Arc<ArcSwap<Receiver>>;

/// A sender that keeps one connection open for longer has to open another.
const CONNECTION_LIFE: Duration = Duration::from_mins(10);

/// What an open request may take beyond its own time-outs before its connection is cut: the answer
/// has to be read, and what the sender still sends has to be discarded.
const SLACK: Duration = Duration::from_secs(12);

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
    current.load_full().handle(&name, request).await
}

/// Serves until `shutdown`, then finishes the requests that are under way. A connection is settled
/// once a sender's credentials hold on it.
pub async fn serve(
    listener: Listener,
    places: Arc<Places>,
    current: Current,
    shutdown: CancellationToken,
) {
    let router = router(Arc::clone(&current));
    let last = current.load().longest_request() + SLACK;
    let each = |connection, seat| {
        let patience = Patience {
            head: current.load().limits().header_timeout.0,
            life: CONNECTION_LIFE,
            last,
        };
        net::http1(connection, seat, router.clone(), patience, shutdown.clone())
    };
    net::serve(listener, places, last, shutdown.clone(), each).await;
}
