//! The API of a provider, as it is asked.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::ask::Trouble;
use super::oauth::{self, Tokens};
use crate::core::config_error::ConfigErrors;
use crate::core::units::Bytes;
use crate::net::{Access, Clients, Files, chain, read_body, safe_url, without_query};

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
    /// A file that holds a bearer token. This file and the other three are read again at each request.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// Get bearer tokens by client credentials, in place of `bearer_token_file`.
    #[serde(default)]
    pub oauth: Option<oauth::Config>,
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
    /// Allow plain http to other machines. Whoever can read that traffic gets the bearer token.
    #[serde(default)]
    pub allow_http: bool,
}

impl Config {
    pub(in crate::events) fn check(&self, errors: &mut ConfigErrors) {
        if let Err(why) = safe_url(&self.endpoint, self.allow_http) {
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
            errors.within("oauth", |errors| oauth.check(self.allow_http, errors));
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
        let url = safe_url(&self.endpoint, self.allow_http);
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
            .map(|oauth| oauth.build(files.clone(), clients.clone(), self.allow_http));
        let files = Files {
            bearer: self.bearer_token_file.clone(),
            ..files
        };
        Ok(Server {
            access: Access::new(files, &url, clients),
            tokens: tokens.transpose()?,
            url,
        })
    }
}

/// A server that is asked.
#[derive(Debug)]
pub(in crate::events) struct Server {
    access: Access,
    tokens: Option<Tokens>,
    url: Url,
}

impl Server {
    /// Posts a question in JSON to the endpoint and returns the body of the answer.
    ///
    /// # Errors
    /// When there is no answer in time, one with another status than 200, or one that is too large.
    pub(in crate::events) async fn post(&self, question: &Value) -> Result<Vec<u8>, Trouble> {
        self.send(Method::POST, self.url.clone(), Some(question))
            .await
    }

    /// Gets what is at `path` below the endpoint.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(in crate::events) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Vec<u8>, Trouble> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.query_pairs_mut().extend_pairs(query);
        self.send(Method::GET, url, None).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        question: Option<&Value>,
    ) -> Result<Vec<u8>, Trouble> {
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
    ) -> Result<Vec<u8>, Trouble> {
        let request = self.access.request(method, url).await?;
        let mut request = request.header(ACCEPT, "application/json");
        if let Some(tokens) = &self.tokens {
            request = request.header(AUTHORIZATION, tokens.authorization().await?);
        }
        if let Some(question) = question {
            request = request.header(CONTENT_TYPE, "application/json");
            request = request.body(question.to_string());
        }
        let response = request.send().await;
        let response =
            response.map_err(|error| format!("{shown}: {}", chain(&error.without_url())))?;
        if let Some(tokens) = &self.tokens
            && response.status() == StatusCode::UNAUTHORIZED
        {
            tokens.forget().await;
        }
        if response.status() != StatusCode::OK {
            return Err(refused(&response, shown));
        }
        let body = read_body(response, LARGEST_ANSWER).await;
        Ok(body.map_err(|why| format!("{shown}: {why}"))?)
    }
}

fn refused(response: &Response, shown: &str) -> Trouble {
    let status = response.status();
    let advice = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": the bearer token is missing, has expired or lacks a right"
        }
        StatusCode::NOT_FOUND => ": the endpoint is not the one that the provider gave",
        _ => "",
    };
    let seconds = response.headers().get(RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    Trouble {
        why: format!("{shown} answers {status}{advice}"),
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER))),
    }
}
