//! The other replicas, and how they are asked.

mod config;

use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use super::state::Status;
use crate::core::units::Bytes;
use crate::net::{Access, Clients, Files, chain, read_body, safe_url, without_query};

pub use config::ReplicasConfig;

/// How long a replica may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer.
const LARGEST: Bytes = Bytes::mib(1);

/// The other replicas.
#[derive(Debug)]
pub struct Peers {
    pub(super) all: Vec<Peer>,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) shown: String,
    url: Url,
    access: Access,
}

impl Peers {
    /// Builds from a checked configuration. Files are read at each request.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn build(config: &ReplicasConfig) -> Result<Self, String> {
        if config.urls.is_empty() {
            return Ok(Self { all: Vec::new() });
        }
        let failed = |why: String| format!("admin.replicas: {why}");
        let clients = Clients::new().map_err(failed)?;
        let peers = config.urls.iter().map(|url| {
            let base = safe_url(url, config.insecure).map_err(failed)?;
            let mut url = base.clone();
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["v1", "status"]);
            }
            let files = Files {
                ca: config.ca_file.clone(),
                bearer: config.credentials_file.clone(),
                ..Files::default()
            };
            Ok(Peer {
                shown: without_query(&base),
                access: Access::new(files, &url, clients.clone()),
                url,
            })
        });
        let all = peers.collect::<Result<_, String>>()?;
        Ok(Self { all })
    }
}

impl Peer {
    /// Asks for the state of the replica.
    ///
    /// # Errors
    /// Why it is not known, and what to do.
    pub(super) async fn status(&self) -> Result<Status, String> {
        let asked = tokio::time::timeout(PATIENCE, self.ask()).await;
        asked.unwrap_or_else(|_| Err(format!("it did not answer within {PATIENCE:?}")))
    }

    async fn ask(&self) -> Result<Status, String> {
        let request = self.access.request(Method::GET, self.url.clone()).await?;
        let response = request.send().await;
        let response = response
            .map_err(|error| format!("it does not answer: {}", chain(&error.without_url())))?;
        let status = response.status();
        if let StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN = status {
            return Err(format!(
                "it answers {status}; admin.replicas.credentials_file must hold a secret of its admin.credentials"
            ));
        }
        if !status.is_success() {
            return Err(format!("it answers {status}"));
        }
        let body = read_body(response, LARGEST).await?;
        serde_json::from_slice(&body)
            .map_err(|_| "its answer is not the state of a replica".to_owned())
    }
}
