//! The bar for events: a server that answers each one without looking at it.

use std::error::Error;
use std::net::SocketAddr;

use axum::body::Body;
use axum::response::Response;
use clap::Parser;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Listens until it is killed.
#[derive(Parser)]
pub(crate) struct Args {
    address: SocketAddr,
}

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Runtime::new()?.block_on(serve(args.address))
}

async fn serve(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)),
        );
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response, hyper::Error> {
    request.into_body().collect().await?;
    Ok(Response::new(Body::empty()))
}
