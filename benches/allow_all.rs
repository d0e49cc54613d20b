//! The bar: a tonic server with envoy-types that answers OK without looking at the request.
//!
//! `allow_all 127.0.0.1:PORT` or `allow_all unix:/path`. One worker thread, like the servers it
//! is compared with.

use envoy_types::ext_authz::v3::CheckResponseExt;
use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse,
};
use portcullis::listen;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct AllowAll;

#[tonic::async_trait]
impl Authorization for AllowAll {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(CheckResponse::with_status(Status::ok(""))))
    }
}

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: listen::Address = std::env::args()
        .nth(1)
        .ok_or("an address is missing")?
        .parse()?;
    let server = Server::builder().add_service(AuthorizationServer::new(AllowAll));
    match listen::bind(&address).await? {
        listen::Listener::Tcp(listener) => {
            let connections = TcpListenerStream::new(listener).map(|accepted| {
                let stream = accepted?;
                stream.set_nodelay(true).map(|()| stream)
            });
            server.serve_with_incoming(connections).await?;
        }
        listen::Listener::Unix(listener) => {
            server
                .serve_with_incoming(UnixListenerStream::new(listener))
                .await?;
        }
    }
    Ok(())
}
