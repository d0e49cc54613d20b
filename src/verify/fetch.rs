//! Fetches documents over HTTP, within limits, from addresses that can be trusted with keys.

use std::time::Duration;

use reqwest::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_ENCODING};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use crate::core::units::Bytes;
use crate::net::{Access, chain, read_body, without_query};

/// The text of a key set, or of metadata.
#[derive(Debug)]
pub(super) struct Obtained {
    pub text: Vec<u8>,
    /// `Cache-Control: max-age` less `Age`, without bounds; zero for `no-store` and `no-cache`.
    pub fresh_for: Option<Duration>,
}

/// Fetches a document of at most `max_size` bytes, measured after decompression. The caller limits
/// the time. `is_asked_for` tells caches on the way to ask the server (RFC 9111 §5.2.1.4).
///
/// # Errors
/// What went wrong, for people.
pub(super) async fn fetch(
    access: &Access,
    url: Url,
    max_size: Bytes,
    is_asked_for: bool,
) -> Result<Obtained, String> {
    let shown = without_query(&url);
    let mut request = access
        .request(Method::GET, url)
        .await?
        .header(ACCEPT, "application/jwk-set+json, application/json");
    if is_asked_for {
        request = request.header(CACHE_CONTROL, "no-cache");
    }
    let response = request
        .send()
        .await
        .map_err(|error| format!("{shown}: {}", chain(&error.without_url())))?;
    if response.status() != StatusCode::OK {
        return Err(format!("{shown} answers {}", response.status()));
    }
    // The client takes the header away with the encoding.
    if response.headers().contains_key(CONTENT_ENCODING) {
        return Err(format!(
            "{shown} answers in an encoding that is not supported"
        ));
    }
    let fresh_for = fresh_for(&response);
    let text = read_body(response, max_size).await;
    let text = text.map_err(|why| format!("{shown}: {why}"))?;
    Ok(Obtained { text, fresh_for })
}

/// Returns what `Cache-Control` allows, less the time that the answer was cached (RFC 9111 §5.1).
fn fresh_for(response: &Response) -> Option<Duration> {
    let values = response.headers().get_all(CACHE_CONTROL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let directives = texts.flat_map(|text| text.split(','));
    let shortest = directives.filter_map(|one| freshness(one.trim())).min()?;
    let age = response.headers().get(AGE);
    let age = age.and_then(|age| age.to_str().ok()?.trim().parse().ok());
    Some(shortest.saturating_sub(Duration::from_secs(age.unwrap_or_default())))
}

/// RFC 9111 §5.2.2.
fn freshness(directive: &str) -> Option<Duration> {
    let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
    if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
        return Some(Duration::ZERO);
    }
    let seconds = name.eq_ignore_ascii_case("max-age").then_some(value)?;
    let seconds = seconds.trim_matches('"').parse().ok();
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_reads_as_it_is_written() {
        assert_eq!(freshness("max-age=60"), Some(Duration::from_mins(1)));
        assert_eq!(freshness("Max-Age=\"7\""), Some(Duration::from_secs(7)));
        assert_eq!(freshness("no-store"), Some(Duration::ZERO));
        for other in [
            "public",
            "max-age=",
            "max-age=-1",
            "max-age=x",
            "s-maxage=5",
        ] {
            assert_eq!(freshness(other), None, "{other}");
        }
    }
}
