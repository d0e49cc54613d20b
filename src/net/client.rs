//! HTTP requests to providers: which authorities vouch for a server, and how we identify to it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Method, RequestBuilder, Response};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use url::form_urlencoded::byte_serialize;
use url::{Origin, Url};

use super::safe_url::is_loopback;
use crate::core::units::Bytes;

/// A fetch with more redirects fails.
const MOST_REDIRECTS: usize = 3;

/// The clients that all requests share, unless a server needs one of its own.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    /// Goes through the proxy that `HTTPS_PROXY` and its like name.
    usual: Client,
    direct: Client,
}

impl Clients {
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, String> {
        let failed = |error| format!("the HTTP client cannot be set up: {error}");
        Ok(Self {
            usual: client().build().map_err(failed)?,
            direct: client().no_proxy().build().map_err(failed)?,
        })
    }
}

/// Returns a client builder with what every fetch needs.
fn client() -> ClientBuilder {
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

/// The texts of the authorities, and of the certificate and its key.
type Contents = [Option<Vec<u8>>; 2];

/// The files of an [`Access`]. They are read again at each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// The authorities that may vouch for the server, in place of those that the system trusts. In PEM,
    /// as the others.
    pub ca: Option<PathBuf>,
    /// A certificate that is shown to the server, with its chain.
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// A bearer token, which only the configured server gets.
    pub bearer: Option<PathBuf>,
}

/// The access to one server.
#[derive(Debug)]
pub(crate) struct Access {
    clients: Clients,
    ca_file: Option<PathBuf>,
    /// The files of a certificate and its key.
    client_files: Option<[PathBuf; 2]>,
    /// The file of a bearer token, and the only server that gets it.
    bearer: Option<(PathBuf, Origin)>,
    /// The client with the contents of the files that it was built from.
    built: Mutex<Option<(Contents, Client)>>,
}

impl Access {
    /// `url` is the configured address.
    #[must_use]
    pub(crate) fn new(files: Files, url: &Url, clients: Clients) -> Self {
        let client_files = files.client_cert.zip(files.client_key);
        Self {
            clients,
            ca_file: files.ca,
            client_files: client_files.map(<[PathBuf; 2]>::from),
            bearer: files.bearer.map(|path| (path, url.origin())),
            built: Mutex::default(),
        }
    }

    /// Begins a request.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub(crate) async fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, String> {
        let client = if stays_here(&url) {
            self.clients.direct.clone()
        } else if self.ca_file.is_some() || self.client_files.is_some() {
            self.own_client().await?
        } else {
            self.clients.usual.clone()
        };
        let origin = url.origin();
        let request = client.request(method, url);
        match &self.bearer {
            Some((path, of)) if *of == origin => {
                Ok(request.header(AUTHORIZATION, bearer_token(path).await?))
            }
            _ => Ok(request),
        }
    }

    /// Reads the files, and builds a new client if they changed.
    async fn own_client(&self) -> Result<Client, String> {
        let mut contents = Contents::default();
        if let Some(path) = &self.ca_file {
            contents[0] = Some(read_pem(path).await?);
        }
        if let Some([cert, key]) = &self.client_files {
            contents[1] = Some([read_pem(cert).await?, read_pem(key).await?].join(&b'\n'));
        }
        let mut built = self.built.lock().await;
        if let Some((of, client)) = &*built
            && *of == contents
        {
            return Ok(client.clone());
        }
        let mut builder = client();
        if let (Some(path), Some(pem)) = (&self.ca_file, &contents[0]) {
            builder = builder.tls_certs_only(authorities(path, pem)?);
        }
        if let (Some([path, _]), Some(pem)) = (&self.client_files, &contents[1]) {
            let identity = Identity::from_pem(pem).map_err(|error| {
                let path = path.display();
                format!("{path} and its key cannot be used: {}", chain(&error))
            });
            builder = builder.identity(identity?);
        }
        let client = builder
            .build()
            .map_err(|error| format!("the TLS files cannot be used: {}", chain(&error)))?;
        *built = Some((contents, client.clone()));
        Ok(client)
    }
}

/// Plain http to this machine must not go through a proxy, which would carry it over the network and
/// answer from its own loopback.
fn stays_here(url: &Url) -> bool {
    url.scheme() == "http" && is_loopback(url)
}

async fn read_pem(path: &Path) -> Result<Vec<u8>, String> {
    read_file(path, Bytes::mib(1)).await
}

/// Reads the certificates of a bundle.
///
/// # Errors
/// When `pem` holds none, for people.
pub(crate) fn authorities(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let path = path.display();
    let found = Certificate::from_pem_bundle(pem)
        .map_err(|error| format!("{path} cannot be used: {}", chain(&error)))?;
    if found.is_empty() {
        return Err(format!("{path} holds no PEM certificate"));
    }
    Ok(found)
}

/// Returns the header `Authorization` by which a client authenticates at its authorization server with a secret: both
/// are form-encoded first (RFC 6749 §2.3.1).
#[must_use]
pub(crate) fn client_basic(id: &str, secret: &str) -> HeaderValue {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(id), encode(secret));
    let value = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(value).expect("base64 fits a header");
    value.set_sensitive(true);
    value
}

async fn bearer_token(path: &Path) -> Result<HeaderValue, String> {
    let token = read_file(path, Bytes::kib(64)).await?;
    let value = [b"Bearer ", token.trim_ascii()].concat();
    let mut value = HeaderValue::from_bytes(&value)
        .map_err(|_| format!("{} holds no bearer token", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a file of limited size.
///
/// # Errors
/// When it cannot be read or is larger, for people.
pub(crate) async fn read_file(path: &Path, max_size: Bytes) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(fail)?;
    let mut text = Vec::new();
    let mut bounded = file.take(max_size.0 + 1);
    bounded.read_to_end(&mut text).await.map_err(fail)?;
    if text.len() > max_size.len() {
        return Err(format!("{} is larger than {max_size}", path.display()));
    }
    Ok(text)
}

/// Reads the body of a response, of at most `max_size` bytes after decompression.
///
/// # Errors
/// What went wrong, for people.
pub(crate) async fn read_body(mut response: Response, max_size: Bytes) -> Result<Vec<u8>, String> {
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

/// Returns an error's text with its causes: reqwest's own text ends at "error sending request".
#[must_use]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_to_this_machine_passes_no_proxy() {
        let direct = |url: &str| stays_here(&Url::parse(url).unwrap());
        for url in ["http://127.0.0.1:1/", "http://[::1]/", "http://localhost/"] {
            assert!(direct(url), "{url}");
        }
        for url in [
            "https://127.0.0.1/",
            "https://id.example.com/",
            "http://10.0.0.1/",
        ] {
            assert!(!direct(url), "{url}");
        }
    }
}
