//! Everything at once: provider, Portcullis, both proxies, back end.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::backend::Backend;
use super::envoy::Envoy;
use super::http::{Call, Reply};
use super::idp::Idp;
use super::portcullis::{Portcullis, fusionauth_event};
use super::proxy::{Proxy, Running};

/// The ways in. Most promises hold on each: `for door in Door::ALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Envoy,
    Nginx,
}

impl Door {
    pub(crate) const ALL: [Self; 2] = [Self::Envoy, Self::Nginx];
}

/// Fields are dropped in this order: the proxies before what they talk to.
pub(crate) struct World {
    pub(crate) envoy: Envoy,
    pub(crate) nginx: Running,
    pub(crate) portcullis: Portcullis,
    pub(crate) backend: Backend,
    pub(crate) idp: Idp,
    pub(crate) home: TempDir,
}

/// What to change before the world begins.
pub(crate) struct WorldBuilder {
    idp: Idp,
    home: TempDir,
    config: Value,
    wait_until_ready: bool,
}

impl World {
    /// Everything up and ready.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    pub(crate) fn builder() -> WorldBuilder {
        let idp = Idp::start();
        let home = TempDir::new().unwrap();
        let config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
        WorldBuilder {
            idp,
            home,
            config,
            wait_until_ready: true,
        }
    }

    pub(crate) fn edge(&self, door: Door) -> SocketAddr {
        match door {
            Door::Envoy => self.envoy.edge,
            Door::Nginx => self.nginx.edge,
        }
    }

    /// Sends a request the way a client would.
    pub(crate) async fn send(&self, door: Door, call: Call) -> Reply {
        call.send(self.edge(door)).await
    }

    /// `GET /orders` with a token.
    pub(crate) async fn orders(&self, door: Door, token: &str) -> Reply {
        self.send(door, Call::get("/orders").bearer(token)).await
    }

    /// Locks a user: `user.deactivate`, delivered and acknowledged.
    pub(crate) async fn deactivate(&self, subject: &str) {
        let event = fusionauth_event("user.deactivate", json!({ "user": { "id": subject } }));
        let reply = self.portcullis.webhook(&event).await;
        assert!(
            (200..300).contains(&reply.status),
            "{} {}",
            reply.status,
            reply.text()
        );
    }
}

impl WorldBuilder {
    /// Where everything of this world lies.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Changes Portcullis' configuration.
    pub(crate) fn config(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the provider, before anybody fetches its keys.
    pub(crate) fn idp(mut self, change: impl FnOnce(&mut Idp)) -> Self {
        change(&mut self.idp);
        self
    }

    /// Starts everything but does not wait until Portcullis is ready.
    pub(crate) fn unready(mut self) -> Self {
        self.wait_until_ready = false;
        self
    }

    pub(crate) async fn start(self) -> World {
        let Self {
            idp,
            home,
            config,
            wait_until_ready,
        } = self;
        let backend = Backend::start();
        let portcullis = Portcullis::start(home.path(), config).await;
        if wait_until_ready {
            portcullis.ready().await;
        }
        let authz = portcullis.socket();
        let envoy = Envoy::start(home.path(), &authz, backend.0.address).await;
        let pinned = portcullis.pinned();
        let nginx = Running::start(Proxy::Nginx, home.path(), &pinned, backend.0.address).await;
        World {
            envoy,
            nginx,
            portcullis,
            backend,
            idp,
            home,
        }
    }
}
