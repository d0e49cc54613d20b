//! Getting a key set from where it is: over HTTP, through discovery, or from a file.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{ACCEPT, CACHE_CONTROL};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use url::{Host, Url};

use super::config::{JwksConfig, KeysConfig};

/// More redirects than this end a fetch.
const MOST_REDIRECTS: usize = 3;

/// The text of a key set.
#[derive(Debug)]
pub(super) struct Obtained {
    pub text: Vec<u8>,
    /// What `Cache-Control: max-age` says, without bounds; zero for `no-store` and `no-cache`.
    pub fresh_for: Option<Duration>,
}

/// A place that key sets come from.
#[derive(Debug)]
pub(super) struct Origin {
    place: Place,
    client: Client,
    allow_http: bool,
    timeout: Duration,
    max_size: usize,
}

#[derive(Debug)]
enum Place {
    Jwks(Url),
    Discovery(Url, String),
    File(PathBuf),
}

/// The client for every issuer.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn client() -> Result<Client, String> {
    Client::builder()
        .redirect(Policy::custom(follow))
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("the HTTP client cannot be set up: {error}"))
}

/// A redirect may change the path, and nothing about who answers.
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

impl Origin {
    /// The place that a checked configuration names; none for an inline set.
    ///
    /// # Errors
    /// When the address must not be used.
    pub(super) fn new(
        issuer: &str,
        config: &JwksConfig,
        keys: &KeysConfig,
        client: &Client,
    ) -> Result<Option<Self>, String> {
        let place = if let Some(uri) = &config.uri {
            Place::Jwks(safe_url(uri, config.allow_http)?)
        } else if config.discovery {
            Place::Discovery(safe_url(issuer, config.allow_http)?, issuer.to_owned())
        } else if let Some(path) = &config.file {
            Place::File(path.clone())
        } else {
            return Ok(None);
        };
        Ok(Some(Self {
            place,
            client: client.clone(),
            allow_http: config.allow_http,
            timeout: keys.timeout.0,
            max_size: keys.max_size.len(),
        }))
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// Names the place. A set that was kept from another place is not used.
    pub(super) fn name(&self) -> String {
        match &self.place {
            Place::Jwks(url) => url.to_string(),
            Place::Discovery(_, issuer) => format!("discovery {issuer}"),
            Place::File(path) => path.display().to_string(),
        }
    }

    /// Gets the set, within the time and the size that are allowed.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub(super) async fn obtain(&self) -> Result<Obtained, String> {
        timeout(self.timeout, self.obtain_patiently())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)))
    }

    async fn obtain_patiently(&self) -> Result<Obtained, String> {
        match &self.place {
            Place::Jwks(url) => self.fetch(url.clone()).await,
            Place::Discovery(url, issuer) => {
                let jwks = self.discover(url, issuer).await?;
                self.fetch(jwks).await
            }
            Place::File(path) => Ok(Obtained {
                text: read_file(path, self.max_size).await?,
                fresh_for: None,
            }),
        }
    }

    /// Asks where the issuer's keys are. Each document must be about this very issuer, or another
    /// one could speak for it (RFC 8414 §3.3).
    async fn discover(&self, base: &Url, issuer: &str) -> Result<Url, String> {
        let mut failures = Vec::new();
        for url in well_known(base) {
            match self.metadata(url, issuer).await {
                Ok(jwks_uri) => return Ok(jwks_uri),
                Err(why) => failures.push(why),
            }
        }
        Err(failures.join("; "))
    }

    async fn metadata(&self, url: Url, issuer: &str) -> Result<Url, String> {
        let shown = url.to_string();
        let document = self.fetch(url).await?;
        let metadata: Metadata = serde_json::from_slice(&document.text)
            .map_err(|_| format!("{shown} is no metadata with issuer and jwks_uri"))?;
        if metadata.issuer != issuer {
            return Err(format!("{shown} is about another issuer"));
        }
        safe_url(&metadata.jwks_uri, self.allow_http)
            .map_err(|why| format!("the jwks_uri in {shown} {why}"))
    }

    async fn fetch(&self, url: Url) -> Result<Obtained, String> {
        let shown = without_query(&url);
        let response = self
            .client
            .get(url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .send()
            .await
            .map_err(|error| format!("{shown}: {}", chain(&error.without_url())))?;
        if response.status() != StatusCode::OK {
            return Err(format!("{shown} answers {}", response.status()));
        }
        let fresh_for = fresh_for(&response);
        let text = self
            .read(response)
            .await
            .map_err(|why| format!("{shown}: {why}"))?;
        Ok(Obtained { text, fresh_for })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| chain(&error.without_url()))?;
            let Some(chunk) = chunk else {
                return Ok(text);
            };
            if text.len() + chunk.len() > self.max_size {
                return Err(too_large(self.max_size));
            }
            text.extend_from_slice(&chunk);
        }
    }
}

/// The members of OpenID Connect Discovery §3 and RFC 8414 §2 that matter here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// OpenID Connect appends its path to the issuer's; RFC 8414 §3 puts it in front.
fn well_known(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url.set_query(None);
        url.set_fragment(None);
        url
    };
    [
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ]
}

async fn read_file(path: &Path, max_size: usize) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(fail)?;
    let mut text = Vec::new();
    let mut bounded = file.take(max_size as u64 + 1);
    bounded.read_to_end(&mut text).await.map_err(fail)?;
    if text.len() > max_size {
        return Err(format!("{}: {}", path.display(), too_large(max_size)));
    }
    Ok(text)
}

fn too_large(max_size: usize) -> String {
    format!("it is larger than {}", crate::units::Bytes(max_size as u64))
}

fn fresh_for(response: &Response) -> Option<Duration> {
    let mut shortest = None;
    for value in response.headers().get_all(CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            if let Some(span) = freshness(directive.trim()) {
                shortest = Some(shortest.map_or(span, |held: Duration| held.min(span)));
            }
        }
    }
    shortest
}

/// RFC 9111 §5.2.2.
fn freshness(directive: &str) -> Option<Duration> {
    let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
    if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
        return Some(Duration::ZERO);
    }
    let seconds = name.eq_ignore_ascii_case("max-age").then_some(value)?;
    seconds
        .trim_matches('"')
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// The query may hold an API key.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// An error with its causes: reqwest's own text stops at "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

/// An address that keys may come from: https, or http where nobody can listen in.
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

fn is_loopback(url: &Url) -> bool {
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
    fn both_kinds_of_metadata_are_sought_where_they_belong() {
        let urls = |issuer: &str| well_known(&Url::parse(issuer).unwrap()).map(String::from);
        assert_eq!(
            urls("https://id.example.com"),
            [
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            urls("https://id.example.com/realms/a/"),
            [
                "https://id.example.com/realms/a/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server/realms/a",
            ]
        );
    }

    #[test]
    fn cache_control_reads_as_it_is_written() {
        assert_eq!(freshness("max-age=60"), Some(Duration::from_secs(60)));
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
