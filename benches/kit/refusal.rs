//! One event at a time: how long until it is acknowledged, and until its token is refused.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use portcullis::clock::Clock;
use serde_json::json;

use super::percentile;

/// Locks the users of `event.txt` one after the other, and tries each one's token right after.
#[derive(Parser)]
pub(crate) struct Args {
    directory: PathBuf,
    #[arg(long)]
    events: SocketAddr,
    #[arg(long)]
    forward_auth: SocketAddr,
    #[arg(long, default_value = "hooks:correct-horse-battery-staple")]
    credentials: String,
    #[arg(long, default_value_t = 500)]
    count: usize,
    /// The first user.
    #[arg(long, default_value_t = 0)]
    from: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(args.directory.join("event.txt"))?;
    let mut events = Connection::open(args.events)?;
    let mut door = Connection::open(args.forward_auth)?;
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    let users = text.lines().enumerate().skip(args.from).take(args.count);
    for (number, token) in users {
        expect(200, door.ask(token)?)?;
        // Idle: nothing of the last event is going on any more.
        std::thread::sleep(Duration::from_millis(3));
        let started = Instant::now();
        let status = events.lock(&format!("locked-{number}"), &args.credentials)?;
        acknowledged.push(started.elapsed().as_secs_f64() * 1000.0);
        expect(200, status / 100 * 100)?;
        expect(401, door.ask(token)?)?;
        refused.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    acknowledged.sort_by(f64::total_cmp);
    refused.sort_by(f64::total_cmp);
    println!(
        "{}",
        json!({
            "events": refused.len(),
            "ack_p50_ms": percentile(&acknowledged, 0.5),
            "ack_p99_ms": percentile(&acknowledged, 0.99),
            "refused_p50_ms": percentile(&refused, 0.5),
            "refused_p99_ms": percentile(&refused, 0.99),
        })
    );
    Ok(())
}

fn expect(status: u16, got: u16) -> Result<(), String> {
    (status == got)
        .then_some(())
        .ok_or_else(|| format!("{got} instead of {status}"))
}

/// Just enough HTTP/1.1 for one request after the other, without a runtime between the clock and
/// the socket.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn ask(&mut self, token: &str) -> Result<u16, Box<dyn Error>> {
        self.send(&format!(
            "GET /authz/forward-auth HTTP/1.1\r\nhost: shop.example.com\r\n\
             x-forwarded-method: GET\r\nx-forwarded-host: shop.example.com\r\n\
             x-forwarded-proto: https\r\nx-forwarded-uri: /orders\r\n\
             authorization: Bearer {token}\r\n\r\n"
        ))
    }

    fn lock(&mut self, user: &str, credentials: &str) -> Result<u16, Box<dyn Error>> {
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
    fn send(&mut self, request: &str) -> Result<u16, Box<dyn Error>> {
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
                status = head[9..12].parse()?;
            } else if let Some(value) = head.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        self.0
            .by_ref()
            .take(length)
            .read_to_end(&mut Vec::new())
            .map(|_| Ok(status))?
    }
}
