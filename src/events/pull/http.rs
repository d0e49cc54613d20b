//! The API of a provider, as it is asked.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LINK, RETRY_AFTER,
};
use reqwest::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::ask::Trouble;
use super::oauth::{self, Tokens};
use crate::core::clock::Clock;
use crate::core::config_error::ConfigErrors;
use crate::core::units::Bytes;
use crate::net::{Access, Clients, Files, chain, read_body, read_file, safe_url, without_query};

/// The longest that a question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

const LARGEST_ANSWER: Bytes = Bytes::mib(8);

/// A provider that asks to be left alone for longer is asked again after this.
const LONGEST_RETRY_AFTER: u64 = 3600;

/// How the API of a provider is reached.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address that is asked: https, or http to this very machine.
    pub endpoint: String,
    /// A file that holds a bearer token. This file and the others are read again at each request.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// A file that holds the whole value of the header `Authorization`, where it is no bearer token: an
    /// API key of FusionAuth, or `SSWS` and an API token of Okta.
    #[serde(default)]
    pub authorization_file: Option<PathBuf>,
    /// Get bearer tokens by client credentials, in place of `bearer_token_file`.
    #[serde(default)]
    pub oauth: Option<Box<oauth::Config>>,
    /// The authorities that may vouch for the server, as PEM certificates in a file, in place of those
    /// that the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A certificate that is shown to a server that asks for one: a PEM file with its chain.
    #[serde(default)]
    pub client_cert_file: Option<PathBuf>,
    /// The private key of `client_cert_file`, in PEM.
    #[serde(default)]
    pub client_key_file: Option<PathBuf>,
    /// Allow plain http to other machines. Whoever can read that traffic gets the bearer token, so each
    /// start warns of it.
    #[serde(default)]
    pub insecure: bool,
}

impl Config {
    pub(in crate::events) fn check(&self, errors: &mut ConfigErrors) {
        if let Err(why) = safe_url(&self.endpoint, self.insecure) {
            errors.push("endpoint", why);
        }
        match (&self.client_cert_file, &self.client_key_file) {
            (Some(_), None) => {
                errors.conflict("client_key_file", "is missing beside the certificate");
            }
            (None, Some(_)) => errors.conflict("client_cert_file", "is missing beside the key"),
            _ => {}
        }
        if let Some(oauth) = &self.oauth {
            errors.within("oauth", |errors| oauth.check(self.insecure, errors));
            if self.bearer_token_file.is_some() {
                errors.conflict(
                    "oauth",
                    "there is a bearer_token_file too: take one of them",
                );
            }
        }
    }

    /// # Errors
    /// When an address is not safe, or TLS cannot be set up.
    pub(in crate::events) fn build(&self) -> Result<Server, String> {
        let url = safe_url(&self.endpoint, self.insecure);
        let url = url.map_err(|why| format!("endpoint: {why}"))?;
        let clients = Clients::new()?;
        let files = Files {
            ca: self.ca_file.clone(),
            client_cert: self.client_cert_file.clone(),
            client_key: self.client_key_file.clone(),
            bearer: None,
        };
        let tokens = self
            .oauth
            .as_ref()
            .map(|oauth| oauth.build(files.clone(), clients.clone(), self.insecure));
        let files = Files {
            bearer: self.bearer_token_file.clone(),
            ..files
        };
        Ok(Server {
            access: Access::new(files, &url, clients),
            authorization: self.authorization_file.clone(),
            tokens: tokens.transpose()?,
            url,
        })
    }
}

/// A server that is asked.
#[derive(Debug)]
pub(in crate::events) struct Server {
    access: Access,
    authorization: Option<PathBuf>,
    tokens: Option<Tokens>,
    url: Url,
}

/// What a server answered.
#[derive(Debug)]
pub(in crate::events) struct Answer {
    pub(in crate::events) body: Vec<u8>,
    /// The query of the next page (RFC 8288), which is at the same address.
    pub(in crate::events) next: Option<String>,
}

impl Server {
    /// Posts a question in JSON to what is at `path` below the endpoint.
    ///
    /// # Errors
    /// When there is no answer in time, one with another status than 200, or one that is too large.
    pub(in crate::events) async fn post(
        &self,
        path: &[&str],
        question: &Value,
    ) -> Result<Answer, Trouble> {
        self.send(Method::POST, self.below(path), Some(question))
            .await
    }

    /// Gets what is at `path` below the endpoint.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(in crate::events) async fn get(
        &self,
        path: &[&str],
        query: &str,
    ) -> Result<Answer, Trouble> {
        let mut url = self.below(path);
        url.set_query((!query.is_empty()).then_some(query));
        self.send(Method::GET, url, None).await
    }

    fn below(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if !path.is_empty()
            && let Ok(mut segments) = url.path_segments_mut()
        {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        question: Option<&Value>,
    ) -> Result<Answer, Trouble> {
        let shown = without_query(&url);
        let asked = self.send_patiently(method, url, question, &shown);
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        asked.unwrap_or_else(|_| {
            let patience = humantime::format_duration(PATIENCE);
            Err(format!("{shown}: no answer within {patience}").into())
        })
    }

    async fn send_patiently(
        &self,
        method: Method,
        url: Url,
        question: Option<&Value>,
        shown: &str,
    ) -> Result<Answer, Trouble> {
        let request = self.access.request(method, url.clone()).await?;
        let mut request = request.header(ACCEPT, "application/json");
        if let Some(value) = self.authorization().await? {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(question) = question {
            request = request.header(CONTENT_TYPE, "application/json");
            request = request.body(question.to_string());
        }
        let response = request.send().await;
        let response =
            response.map_err(|error| format!("{shown}: {}", chain(&error.without_url())))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(tokens) = &self.tokens
            && status == StatusCode::UNAUTHORIZED
        {
            tokens.forget().await;
        }
        if status != StatusCode::OK {
            return Err(refused(status, &headers, shown));
        }
        let body = read_body(response, LARGEST_ANSWER).await;
        Ok(Answer {
            body: body.map_err(|why| format!("{shown}: {why}"))?,
            next: next_page(&headers, &url)?,
        })
    }

    /// Returns the header that the access does not set.
    async fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        match (&self.tokens, &self.authorization) {
            (Some(tokens), _) => tokens.authorization().await.map(Some),
            (None, Some(path)) => whole_value(path).await.map(Some),
            (None, None) => Ok(None),
        }
    }
}

async fn whole_value(path: &Path) -> Result<HeaderValue, String> {
    let value = read_file(path, Bytes::kib(64)).await?;
    let value = HeaderValue::from_bytes(value.trim_ascii());
    let mut value = value.map_err(|_| format!("{} holds no value of a header", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns the query of the link to the next page.
fn next_page(headers: &HeaderMap, url: &Url) -> Result<Option<String>, String> {
    static LINKS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("<([^>]*)>([^<]*)").expect("the pattern is a regex"));
    let values = headers.get_all(LINK).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut links = values.flat_map(|value| LINKS.captures_iter(value));
    let Some(next) = links.find(|link| link[2].contains("rel=\"next\"")) else {
        return Ok(None);
    };
    let next = url
        .join(&next[1])
        .ok()
        .filter(|next| next.origin() == url.origin() && next.path() == url.path());
    let elsewhere = || {
        format!(
            "{}: the next page is at another address",
            without_query(url)
        )
    };
    let next = next.ok_or_else(elsewhere)?;
    Ok(next.query().map(str::to_owned))
}

fn refused(status: StatusCode, headers: &HeaderMap, shown: &str) -> Trouble {
    let advice = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": the credentials are missing, have expired or lack a right"
        }
        StatusCode::NOT_FOUND => ": the endpoint is not the one that the provider gave",
        _ => "",
    };
    let number = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value.trim().parse::<u64>().ok()
    };
    // Seconds to wait, or, as Okta says it, the second in which the limit ends.
    let reset = || {
        let reset = number("x-rate-limit-reset")?;
        Some(reset.saturating_sub(Clock::system().now().seconds()))
    };
    let seconds = number(RETRY_AFTER.as_str()).or_else(reset);
    Trouble {
        why: format!("{shown} answers {status}{advice}"),
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER))),
        is_refusal: status == StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_at_the_same_address_or_an_error() {
        let url = Url::parse("https://acme.okta.com/api/v1/logs?limit=2").unwrap();
        let of = |values: &[&'static str]| {
            let values = values.iter();
            let values = values.map(|value| (LINK, HeaderValue::from_static(value)));
            next_page(&values.collect(), &url)
        };
        let own = "<https://acme.okta.com/api/v1/logs?limit=2>; rel=\"self\"";
        let next = "<https://acme.okta.com/api/v1/logs?limit=2&after=1,2>; rel=\"next\"";
        let both = "</api/v1/logs?limit=2>; rel=\"self\", </api/v1/logs?after=3>; rel=\"next\"";
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[own]), Ok(None));
        assert_eq!(of(&[own, next]), Ok(Some("limit=2&after=1,2".to_owned())));
        assert_eq!(of(&[both]), Ok(Some("after=3".to_owned())));
        for elsewhere in [
            "<https://evil.example.com/api/v1/logs?after=1>; rel=\"next\"",
            "</api/v1/users?after=1>; rel=\"next\"",
        ] {
            assert!(of(&[elsewhere]).is_err(), "{elsewhere}");
        }
    }
}
