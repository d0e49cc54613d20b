//! The listener that identity providers reach. It may face the internet, so connections, heads,
//! bodies and the lives of connections are all bounded. It speaks HTTP/1.1, as senders of webhooks do.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::access::DynAccess;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::Request;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::receiver::Receiver;
use crate::net::{self, Listener, Patience, Places};

/// The receiver in use, loaded once for each request.
pub type Current = Arc<dyn DynAccess<Arc<Receiver>> + Send + Sync>;

/// A sender that keeps one connection open for longer has to open another.
const CONNECTION_LIFE: Duration = Duration::from_mins(10);

/// What an open request may take beyond its own time-outs before its connection is cut: the answer
/// has to be read, and what the sender still sends has to be discarded.
const SLACK: Duration = Duration::from_secs(12);

/// Answers `POST /events/<name>`, and by `oauth` what is below `/oauth2/` and `/.well-known/`.
pub(super) fn service(
    current: Current,
    oauth: Router,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send
{
    tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().path();
        if path.starts_with("/oauth2/") || path.starts_with("/.well-known/") {
            Either::Left(oauth.clone().oneshot(request))
        } else {
            let receiver = Arc::clone(&current.load());
            Either::Right(receiver.receive(request).map(Ok))
        }
    })
}

/// Serves until `shutdown`, then finishes the requests that are under way. A connection is settled
/// once a sender's credentials hold on it.
pub async fn serve(
    listener: Listener,
    places: Arc<Places>,
    current: Current,
    oauth: Router,
    shutdown: CancellationToken,
) {
    let last = current.load().longest_request() + SLACK;
    let each = |connection, seat| {
        let patience = Patience {
            head: current.load().limits().header_timeout.0,
            life: CONNECTION_LIFE,
            last,
        };
        let service = service(Arc::clone(&current), oauth.clone());
        net::http1(connection, seat, service, patience, shutdown.clone())
    };
    net::serve(listener, places, last, shutdown.clone(), each).await;
}
