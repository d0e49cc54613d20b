//! An accepted connection that closes so that the peer can read its last answer.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::{FallibleAccept, TlsStream};

use super::tls::names;

/// An accepted connection of any kind. A TLS handshake is made with the first read or write.
///
/// A shutdown lingers. A server that closes while the peer still sends resets the connection, and
/// the peer loses the answer: a 413 whose body was never read, a 401 from before the body. So the
/// sending side is closed first, and what still comes is read and thrown away, within limits.
pub struct Connection {
    stream: Stream,
    /// `None` on a unix socket.
    peer: Option<SocketAddr>,
    shown: Shown,
    linger: Option<Linger>,
}

/// The names in the certificate that the peer showed, once it was verified in the handshake.
pub(super) type Shown = Arc<OnceLock<Vec<String>>>;

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Handshake(Box<FallibleAccept<TcpStream>>, Shown),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What is left to discard, and until when.
#[derive(Debug)]
struct Linger {
    bytes: usize,
    until: Instant,
    /// Ends when nothing came for [`QUIET`].
    quiet: Pin<Box<Sleep>>,
}

/// The most that is discarded: more than any sender sends before it looks for an answer.
const MOST_DISCARDED: usize = 64 * 1024 * 1024;
/// The longest time that is spent discarding.
const LONGEST_LINGER: Duration = Duration::from_secs(10);
/// A peer that sends nothing for this long has nothing on its way.
const QUIET: Duration = Duration::from_secs(1);

impl Connection {
    pub(super) fn new(stream: Stream, peer: Option<SocketAddr>) -> Self {
        let shown = match &stream {
            Stream::Handshake(_, shown) => Arc::clone(shown),
            _ => Shown::default(),
        };
        Self {
            stream,
            peer,
            shown,
            linger: None,
        }
    }

    pub(super) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(super) fn shown(&self) -> Shown {
        Arc::clone(&self.shown)
    }
}

impl Linger {
    fn begin() -> Self {
        Self {
            bytes: MOST_DISCARDED,
            until: Instant::now() + LONGEST_LINGER,
            quiet: Box::pin(sleep(QUIET)),
        }
    }

    /// Reads until the peer closes, falls silent, or has used up its limit. Errors are ends.
    fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut read = ReadBuf::new(&mut scratch);
            if stream.poll_read(cx, &mut read).is_pending() {
                return self.quiet.as_mut().poll(cx);
            }
            let now = Instant::now();
            self.bytes = self.bytes.saturating_sub(read.filled().len());
            if read.filled().is_empty() || self.bytes == 0 || now >= self.until {
                return Poll::Ready(());
            }
            self.quiet.as_mut().reset(self.until.min(now + QUIET));
        }
    }
}

/// Makes the handshake, if one is under way, and then calls the stream.
macro_rules! either {
    ($stream:expr, $cx:ident, $inner:ident => $call:expr) => {{
        let stream = $stream;
        ready!(stream.poll_handshake($cx))?;
        match stream {
            Stream::Tcp($inner) => $call,
            Stream::Unix($inner) => $call,
            Stream::Tls($inner) => $call,
            Stream::Handshake(..) => unreachable!("the handshake is over"),
        }
    }};
}

impl Stream {
    /// A stream whose handshake failed goes on as plain TCP, for its peer to read the alert.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Handshake(handshake, shown) = self else {
            return Poll::Ready(Ok(()));
        };
        match ready!(Pin::new(handshake).poll(cx)) {
            Ok(stream) => {
                let certificates = stream.get_ref().1.peer_certificates();
                if let Some(own) = certificates.and_then(<[_]>::first) {
                    let _ = shown.set(names(own));
                }
                *self = Self::Tls(Box::new(stream));
                Poll::Ready(Ok(()))
            }
            Err((error, stream)) => {
                tracing::info!(%error, "TLS handshake failed");
                *self = Self::Tcp(stream);
                Poll::Ready(Err(error))
            }
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, cx, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, cx, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_read(cx, buf)
    }
}

/// Offers no vectored writes. Answers are short, and h2 then copies them into one buffer and writes
/// many at once; with vectored writes each answer above 256 bytes costs two system calls of its
/// own.
impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(&mut self.get_mut().stream, cx, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.get_mut().stream, cx, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, linger, .. } = self.get_mut();
        if linger.is_none() {
            ready!(stream.poll_shutdown(cx))?;
        }
        let linger = linger.get_or_insert_with(Linger::begin);
        linger.poll(stream, cx).map(Ok)
    }
}

impl tonic::transport::server::Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
