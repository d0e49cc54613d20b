//! Connects to servers and sentinels.

use std::path::PathBuf;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo,
    RedisConnectionInfo, RedisResult, TlsCertificates,
};

use crate::core::clock::Clock;
use crate::core::secret::{Live, Sources};

use crate::revocation::log::engine::{Fault, OpenError, login};

use super::address::Server;
use super::config::{Config, Sentinel, Tls};
use super::connection::Connection;
use super::fault::{before_use, in_use};

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

    /// Connects to a server that may hold the log. `silence` is how long an answer may take.
    pub(super) async fn server(
        &self,
        server: &Server,
        silence: Duration,
    ) -> Result<Connection, Fault> {
        let database = self.config.database;
        self.connect(server, &self.login, database, silence).await
    }

    /// Returns the sentinels, if the primary is found through them.
    pub(super) const fn sentinels(&self) -> Option<&Sentinel> {
        self.config.sentinel.as_ref()
    }

    /// Connects to a sentinel.
    pub(super) async fn sentinel(&self, server: &Server) -> Result<Connection, Fault> {
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
    ) -> Result<Connection, Fault> {
        let (name, patience) = (server.to_string(), self.config.connect_timeout.0);
        let client = self
            .client(server, login.info(database))
            .map_err(|error| before_use(in_use(&name, &error)))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(silence));
        let dialled = client.get_multiplexed_async_connection_with_config(&config);
        // The crate's own limit does not cover each step of the handshake.
        match tokio::time::timeout(patience, dialled).await {
            Ok(Ok(redis)) => Ok(Connection::new(redis, name)),
            Ok(Err(error)) => Err(before_use(in_use(&name, &error))),
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
