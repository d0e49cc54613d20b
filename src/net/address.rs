//! Addresses to listen on: TCP and unix sockets.

use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::Tls;
use super::connection::{Connection, Shown, Stream};

/// `127.0.0.1:9191`, `[::1]:9191` or `unix:/run/portcullis/authz.sock`. Port 0 lets the system
/// choose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(
    with = "String",
    inline,
    description = "",
    extend("examples" = ["127.0.0.1:9191", "unix:/run/portcullis/authz.sock"])
)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("{text:?} is neither an address such as 127.0.0.1:9191 nor unix:/path")
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Returns whether other machines may reach it.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => false,
        }
    }
}

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// For TCP alone.
    tls: Option<Arc<Tls>>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds an address. Replaces a unix socket that a dead process left behind, but not one that
/// still answers.
///
/// # Errors
/// A sentence that names the address.
pub async fn bind(address: &Address) -> Result<Listener, String> {
    let bound = match address {
        Address::Tcp(address) => TcpListener::bind(address).await.map(Socket::Tcp),
        Address::Unix(path) => bind_unix(path).await.map(Socket::Unix),
    };
    let socket = bound.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    Ok(Listener { socket, tls: None })
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket {
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process answers on this socket",
            ));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // The proxy often runs as another user of the same group.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

impl Listener {
    /// Speaks TLS on the connections of a TCP listener from now on.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        let tls = tls.map(Arc::new);
        Self { tls, ..self }
    }

    /// Returns whether the listener speaks plain HTTP with this machine alone.
    #[must_use]
    pub fn is_plain_loopback(&self) -> bool {
        match (&self.socket, &self.tls) {
            (Socket::Tcp(listener), None) => {
                let address = listener.local_addr();
                address.is_ok_and(|address| address.ip().is_loopback())
            }
            _ => false,
        }
    }

    /// Returns the address in use, with the port that the system chose.
    ///
    /// # Errors
    /// When the system no longer knows the socket.
    pub fn address(&self) -> io::Result<Address> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Socket::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(Address::Unix(
                    address.as_pathname().unwrap_or(Path::new("")).to_owned(),
                ))
            }
        }
    }

    /// Accepts the next connection and sets `TCP_NODELAY`.
    ///
    /// # Errors
    /// Those of the system, such as too many open files. The listener stays usable.
    pub async fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let stream = match &self.tls {
                    None => Stream::Tcp(stream),
                    Some(tls) => {
                        let handshake = tls.acceptor().accept(stream);
                        let handshake = Box::new(handshake.into_fallible());
                        Stream::Handshake(handshake, Shown::default())
                    }
                };
                Ok(Connection::new(stream, Some(peer)))
            }
            Socket::Unix(listener) => {
                let (stream, _peer) = listener.accept().await?;
                Ok(Connection::new(Stream::Unix(stream), None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_written() {
        for text in [
            "127.0.0.1:9191",
            "[::1]:0",
            "unix:/run/portcullis/authz.sock",
        ] {
            assert_eq!(
                Address::try_from(text.to_owned()).unwrap().to_string(),
                text
            );
        }
        for text in ["", "unix:", "9191", "localhost:9191", "/run/a.sock"] {
            assert!(Address::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("a.sock"));
        let first = bind(&address).await.unwrap();
        let taken = bind(&address).await.unwrap_err();
        assert!(taken.contains("another process answers"), "{taken}");
        drop(first);
        let second = bind(&address).await.unwrap();
        assert_eq!(second.address().unwrap(), address);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        bind(&Address::Unix(path.clone())).await.unwrap_err();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "data");
    }
}
