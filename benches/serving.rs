//! How the servers that Portcullis is compared with listen: tonic on a TCP port or a unix socket.

use envoy_types::ext_authz::v3::pb::{Authorization, AuthorizationServer};
use portcullis::net::Address;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;

/// Serves until the process ends. `address` is `127.0.0.1:PORT` or `unix:/path`.
pub(crate) async fn serve(
    address: &str,
    service: impl Authorization,
) -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().add_service(AuthorizationServer::new(service));
    match Address::try_from(address.to_owned())? {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let connections = TcpListenerStream::new(listener).map(|accepted| {
                let stream = accepted?;
                stream.set_nodelay(true).map(|()| stream)
            });
            server.serve_with_incoming(connections).await?;
        }
        Address::Unix(path) => {
            let connections = UnixListenerStream::new(UnixListener::bind(path)?);
            server.serve_with_incoming(connections).await?;
        }
    }
    Ok(())
}
