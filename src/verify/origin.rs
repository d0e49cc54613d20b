//! Where an issuer's key set comes from: an address, the issuer's discovery document, or a file.

use std::cell::LazyCell;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::fetch::{Obtained, fetch};
use super::json::without_mark;
use super::key_config::{JwksConfig, KeysConfig};
use crate::core::units::Bytes;
use crate::net::{Access, Clients, read_file, safe_url, without_query};

/// Set up when the first issuer needs it: files and inline sets work without TLS roots.
pub(super) type LazyClient = LazyCell<Result<Clients, String>>;

/// The most characters of another issuer's name that are shown.
const LONGEST_SHOWN: usize = 200;

/// The source of an issuer's key sets.
#[derive(Debug)]
pub(super) struct Origin {
    source: Source,
    timeout: Duration,
    max_size: Bytes,
}

#[derive(Debug)]
enum Source {
    Jwks(Access, Url),
    Discovery(Discovery),
    File(PathBuf),
}

#[derive(Debug)]
struct Discovery {
    access: Access,
    issuer: String,
    url: Url,
    insecure: bool,
}

impl Origin {
    /// Returns the source that a checked configuration names; none for an inline set.
    ///
    /// # Errors
    /// If the address is not safe, or the HTTP client cannot be set up.
    pub(super) fn new(
        issuer: &str,
        config: &JwksConfig,
        keys: &KeysConfig,
        client: &LazyClient,
    ) -> Result<Option<Self>, String> {
        let client = || LazyCell::force(client).clone();
        let source = if let Some(uri) = &config.uri {
            let url = safe_url(uri, config.insecure)?;
            Source::Jwks(Access::new(config.files(), &url, client()?), url)
        } else if config.discovery {
            let url = safe_url(issuer, config.insecure)?;
            Source::Discovery(Discovery {
                access: Access::new(config.files(), &url, client()?),
                issuer: issuer.to_owned(),
                url,
                insecure: config.insecure,
            })
        } else if let Some(path) = &config.file {
            Source::File(path.clone())
        } else {
            return Ok(None);
        };
        Ok(Some(Self {
            source,
            timeout: keys.timeout.0,
            max_size: keys.max_size,
        }))
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// Identifies the source. A stored set of another source is not used.
    pub(super) fn name(&self) -> String {
        match &self.source {
            Source::Jwks(_, url) => url.to_string(),
            Source::Discovery(discovery) => format!("discovery {}", discovery.issuer),
            Source::File(path) => path.display().to_string(),
        }
    }

    /// Shows the source to people, without the query, which may hold an API key.
    pub(super) fn shown(&self) -> String {
        match &self.source {
            Source::Jwks(_, url) => without_query(url),
            Source::Discovery(_) | Source::File(_) => self.name(),
        }
    }

    /// Fetches the set within the limits of time and size.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub(super) async fn obtain(&self, is_asked_for: bool) -> Result<Obtained, String> {
        timeout(self.timeout, self.obtain_patiently(is_asked_for))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)))
    }

    async fn obtain_patiently(&self, is_asked_for: bool) -> Result<Obtained, String> {
        match &self.source {
            Source::Jwks(access, url) => {
                fetch(access, url.clone(), self.max_size, is_asked_for).await
            }
            Source::Discovery(discovery) => {
                let jwks = discovery.discover(self.max_size, is_asked_for).await?;
                fetch(&discovery.access, jwks, self.max_size, is_asked_for).await
            }
            Source::File(path) => Ok(Obtained {
                text: read_file(path, self.max_size).await?,
                fresh_for: None,
            }),
        }
    }
}

/// The members of `OpenID` Connect Discovery §3 and RFC 8414 §2 that matter here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Discovery {
    /// Returns the address of the issuer's key set.
    async fn discover(&self, max_size: Bytes, is_asked_for: bool) -> Result<Url, String> {
        let mut failures = Vec::new();
        for url in well_known(&self.url) {
            match self.ask(url, max_size, is_asked_for).await {
                Ok(jwks_uri) => return Ok(jwks_uri),
                Err(why) => failures.push(why),
            }
        }
        Err(failures.join("; "))
    }

    /// Reads one document. It must be about this very issuer, or another one could speak for it
    /// (RFC 8414 §3.3).
    async fn ask(&self, url: Url, max_size: Bytes, is_asked_for: bool) -> Result<Url, String> {
        let shown = url.to_string();
        let is_https = url.scheme() == "https";
        let document = fetch(&self.access, url, max_size, is_asked_for).await?;
        let metadata: Metadata = serde_json::from_slice(without_mark(&document.text))
            .map_err(|_| format!("{shown} is no metadata with issuer and jwks_uri"))?;
        if metadata.issuer != self.issuer {
            let other: String = metadata.issuer.chars().take(LONGEST_SHOWN).collect();
            return Err(format!(
                "{shown} is about the issuer {other:?} and not about {:?}; every byte counts, also a slash at the end",
                self.issuer
            ));
        }
        let jwks = safe_url(&metadata.jwks_uri, self.insecure)
            .map_err(|why| format!("the jwks_uri in {shown} {why}"))?;
        // Whoever serves the loopback of this machine is not the issuer that answers over https.
        if is_https && jwks.scheme() != "https" && !self.insecure {
            return Err(format!(
                "the jwks_uri in {shown} must be https, as the issuer is"
            ));
        }
        Ok(jwks)
    }
}

/// Returns where the documents may be: `OpenID` Connect appends its path to the issuer's, RFC 8414 §3
/// puts it in front.
pub(super) fn well_known(issuer: &Url) -> [Url; 2] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_query_is_not_shown() {
        let config = JwksConfig {
            uri: Some("https://id.example.com/keys?api_key=hunter2".to_owned()),
            ..JwksConfig::default()
        };
        let client = LazyClient::new(Clients::new);
        let keys = KeysConfig::default();
        let origin = Origin::new("https://id.example.com", &config, &keys, &client);
        let origin = origin.unwrap().unwrap();
        assert_eq!(origin.shown(), "https://id.example.com/keys");
        assert!(
            origin.name().contains("hunter2"),
            "another key is another source"
        );
    }

    #[test]
    fn openid_and_oauth_metadata_are_requested_at_their_urls() {
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
}
