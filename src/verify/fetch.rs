//! Fetches documents over HTTP, within limits, from addresses that can be trusted with keys.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_ENCODING};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use url::{Host, Url};

use super::access::Access;
use crate::core::units::Bytes;

/// A fetch with more redirects fails.
const MOST_REDIRECTS: usize = 3;

/// The text of a key set, or of metadata.
#[derive(Debug)]
pub(super) struct Obtained {
    pub text: Vec<u8>,
    /// `Cache-Control: max-age` less `Age`, without bounds; zero for `no-store` and `no-cache`.
    pub fresh_for: Option<Duration>,
}

/// Returns a client builder with what every fetch needs.
pub(super) fn client() -> ClientBuilder {
    Client::builder()
        .redirect(Policy::custom(follow))
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
}

/// Follows redirects to the same server only.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let Some(first) = attempt.previous().first() else {
        return attempt.stop();
    };
    if first.origin() != attempt.url().origin() {
        return attempt.error("a redirect to another host");
    }
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("too many redirects");
    }
    attempt.follow()
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
        .get(url)
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
    let text = read(response, max_size).await;
    let text = text.map_err(|why| format!("{shown}: {why}"))?;
    Ok(Obtained { text, fresh_for })
}

async fn read(mut response: Response, max_size: Bytes) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| chain(&error.without_url()))?;
        let Some(chunk) = chunk else {
            return Ok(text);
        };
        if text.len() + chunk.len() > max_size.len() {
            return Err(format!("it is larger than {max_size}"));
        }
        text.extend_from_slice(&chunk);
    }
}

/// What `Cache-Control` allows, less the time that the answer was cached (RFC 9111 §5.1).
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

/// The query may hold an API key.
pub(super) fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// Returns an error's text with its causes: reqwest's own text ends at "error sending request".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

/// Reads an address that keys may come from: https, or http where nobody can listen in.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(super) fn safe_url(text: &str, allow_http: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err("must have a host and no user name or password".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_http || is_loopback(&url) => Ok(url),
        "http" => Err("must be https; allow_http: true lifts this".to_owned()),
        _ => Err("must be https".to_owned()),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
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
