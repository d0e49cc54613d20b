//! Bodies of requests to the admin API: one JSON object each, of known members.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use serde_json::error::Category;

use super::refused::Refused;

/// The largest body.
pub(super) const LARGEST: usize = 64 * 1024;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest part of a message that the sender chose.
const LONGEST: usize = 200;

/// Reads the body of a request.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    let bytes = collect(request.into_body()).await?;
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused::bad_request("the body must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let value = read.map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { "the body" } else { &path };
        let place = shortened(place);
        Refused::bad_request(format!("{place}: {}", message(error.inner())))
    })?;
    let end = deserializer.end();
    end.map_err(|error| Refused::bad_request(format!("the body: {}", message(&error))))?;
    Ok(value)
}

/// Reads a whole body.
pub(super) async fn collect(body: Body) -> Result<Bytes, Refused> {
    let whole = Limited::new(body, LARGEST).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let why = format!("the body is larger than {LARGEST} bytes");
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, why))
        }
        Ok(Err(_)) => Err(Refused::bad_request("the body broke off")),
        Err(_) => {
            let why = "the body did not come in time";
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, why))
        }
    }
}

/// Returns what is wrong without the value, which may be about a person. Names of members stay.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if error.classify() != Category::Data {
        return format!("not valid JSON: {error}");
    }
    match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => format!("expected {expected}"),
        _ => shortened(text),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Claims and their values. Unlike in serde's own maps, none may stand twice.
#[derive(Debug, Default)]
pub(super) struct Matches(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Matches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MatchesVisitor)
    }
}

struct MatchesVisitor;

impl<'de> Visitor<'de> for MatchesVisitor {
    type Value = Matches;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims and their values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Matches, A::Error> {
        let mut matches = BTreeMap::new();
        while let Some((claim, value)) = map.next_entry()? {
            if matches.insert(claim, value).is_some() {
                return Err(A::Error::custom("a claim stands twice"));
            }
        }
        Ok(Matches(matches))
    }
}
