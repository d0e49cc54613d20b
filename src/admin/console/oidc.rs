//! Login at an issuer: the authorization code flow (OpenID Connect Core §3.1) with PKCE (RFC 7636).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode, header};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::admin::config::{LoginConfig, check_client_secret};
use crate::admin::refused::Refused;
use crate::core::reason::Fault;
use crate::core::secret::{Encoding, Live, Secret, Sources};
use crate::core::units::Bytes;
use crate::net::{Access, Clients, Files, chain, client_basic, read_body, safe_url, without_query};
use crate::verify::{Algorithm, Verifier};

const LARGEST_ANSWER: Bytes = Bytes::kib(256);
const PATIENCE: Duration = Duration::from_secs(10);

/// The issuer where operators log in, as its client.
#[derive(Debug)]
pub(in crate::admin) struct Login {
    config: LoginConfig,
    secret: Option<Live>,
    issuer: Url,
    access: Access,
}

/// A login under way: what only this process and the issuer know.
#[derive(Debug)]
pub(in crate::admin) struct Begun {
    pub(in crate::admin) state: String,
    nonce: String,
    verifier: Secret,
    token_endpoint: Url,
}

/// OpenID Connect Discovery §3, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
}

/// OpenID Connect Core §3.1.3.3.
#[derive(Deserialize)]
struct Tokens {
    access_token: Secret,
    id_token: Secret,
}

impl Login {
    /// Reads the secret of a checked configuration.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(in crate::admin) fn build(config: &LoginConfig) -> Result<Self, String> {
        let read = |given| {
            let sources = Sources::of("client_secret", Some(given), None)?;
            Live::read(sources, Encoding::Plain, Box::new(check_client_secret))
        };
        let issuer = safe_url(&config.issuer, false).map_err(|why| format!("issuer {why}"))?;
        let files = Files {
            ca: config.ca_file.clone(),
            ..Files::default()
        };
        Ok(Self {
            secret: config.client_secret.as_ref().map(read).transpose()?,
            access: Access::new(files, &issuer, Clients::new()?),
            issuer,
            config: config.clone(),
        })
    }

    pub(in crate::admin) fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Returns whether browsers reach the console over HTTPS.
    pub(in crate::admin) fn is_https(&self) -> bool {
        self.config.redirect_uri.starts_with("https:")
    }

    /// Begins a login. Returns the address that the browser has to visit.
    pub(in crate::admin) async fn begin(&self) -> Result<(Begun, Url), Refused> {
        let mut document = self.issuer.clone();
        let path = document.path().trim_end_matches('/').to_owned();
        document.set_path(&format!("{path}/.well-known/openid-configuration"));
        let request = self.access.request(Method::GET, document).await;
        let metadata: Metadata = answered(request).await?;
        if metadata.issuer != self.config.issuer {
            return Err(failed("its metadata is about another issuer"));
        }
        let [authorization, token_endpoint] =
            [metadata.authorization_endpoint, metadata.token_endpoint].map(|url| self.safe(&url));
        let begun = Begun {
            state: random(),
            nonce: random(),
            verifier: Secret::new(random()),
            token_endpoint: token_endpoint?,
        };
        let challenge = digest(&SHA256, begun.verifier.expose());
        let mut scopes = vec!["openid"];
        let others = self.config.scopes.iter().map(String::as_str);
        scopes.extend(others.filter(|scope| *scope != "openid"));
        let mut url = authorization?;
        url.query_pairs_mut()
            .extend_pairs(&self.config.parameters)
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &*self.config.client_id),
                ("redirect_uri", &*self.config.redirect_uri),
                ("scope", &*scopes.join(" ")),
                ("state", &*begun.state),
                ("nonce", &*begun.nonce),
                ("code_challenge", &*URL_SAFE_NO_PAD.encode(challenge)),
                ("code_challenge_method", "S256"),
            ]);
        Ok((begun, url))
    }

    /// Exchanges the code for tokens. Returns the access token, which the caller has to judge, and the subject
    /// of the ID token.
    pub(in crate::admin) async fn finish(
        &self,
        begun: Begun,
        code: &str,
        keys: &Verifier,
    ) -> Result<(Secret, String), Refused> {
        let request = self
            .access
            .request(Method::POST, begun.token_endpoint.clone());
        let request = self.identified(request.await.map_err(|why| failed(&why))?, &begun, code);
        let tokens: Tokens = answered(Ok(request)).await?;
        let subject = self.subject(&tokens.id_token, &begun.nonce, keys).await?;
        Ok((tokens.access_token, subject))
    }

    /// Adds the form, and who we are.
    fn identified(&self, request: RequestBuilder, begun: &Begun, code: &str) -> RequestBuilder {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let mut form = Serializer::new(String::new());
        form.extend_pairs([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &*self.config.redirect_uri),
            ("code_verifier", &*text(&begun.verifier)),
        ]);
        let secret = self
            .secret
            .as_ref()
            .and_then(|live| live.now().into_iter().next());
        let request = match secret {
            None => {
                form.append_pair("client_id", &self.config.client_id);
                request
            }
            Some(secret) => {
                let value = client_basic(&self.config.client_id, &text(&secret));
                request.header(header::AUTHORIZATION, value)
            }
        };
        let kind = "application/x-www-form-urlencoded";
        request
            .header(header::CONTENT_TYPE, kind)
            .body(form.finish())
    }

    /// Judges an ID token (OpenID Connect Core §3.1.3.7) and returns its subject.
    async fn subject(
        &self,
        id_token: &Secret,
        nonce: &str,
        keys: &Verifier,
    ) -> Result<String, Refused> {
        let text = std::str::from_utf8(id_token.expose()).unwrap_or_default();
        let opened = keys.open(&self.config.issuer, text, &Algorithm::ALL).await;
        let payload = opened.map_err(|reason| match reason.fault() {
            Fault::Portcullis => Refused::unavailable(format!(
                "the ID token cannot be judged now: {reason}; try again"
            )),
            _ => wrong("its signature"),
        })?;
        let claims: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let own = &*self.config.client_id;
        let audiences = match &claims["aud"] {
            Value::Array(audiences) => audiences.iter().collect(),
            one => vec![one],
        };
        let is_alone = audiences.len() == 1 && claims["azp"].is_null();
        let now = keys.clock().now().seconds();
        let checks = [
            ("iss", claims["iss"] == self.config.issuer),
            ("aud", audiences.into_iter().any(|audience| audience == own)),
            ("azp", is_alone || claims["azp"] == own),
            ("exp", claims["exp"].as_u64().is_some_and(|exp| exp > now)),
            ("nonce", claims["nonce"] == nonce),
        ];
        if let Some((claim, _)) = checks.iter().find(|(_, holds)| !holds) {
            return Err(wrong(claim));
        }
        let subject = claims["sub"].as_str().filter(|subject| !subject.is_empty());
        subject.map(str::to_owned).ok_or_else(|| wrong("sub"))
    }

    /// Reads an address that the issuer names. An issuer that is asked over https names no other.
    fn safe(&self, url: &str) -> Result<Url, Refused> {
        let url = safe_url(url, false).map_err(|why| failed(&format!("an endpoint {why}")))?;
        if url.scheme() != self.issuer.scheme() && url.scheme() != "https" {
            return Err(failed("its endpoints must be https, as it is"));
        }
        Ok(url)
    }
}

/// Returns 256 random bits as text that fits a URL.
pub(in crate::admin) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn wrong(what: &str) -> Refused {
    let why = format!("the ID token of the issuer is not good: {what}");
    Refused::new(StatusCode::UNAUTHORIZED, why)
}

fn failed(why: &str) -> Refused {
    tracing::warn!(
        why,
        "the issuer of admin.login does not answer as it should"
    );
    Refused::unavailable("the issuer does not answer as it should; the log says why")
}

/// Sends a request and reads its answer.
async fn answered<T: DeserializeOwned>(
    request: Result<RequestBuilder, String>,
) -> Result<T, Refused> {
    let work = async {
        let request = request?.header(header::ACCEPT, "application/json");
        let response = request.send().await;
        let response = response.map_err(|error| chain(&error.without_url()))?;
        let shown = without_query(response.url());
        if response.status() != StatusCode::OK {
            return Err(format!("{shown} answers {}", response.status()));
        }
        let body = read_body(response, LARGEST_ANSWER).await?;
        serde_json::from_slice(&body).map_err(|_| format!("{shown} answers with something else"))
    };
    let answer = tokio::time::timeout(PATIENCE, work).await;
    let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
    answer.map_err(|why| failed(&why))
}
