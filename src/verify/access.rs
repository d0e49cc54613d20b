//! How an issuer's server is reached: what it is trusted by, and what it is shown.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, Digest, SHA256};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Certificate, Client, Identity, RequestBuilder};
use tokio::sync::Mutex;
use url::{Origin, Url};

use super::fetch::{chain, client, is_loopback};
use super::key_config::JwksConfig;
use super::origin::read_file;
use crate::core::units::Bytes;

/// The clients that all issuers share.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    /// Goes through the proxy that `HTTPS_PROXY` and its like name.
    usual: Client,
    direct: Client,
}

impl Clients {
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new() -> Result<Self, String> {
        let sound = |error| format!("the HTTP client cannot be set up: {error}");
        Ok(Self {
            usual: client().build().map_err(sound)?,
            direct: client().no_proxy().build().map_err(sound)?,
        })
    }
}

/// The access to one issuer's server.
#[derive(Debug)]
pub(super) struct Access {
    clients: Clients,
    ca_file: Option<PathBuf>,
    /// The files of a certificate and its key.
    client_files: Option<[PathBuf; 2]>,
    /// The file of a bearer token, and whom it is for.
    bearer: Option<(PathBuf, Origin)>,
    /// The client that was made of the files, and their digest.
    made: Mutex<Option<(Vec<u8>, Client)>>,
}

impl Access {
    /// `url` is the configured address.
    pub(super) fn new(config: &JwksConfig, url: &Url, clients: Clients) -> Self {
        let client_files = (config.client_cert_file.clone()).zip(config.client_key_file.clone());
        let bearer = config.bearer_token_file.clone();
        Self {
            clients,
            ca_file: config.ca_file.clone(),
            client_files: client_files.map(<[PathBuf; 2]>::from),
            bearer: bearer.map(|path| (path, url.origin())),
            made: Mutex::default(),
        }
    }

    /// Begins a request.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub(super) async fn get(&self, url: Url) -> Result<RequestBuilder, String> {
        let client = if stays_here(&url) {
            self.clients.direct.clone()
        } else if self.ca_file.is_some() || self.client_files.is_some() {
            self.own_client().await?
        } else {
            self.clients.usual.clone()
        };
        let bearer = self.bearer.as_ref();
        let bearer = bearer.filter(|(_, origin)| *origin == url.origin());
        let request = client.get(url);
        match bearer {
            Some((path, _)) => Ok(request.header(AUTHORIZATION, bearer_token(path).await?)),
            None => Ok(request),
        }
    }

    /// The files are read each time, and a new client is made when they changed.
    async fn own_client(&self) -> Result<Client, String> {
        let ca = match &self.ca_file {
            Some(path) => Some((path, read_pem(path).await?)),
            None => None,
        };
        let identity = match &self.client_files {
            Some([cert, key]) => {
                let pem = [read_pem(cert).await?, read_pem(key).await?].join(&b'\n');
                Some((cert, pem))
            }
            None => None,
        };
        let digest = digest([&ca, &identity].map(|file| file.as_ref().map(|(_, pem)| &**pem)));
        let mut made = self.made.lock().await;
        if let Some((of, client)) = &*made
            && of == digest.as_ref()
        {
            return Ok(client.clone());
        }
        let mut builder = client();
        if let Some((path, pem)) = &ca {
            builder = builder.tls_certs_only(authorities(path, pem)?);
        }
        if let Some((path, pem)) = &identity {
            let identity = Identity::from_pem(pem);
            builder = builder.identity(identity.map_err(|error| {
                let path = path.display();
                format!("{path} and its key cannot be used: {}", chain(&error))
            })?);
        }
        let client = builder
            .build()
            .map_err(|error| format!("the TLS files cannot be used: {}", chain(&error)))?;
        *made = Some((digest.as_ref().to_vec(), client.clone()));
        Ok(client)
    }
}

/// Plain http to this very machine is safe only while it stays here: a proxy would send it over
/// the network, and answer from its own loopback.
fn stays_here(url: &Url) -> bool {
    url.scheme() == "http" && is_loopback(url)
}

async fn read_pem(path: &Path) -> Result<Vec<u8>, String> {
    read_file(path, Bytes::mib(1)).await
}

fn digest(parts: [Option<&[u8]>; 2]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        let length = part.map_or(0, <[u8]>::len);
        context.update(&length.to_be_bytes());
        context.update(part.unwrap_or_default());
    }
    context.finish()
}

fn authorities(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let path = path.display();
    let found = Certificate::from_pem_bundle(pem)
        .map_err(|error| format!("{path} cannot be used: {}", chain(&error)))?;
    if found.is_empty() {
        return Err(format!("{path} holds no PEM certificate"));
    }
    Ok(found)
}

async fn bearer_token(path: &Path) -> Result<HeaderValue, String> {
    let token = read_file(path, Bytes::kib(64)).await?;
    let value = [b"Bearer ", token.trim_ascii()].concat();
    let mut value = HeaderValue::from_bytes(&value)
        .map_err(|_| format!("{} holds no bearer token", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
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
