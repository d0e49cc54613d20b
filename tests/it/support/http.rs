//! A client that sends exactly what it is told: no clean-up of paths, no joining of headers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer that takes longer is none.
const DEADLINE: Duration = Duration::from_secs(30);

/// One HTTP/1.1 request on a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: String,
    target: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Call {
    /// The target is sent as it is, and need not be UTF-8.
    pub(crate) fn new(method: &str, target: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            method: method.to_owned(),
            target: target.as_ref().to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(target: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut call = Self::new("POST", target);
        call.body = body.into();
        call
    }

    pub(crate) fn json(target: &str, body: &Value) -> Self {
        Self::post(target, body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Adds a header; one that is there already stays beside it.
    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn basic(self, username: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{username}:{password}"));
        self.header("authorization", format!("Basic {pair}"))
    }

    pub(crate) async fn send(&self, to: SocketAddr) -> Reply {
        let reply = self.try_send(to).await;
        reply.unwrap_or_else(|error| {
            let target = self.target.escape_ascii();
            panic!("{} {target} to {to} failed: {error}", self.method)
        })
    }

    pub(crate) async fn try_send(&self, to: SocketAddr) -> io::Result<Reply> {
        let stream = tokio::time::timeout(DEADLINE, TcpStream::connect(to)).await?;
        self.on(&mut stream?).await
    }

    /// Sends it on a connection that is open. With `connection: keep-alive` the connection stays.
    pub(crate) async fn on(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> io::Result<Reply> {
        let exchange = async {
            stream.write_all(&self.bytes()).await?;
            let mut answer = Vec::new();
            // Not until the end: after an error Envoy keeps the connection for another second. A
            // reset behind a complete answer is no failure; an incomplete one does not parse.
            while !Reply::is_complete(&answer)
                && stream
                    .read_buf(&mut answer)
                    .await
                    .is_ok_and(|read| read > 0)
            {}
            Reply::parse(&answer).ok_or_else(|| {
                let text = String::from_utf8_lossy(&answer).into_owned();
                io::Error::new(io::ErrorKind::UnexpectedEof, format!("no answer: {text:?}"))
            })
        };
        tokio::time::timeout(DEADLINE, exchange).await?
    }

    fn bytes(&self) -> Vec<u8> {
        let has = |name: &str| {
            self.headers
                .iter()
                .any(|(held, _)| held.eq_ignore_ascii_case(name))
        };
        let line: [&[u8]; 4] = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"];
        let mut bytes = line.concat();
        if !has("host") {
            bytes.extend_from_slice(b"host: shop.example.com\r\n");
        }
        if !self.body.is_empty() && !has("content-length") {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if !has("connection") {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case, in the order received.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The first value under a name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self
            .headers
            .iter()
            .filter(move |(held, _)| held.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.text()))
    }

    /// Whether nothing more can come; an answer of unknown length ends with its connection.
    fn is_complete(bytes: &[u8]) -> bool {
        Self::parse(bytes).is_some_and(|reply| {
            reply.status == 101
                || reply.header("transfer-encoding") == Some("chunked")
                || reply.header("content-length").is_some()
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        let mut reply = Self {
            status,
            headers,
            body: Vec::new(),
        };
        reply.body = match (
            reply.header("transfer-encoding"),
            reply.header("content-length"),
        ) {
            (Some("chunked"), _) => unchunk(rest)?,
            (_, Some(length)) => rest.get(..length.parse().ok()?)?.to_vec(),
            _ => rest.to_vec(),
        };
        Some(reply)
    }
}

/// RFC 9112 §7.1; `None` when the last chunk is missing.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}
