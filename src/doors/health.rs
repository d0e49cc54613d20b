//! `grpc.health.v1` for Envoy's health checks, straight from [`Readiness`]: there is no moment in
//! which a default says SERVING.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::core::readiness::{Readiness, State};

/// Answers for the whole process (`""`) and for the one service it has.
#[derive(Debug)]
pub(super) struct Reporter {
    readiness: Readiness,
    shutdown: CancellationToken,
}

/// A watch ends at `shutdown`, or it would hold its connection open until the time limit.
pub(super) fn server(readiness: Readiness, shutdown: CancellationToken) -> HealthServer<Reporter> {
    HealthServer::new(Reporter {
        readiness,
        shutdown,
    })
}

const SERVICES: [&str; 2] = ["", "envoy.service.auth.v3.Authorization"];

fn known(request: &Request<HealthCheckRequest>) -> Result<(), Status> {
    if SERVICES.contains(&request.get_ref().service.as_str()) {
        return Ok(());
    }
    Err(Status::not_found("no such service here"))
}

fn report(state: &State) -> HealthCheckResponse {
    let status = if state.is_ready() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Health for Reporter {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        known(&request)?;
        Ok(Response::new(report(&self.readiness.state())))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        known(&request)?;
        let states = WatchStream::new(self.readiness.watch());
        let reports = states.map(|state| Ok(report(&state)));
        let until = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(reports.take_until(until).boxed()))
    }
}
