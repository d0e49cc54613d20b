//! Between the layers that REST has too and gRPC: bodies, and refusals as status codes.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use crate::admin::body;
use crate::admin::refused::{Refused, Why};

/// The largest message.
pub(super) const LARGEST: usize = body::LARGEST;

/// Reads the whole message first, within the limits of REST: a call has one, but for those of reflection.
pub(super) async fn whole(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match body::collect(body).await {
        Ok(body) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(refused) => Status::from(refused).into_http(),
    }
}

/// Turns a refusal of a layer into one of gRPC.
pub(super) async fn as_grpc(mut response: Response) -> Response {
    match response.extensions_mut().remove::<Why>() {
        Some(Why(why)) => Status::from(Refused::new(response.status(), why)).into_http(),
        None => response,
    }
}
