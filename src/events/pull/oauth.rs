//! An access token for the API of a provider, by client credentials (RFC 6749 §4.4).

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::core::config_error::ConfigErrors;
use crate::core::secret::Secret;
use crate::core::units::Bytes;
use crate::net::{
    Access, Clients, Files, chain, client_basic, read_body, read_file, safe_url, without_query,
};

const LARGEST_ANSWER: Bytes = Bytes::kib(256);

/// A token is replaced this long before it expires, or after three quarters of a short life.
const MARGIN: Duration = Duration::from_secs(30);

/// The life of a token whose answer has no `expires_in`, in seconds.
const UNSTATED_LIFE: u64 = 60;

/// Gets access tokens by client credentials (RFC 6749 §4.4). A token is used until shortly before it
/// expires.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The token endpoint: https, or http to this very machine.
    pub token_endpoint: String,
    /// The id of the client.
    pub client_id: String,
    /// A file that holds the secret of the client. It is read again for each token.
    pub client_secret_file: PathBuf,
    /// How the client shows its secret.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// The `scope` to ask for, if the provider wants one.
    #[serde(default)]
    pub scope: Option<String>,
}

/// How a client shows its secret (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// By HTTP Basic.
    #[default]
    ClientSecretBasic,
    /// By parameters of the body.
    ClientSecretPost,
}

impl Config {
    pub(super) fn check(&self, insecure: bool, errors: &mut ConfigErrors) {
        if let Err(why) = safe_url(&self.token_endpoint, insecure) {
            errors.push("token_endpoint", why);
        }
        if self.client_id.is_empty() {
            errors.push("client_id", "must not be empty");
        }
    }

    /// # Errors
    /// When the address is not safe.
    pub(super) fn build(
        &self,
        files: Files,
        clients: Clients,
        insecure: bool,
    ) -> Result<Tokens, String> {
        let url = safe_url(&self.token_endpoint, insecure);
        let url = url.map_err(|why| format!("oauth.token_endpoint: {why}"))?;
        Ok(Tokens {
            access: Access::new(files, &url, clients),
            config: self.clone(),
            url,
            current: Mutex::default(),
        })
    }
}

/// Where the tokens of one client come from.
#[derive(Debug)]
pub(super) struct Tokens {
    access: Access,
    url: Url,
    config: Config,
    /// The header of the current token, and when to replace it.
    current: Mutex<Option<(HeaderValue, Instant)>>,
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    token_type: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// Returns the header `Authorization` for a request to the API.
    ///
    /// # Errors
    /// Why there is no token, for operators.
    pub(super) async fn authorization(&self) -> Result<HeaderValue, String> {
        let mut current = self.current.lock().await;
        if let Some((header, until)) = &*current
            && Instant::now() < *until
        {
            return Ok(header.clone());
        }
        let asked = Instant::now();
        let answer = self.ask().await?;
        let life = Duration::from_secs(answer.expires_in.unwrap_or(UNSTATED_LIFE));
        let header = bearer(&answer.access_token).filter(|_| is_bearer(&answer.token_type));
        let header = header.ok_or_else(|| format!("{} gives no bearer token", self.shown()))?;
        let until = asked + life.saturating_sub(MARGIN.min(life / 4));
        *current = Some((header.clone(), until));
        Ok(header)
    }

    /// Forgets the token, which the API does not take.
    pub(super) async fn forget(&self) {
        *self.current.lock().await = None;
    }

    async fn ask(&self) -> Result<Answer, String> {
        let shown = self.shown();
        let request = self.access.request(Method::POST, self.url.clone()).await?;
        let request = self.identified(request).await?;
        let response = request.header(ACCEPT, "application/json").send().await;
        let response =
            response.map_err(|error| format!("{shown}: {}", chain(&error.without_url())))?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => {
                return Err(format!(
                    "{shown} answers {status}: the client or its secret is wrong, or the client may not \
                     use client credentials"
                ));
            }
            _ => return Err(format!("{shown} answers {status}")),
        }
        let body = read_body(response, LARGEST_ANSWER).await;
        let body = body.map_err(|why| format!("{shown}: {why}"))?;
        serde_json::from_slice(&body)
            .map_err(|_| format!("{shown} answers no access token (RFC 6749 §5.1)"))
    }

    /// Adds the form, and who we are.
    async fn identified(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let (config, path) = (&self.config, &self.config.client_secret_file);
        let secret = Secret::new(read_file(path, Bytes::kib(64)).await?.trim_ascii());
        let text = std::str::from_utf8(secret.expose())
            .map_err(|_| format!("{} holds no client secret", path.display()))?;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = &config.scope {
            form.append_pair("scope", scope);
        }
        let request = match config.client_auth {
            ClientAuth::ClientSecretPost => {
                form.append_pair("client_id", &config.client_id);
                form.append_pair("client_secret", text);
                request
            }
            ClientAuth::ClientSecretBasic => {
                request.header(AUTHORIZATION, client_basic(&config.client_id, text))
            }
        };
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        Ok(request.body(form.finish()))
    }

    fn shown(&self) -> String {
        without_query(&self.url)
    }
}

fn is_bearer(token_type: &str) -> bool {
    token_type.eq_ignore_ascii_case("bearer")
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
