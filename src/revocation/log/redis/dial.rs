//! Finds the server that holds the log and connects to it.
//!
//! One server holds the log at a time, alone or behind sentinels. Knowing it by name lets its
//! settings be checked before it is trusted.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisResult, TlsCertificates,
};

use crate::core::clock::Clock;
use crate::core::secret::{Live, Sources};

use crate::revocation::log::engine::{Fault, login};

use super::address::Server;
use super::config::{Config, Sentinel, Tls};
use super::fault::before_use;
use super::sentinels::find_primary;

/// A file that the configuration names is missing or unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revocations.store.redis: {0}")]
pub struct OpenError(String);

/// Knows the addresses and the credentials.
pub(super) struct Dialer {
    config: Config,
    /// For the servers.
    login: Login,
    /// For the sentinels.
    sentinel_login: Login,
    certificates: Option<TlsCertificates>,
    pub(super) clock: Clock,
}

/// A connection that was not checked yet, and the address of its server.
pub(super) struct Line {
    pub(super) redis: MultiplexedConnection,
    pub(super) server: String,
}

impl Line {
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Fault> {
        let answer = command.query_async(&mut self.redis).await;
        answer.map_err(|error| before_use(&self.server, &error))
    }
}

#[derive(Default)]
struct Login {
    username: Option<String>,
    password: Option<Live>,
}

impl Dialer {
    /// Reads the secret and TLS files.
    pub(super) fn new(config: &Config, clock: &Clock) -> Result<Self, OpenError> {
        let sentinel_login = config.sentinel.as_ref().map(|at| {
            Login::read(
                at.username.as_ref(),
                at.password.as_ref(),
                at.password_file.as_ref(),
            )
        });
        let login = Login::read(
            config.username.as_ref(),
            config.password.as_ref(),
            config.password_file.as_ref(),
        )?;
        let dialer = Self {
            login,
            sentinel_login: sentinel_login.transpose()?.unwrap_or_default(),
            certificates: config.tls.as_ref().map(certificates).transpose()?,
            config: config.clone(),
            clock: clock.clone(),
        };
        dialer.check_certificates()?;
        Ok(dialer)
    }

    /// The certificates are parsed at each connect; a bad file must show at start.
    fn check_certificates(&self) -> Result<(), OpenError> {
        let probe = Server::Tcp {
            host: "localhost".to_owned(),
            port: 0,
        };
        let client = self.client(&probe, RedisConnectionInfo::default());
        client
            .map(drop)
            .map_err(|error| OpenError(format!("tls: {error}")))
    }

    /// Connects to the server that holds the log. `silence` is how long an answer may take.
    pub(super) async fn primary(&self, silence: Duration) -> Result<Line, Fault> {
        let server = match (&self.config.sentinel, &self.config.server) {
            (Some(at), _) => find_primary(self, at).await?,
            (None, Some(server)) => server.clone(),
            (None, None) => return Err(Fault::Down("no server is configured".to_owned())),
        };
        self.connect(&server, &self.login, self.config.database, silence)
            .await
    }

    /// Returns the sentinels, if the primary is found through them.
    pub(super) const fn sentinels(&self) -> Option<&Sentinel> {
        self.config.sentinel.as_ref()
    }

    /// Connects to a sentinel.
    pub(super) async fn sentinel(&self, server: &Server) -> Result<Line, Fault> {
        let patience = self.config.connect_timeout.0;
        self.connect(server, &self.sentinel_login, 0, patience)
            .await
    }

    async fn connect(
        &self,
        server: &Server,
        login: &Login,
        database: u16,
        silence: Duration,
    ) -> Result<Line, Fault> {
        let (name, patience) = (server.to_string(), self.config.connect_timeout.0);
        let client = self
            .client(server, login.info(database))
            .map_err(|error| before_use(&name, &error))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(silence));
        let dialled = client.get_multiplexed_async_connection_with_config(&config);
        // The crate's own limit does not cover each step of the handshake.
        match tokio::time::timeout(patience, dialled).await {
            Ok(Ok(redis)) => Ok(Line {
                redis,
                server: name,
            }),
            Ok(Err(error)) => Err(before_use(&name, &error)),
            Err(_elapsed) => Err(Fault::Down(format!("{name}: no connection in time"))),
        }
    }

    fn client(&self, server: &Server, info: RedisConnectionInfo) -> RedisResult<Client> {
        let address = match server {
            Server::Unix(path) => ConnectionAddr::Unix(path.clone()),
            Server::Tcp { host, port } if self.certificates.is_some() => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Server::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
        };
        let is_tls = matches!(address, ConnectionAddr::TcpTls { .. });
        let info = address
            .into_connection_info()?
            .set_redis_settings(info)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        match &self.certificates {
            Some(certificates) if is_tls => Client::build_with_tls(info, certificates.clone()),
            _ => Client::open(info),
        }
    }
}

impl Login {
    fn read(
        username: Option<&String>,
        password: Option<&Sources>,
        file: Option<&PathBuf>,
    ) -> Result<Self, OpenError> {
        if password.is_none() && file.is_none() {
            return Ok(Self::default());
        }
        let password = login::read("password", password, file).map_err(OpenError)?;
        Ok(Self {
            username: username.cloned(),
            password: Some(password),
        })
    }

    fn info(&self, database: u16) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default()
            .set_db(database.into())
            .set_skip_set_lib_name();
        if let Some(username) = &self.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.password {
            info = info.set_password(login::current(password));
        }
        info
    }
}

fn certificates(tls: &Tls) -> Result<TlsCertificates, OpenError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| {
            OpenError(format!(
                "the TLS file {} cannot be read: {error}",
                path.display()
            ))
        })
    };
    let client_tls = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig {
            client_cert: read(cert)?,
            client_key: read(key)?,
        }),
        _ => None,
    };
    Ok(TlsCertificates {
        client_tls,
        root_cert: tls.ca.as_ref().map(read).transpose()?,
    })
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}
