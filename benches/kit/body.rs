//! The body of a gRPC `Check` call as Envoy sends it for a browser's request, about 1.6 kB.

use std::error::Error;
use std::io::{Read, Write};

use clap::Parser;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use prost::Message;

/// Writes such a body for the bearer token on standard input.
#[derive(Parser)]
pub(crate) struct Args {}

const HEADERS: [(&str, &str); 20] = [
    (":authority", "shop.example.com"),
    (":method", "GET"),
    (":path", "/api/v2/orders/8812?expand=lines&locale=en"),
    (":scheme", "https"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.7"),
    ("cache-control", "no-cache"),
    (
        "cookie",
        "theme=dark; session_hint=8f14e45fceea167a5a36dedd4bea2543; consent=1",
    ),
    ("origin", "https://shop.example.com"),
    ("priority", "u=1, i"),
    ("referer", "https://shop.example.com/orders"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-origin"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    ),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "0b0f3a3c-8f57-4d2b-9ad5-3f3f3f3f3f3f"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
];

pub(crate) fn run(_: &Args) -> Result<(), Box<dyn Error>> {
    let mut token = String::new();
    std::io::stdin().read_to_string(&mut token)?;
    Ok(std::io::stdout().lock().write_all(&framed(token.trim()))?)
}

/// The message behind the gRPC frame: not compressed, then the length.
pub(crate) fn framed(token: &str) -> Vec<u8> {
    let message = message(token);
    let length = u32::try_from(message.len()).expect("a request is far below 4 GiB");
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// The bare message.
pub(crate) fn message(token: &str) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    let all = HEADERS
        .into_iter()
        .chain([("authorization", authorization.as_str())]);
    let http = HttpRequest {
        id: "1234567890123456789".to_owned(),
        method: "GET".to_owned(),
        path: HEADERS[2].1.to_owned(),
        host: HEADERS[0].1.to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: all
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        ..HttpRequest::default()
    };
    let attributes = AttributeContext {
        source: Some(Peer::default()),
        destination: Some(Peer::default()),
        request: Some(Request {
            time: None,
            http: Some(http),
        }),
        ..AttributeContext::default()
    };
    CheckRequest {
        attributes: Some(attributes),
    }
    .encode_to_vec()
}
