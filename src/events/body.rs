//! Reading a request's body: how large it may be, how long it may take, and of which type it is.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::answer::Failure;

/// Reads a whole body of at most `limit` bytes.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    within: Duration,
) -> Result<Bytes, Failure> {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Failure::TooLarge);
    }
    let whole = Limited::new(body, limit).collect();
    match tokio::time::timeout(within, whole).await {
        Err(_) => Err(Failure::Slow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
        Ok(Err(_)) => Err(Failure::Broken),
    }
}

/// Returns whether the body is of one of the media types `accepted`, with any parameters, and not
/// compressed.
pub(super) fn is_of(accepted: &[&str], headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()?.split(';').next());
    let coding = headers.get(header::CONTENT_ENCODING);
    kind.is_some_and(|kind| {
        let mut accepted = accepted.iter();
        accepted.any(|accepted| kind.trim().eq_ignore_ascii_case(accepted))
    }) && coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
