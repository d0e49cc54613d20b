//! The connection to the servers and its state.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ClientError, ConnectOptions, Event, ServerAddr};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::core::secret::{Secret, Sources};
use crate::revocation::log::engine::{OpenError, login};

use super::config::{Auth, Config, Tls};

/// The client pings the server this often, and gives up after two pings without an answer.
const PING: Duration = Duration::from_secs(5);

/// Messages that may wait in this process. The server's flow control bounds their bytes; with
/// a smaller capacity than this a replay of small messages would lose some and begin again.
const WAITING: usize = 256 * 1024;

/// The state of the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// How often it was lost. Requests that were in flight then get no answer.
    pub(super) losses: u64,
    up: bool,
    /// The last error since the connection was last up.
    pub(super) trouble: Option<String>,
}

/// Begins to connect. Connecting and reconnecting go on in the background.
pub(super) fn connect(config: &Config) -> Result<(Client, watch::Receiver<Link>), OpenError> {
    let (sender, receiver) = watch::channel(Link::default());
    let on_event = move |event: Event| {
        sender.send_modify(|link| note(link, &event));
        std::future::ready(())
    };
    let options = options(config, &config.auth)?
        .retry_on_initial_connect()
        .max_reconnects(None)
        .event_callback(on_event);
    // With `retry_on_initial_connect` this waits for nothing.
    let client = options
        .connect(addresses(config)?)
        .now_or_never()
        .ok_or_else(|| OpenError("the NATS client waits where it should not".to_owned()))?
        .map_err(|error| OpenError(error.to_string()))?;
    Ok((client, receiver))
}

fn note(link: &mut Link, event: &Event) {
    match event {
        Event::Connected => {
            link.up = true;
            link.trouble = None;
        }
        Event::Disconnected => {
            link.up = false;
            link.losses += 1;
        }
        Event::ServerError(error) => link.trouble = Some(error.to_string()),
        Event::ClientError(ClientError::Other(error)) => {
            // The client tells no more than the kind of the error.
            let hint = match error.as_str() {
                "IO error" | "TLS error" => {
                    ": check that a server listens there, whether it wants TLS, and that each side \
                     trusts the other's certificate (tls.ca, tls.cert, tls.key)"
                }
                _ => "",
            };
            link.trouble = Some(format!("{error}{hint}"));
        }
        _ => {}
    }
}

pub(super) fn addresses(config: &Config) -> Result<Vec<ServerAddr>, OpenError> {
    let parse = |server: &String| server.parse::<ServerAddr>();
    let addresses: Result<_, _> = config.servers.iter().map(parse).collect();
    addresses.map_err(|error| OpenError(format!("servers: {error}")))
}

pub(super) fn options(config: &Config, auth: &Auth) -> Result<ConnectOptions, OpenError> {
    let options = ConnectOptions::new()
        .name("portcullis")
        .connection_timeout(config.connect_timeout.0)
        .ping_interval(PING)
        .subscription_capacity(WAITING);
    let options = encrypt(options, &config.tls)?;
    authenticate(options, auth).map_err(OpenError)
}

fn encrypt(mut options: ConnectOptions, tls: &Tls) -> Result<ConnectOptions, OpenError> {
    for file in [&tls.ca, &tls.cert, &tls.key].into_iter().flatten() {
        std::fs::File::open(file)
            .map_err(|error| OpenError(format!("{} cannot be read: {error}", file.display())))?;
    }
    if let Some(ca) = &tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    if tls.handshake_first {
        options = options.tls_first();
    }
    Ok(options.require_tls(tls.required || tls.handshake_first))
}

fn authenticate(options: ConnectOptions, auth: &Auth) -> Result<ConnectOptions, String> {
    let read = |name, given: &Option<Sources>, file: &Option<PathBuf>| {
        let secret = login::read(name, given.as_ref(), file.as_ref());
        secret.map(|secret| login::current(&secret))
    };
    if let Some(user) = &auth.user {
        let password = read("password", &auth.password, &auth.password_file)?;
        return Ok(options.user_and_password(user.clone(), password));
    }
    if auth.token.is_some() || auth.token_file.is_some() {
        return Ok(options.token(read("token", &auth.token, &auth.token_file)?));
    }
    if let Some(file) = &auth.creds_file {
        let creds = login::text(&Secret::from_file(file)?)?;
        // The client looks for the end of the last line, which may have been dropped.
        return options
            .credentials(&format!("{creds}\n"))
            .map_err(|_| unusable(file, "credentials file with a user JWT and an NKey seed"));
    }
    if let Some(file) = &auth.nkey_file {
        let seed = login::text(&Secret::from_file(file)?)?;
        let seed = seed.trim();
        if !seed.starts_with('S') {
            return Err(unusable(file, "NKey seed, which begins with S"));
        }
        return Ok(options.nkey(seed.to_owned()));
    }
    Ok(options)
}

/// Says what a file should hold, and nothing of what it holds.
fn unusable(file: &Path, expected: &str) -> String {
    format!("{} is not a valid {expected}", file.display())
}

/// Returns why the servers cannot be asked now; `None` while the connection is up.
pub(super) fn broken(client: &Client, link: &watch::Receiver<Link>) -> Option<String> {
    let link = link.borrow();
    // The client drops events that it cannot deliver, so it is asked as well.
    if link.up || client.connection_state() == State::Connected {
        return None;
    }
    Some(match &link.trouble {
        Some(trouble) => format!("not connected to NATS: {trouble}"),
        None => "not connected to NATS".to_owned(),
    })
}

/// Waits until the first attempt to connect has succeeded or failed.
pub(super) async fn first_attempt(link: &watch::Receiver<Link>, limit: Duration) {
    let mut link = link.clone();
    let ended = |link: &Link| link.up || link.losses > 0 || link.trouble.is_some();
    let _ = timeout(limit, link.wait_for(ended)).await;
}
