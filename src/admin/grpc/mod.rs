//! The verbs over gRPC (`proto/portcullis/admin/v1`), on the same listener as REST. Both call the same functions.

mod answers;
mod pb;
mod questions;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use serde_json::Value;
use tonic::{Request, Response, Status};
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use super::access::{Door, admit};
use super::api::Api;
use super::audited::{SERVICE, audited, note};
use super::caller::Caller;
use super::query::{Query, limit_of};
use super::refused::Refused;
use super::revocations::Ordered;
use super::watch::Shutdown;
use super::{decisions, explain, preview, promote, reload, replicas, revocations, watch};
use pb::admin_server::{Admin, AdminServer};

/// Returns the routes of the service and of its reflection.
pub(super) fn router(api: Arc<Api>, door: Door) -> Router {
    let audit = api.audit.clone();
    let verbs = AdminServer::new(Service(api)).max_decoding_message_size(wire::LARGEST);
    let verbs = Router::new()
        .route_service(&format!("{SERVICE}{{*verb}}"), verbs)
        .layer(from_fn(wire::whole))
        .layer(from_fn_with_state(audit, audited));
    let router = match reflection() {
        Ok(reflection) => {
            let path = "/grpc.reflection.v1.ServerReflection/{*verb}";
            verbs.route_service(path, reflection)
        }
        Err(error) => {
            tracing::error!(%error, "the admin API has no gRPC reflection");
            verbs
        }
    };
    router
        .layer(from_fn_with_state(door, admit))
        .layer(map_response(wire::as_grpc))
}

fn reflection()
-> Result<ServerReflectionServer<impl ServerReflection>, tonic_reflection::server::Error> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .with_service_name("portcullis.admin.v1.Admin")
        .build_v1()
}

#[derive(Clone)]
struct Service(Arc<Api>);

type Answer<T> = Result<Response<T>, Status>;

/// Returns an extension that a layer put into the request.
fn extension<T: Clone + Send + Sync + 'static, M>(request: &Request<M>) -> Result<T, Refused> {
    let found = request.extensions().get::<T>().cloned();
    // Only a mistake in the layers gets here.
    found.ok_or_else(|| {
        Refused::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request is incomplete",
        )
    })
}

/// Returns an answer with members for the audit trail.
fn noted<T>(message: T, members: Value) -> Response<T> {
    let mut response = Response::new(message);
    note(response.extensions_mut(), members);
    response
}

#[tonic::async_trait]
impl Admin for Service {
    async fn revoke(&self, request: Request<pb::RevokeRequest>) -> Answer<pb::RevokeResponse> {
        let caller: Caller = extension(&request)?;
        let (key, order) = questions::revoke(request.into_inner())?;
        let ordered = revocations::revoke(&self.0, &caller, key.as_deref(), &order).await?;
        let line = match &ordered {
            Ordered::Made(made) => made.line(&self.0.audit),
            Ordered::Waits(order) => order.line(&self.0.audit),
        };
        Ok(noted(ordered.into(), line))
    }

    async fn lift(&self, request: Request<pb::LiftRequest>) -> Answer<pb::Revocations> {
        let caller: Caller = extension(&request)?;
        let lifted = revocations::lift(&self.0, &caller, request.into_inner().id).await?;
        let line = lifted.line();
        Ok(noted(lifted.into(), line))
    }

    async fn promote(&self, request: Request<pb::PromoteRequest>) -> Answer<pb::PromoteResponse> {
        let caller: Caller = extension(&request)?;
        let id = request.into_inner().id;
        let promoted = promote::promote(&self.0, &caller, &id).await?;
        let line = promoted.line(&self.0.audit, &id);
        Ok(noted(promoted.into(), line))
    }

    async fn approvals(&self, _: Request<pb::ApprovalsRequest>) -> Answer<pb::ApprovalsResponse> {
        let listed = self.0.approvals.list(&self.0.audit);
        Ok(Response::new(listed.into()))
    }

    async fn approve(&self, request: Request<pb::ApproveRequest>) -> Answer<pb::Revocation> {
        let caller: Caller = extension(&request)?;
        let (order, made) =
            revocations::approve(&self.0, &caller, &request.into_inner().id).await?;
        let line = order.approved_line(&self.0.audit, made.line(&self.0.audit));
        Ok(noted(made.record.into(), line))
    }

    async fn withdraw(&self, request: Request<pb::WithdrawRequest>) -> Answer<pb::Approval> {
        let caller: Caller = extension(&request)?;
        let order = revocations::withdraw(&self.0, &caller, &request.into_inner().id)?;
        let line = order.withdrawn_line(&self.0.audit);
        Ok(noted(order.shown(&self.0.audit).into(), line))
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Answer<pb::Revocations> {
        let pb::ListRequest { filter, limit } = request.into_inner();
        let filter = filter.unwrap_or_default().into();
        let limit = limit_of(questions::limit(limit))?;
        let listed = revocations::list(&self.0, Query { limit, filter }).await?;
        Ok(Response::new(listed.into()))
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Answer<pb::Revocations> {
        let listed = revocations::find(&self.0, request.into_inner().id).await?;
        Ok(Response::new(listed.into()))
    }

    type WatchStream = BoxStream<'static, Result<pb::WatchEvent, Status>>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Answer<Self::WatchStream> {
        let shutdown: Shutdown = extension(&request)?;
        let pb::WatchRequest { filter, after } = request.into_inner();
        let filter = filter.unwrap_or_default().into();
        let events = watch::watch(&self.0, filter, after.as_deref(), shutdown)?;
        Ok(Response::new(messages(events)))
    }

    async fn explain(&self, request: Request<pb::ExplainRequest>) -> Answer<pb::Explanation> {
        let question = request.into_inner().into();
        let explained = explain::explain(&self.0, &question).await?;
        let line = explained.line();
        Ok(noted(explained.into(), line))
    }

    async fn preview(&self, request: Request<pb::PreviewRequest>) -> Answer<pb::Reach> {
        let order = questions::order(request.into_inner().order)?;
        let (target, reach) = preview::preview(&self.0, &order).await?;
        Ok(noted(reach.into(), reach.line(&self.0.audit, &target)))
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Answer<pb::ReplicaStatus> {
        Ok(Response::new(self.0.status().into()))
    }

    async fn replicas(&self, _: Request<pb::ReplicasRequest>) -> Answer<pb::ReplicasResponse> {
        let listed = replicas::replicas(&self.0).await;
        Ok(Response::new(listed.into()))
    }

    async fn decisions(
        &self,
        request: Request<pb::DecisionsRequest>,
    ) -> Answer<pb::DecisionsResponse> {
        let filter = request.into_inner().try_into()?;
        let listed = decisions::list(&self.0, &filter)?;
        Ok(Response::new(listed.into()))
    }

    async fn get_decision(&self, request: Request<pb::GetDecisionRequest>) -> Answer<pb::Decision> {
        let found = decisions::find(&self.0, &request.into_inner().id).await?;
        Ok(Response::new(found.into()))
    }

    async fn reload(&self, request: Request<pb::ReloadRequest>) -> Answer<pb::Configuration> {
        let caller: Caller = extension(&request)?;
        let state = reload::reload(&self.0, &caller).await?;
        Ok(Response::new(state.into()))
    }
}

fn messages(
    events: impl Stream<Item = watch::Event> + Send + 'static,
) -> BoxStream<'static, Result<pb::WatchEvent, Status>> {
    events.map(|event| Ok(event.into())).boxed()
}
