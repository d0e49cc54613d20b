//! Just enough HTTP/1.1 for one request after the other, without a runtime between the clock and
//! the socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::core::clock::Clock;
use serde_json::json;

pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn ask(&mut self, token: &str) -> io::Result<u16> {
        self.send(&format!(
            "GET /authz/forward-auth HTTP/1.1\r\nhost: shop.example.com\r\n\
             x-forwarded-method: GET\r\nx-forwarded-host: shop.example.com\r\n\
             x-forwarded-proto: https\r\nx-forwarded-uri: /orders\r\n\
             authorization: Bearer {token}\r\n\r\n"
        ))
    }

    pub(crate) fn lock(&mut self, user: &str, credentials: &str) -> io::Result<u16> {
        let event = json!({ "event": {
            "type": "user.deactivate",
            "id": ulid::Ulid::new().to_string(),
            "createInstant": Clock::system().now().0,
            "user": { "id": user },
        } })
        .to_string();
        self.send(&format!(
            "POST /events/fusionauth HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\nauthorization: Basic {}\r\n\
             content-length: {}\r\n\r\n{event}",
            STANDARD.encode(credentials),
            event.len()
        ))
    }

    /// Returns the status, once the whole answer is there.
    fn send(&mut self, request: &str) -> io::Result<u16> {
        self.0.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            let head = line.trim_end().to_ascii_lowercase();
            if head.is_empty() {
                break;
            }
            if head.starts_with("http/1.1 ") {
                status = head[9..12].parse().map_err(io::Error::other)?;
            } else if let Some(value) = head.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        self.0
            .by_ref()
            .take(length)
            .read_to_end(&mut Vec::new())
            .map(|_| Ok(status))?
    }
}
