//! The connection: how it is made, and what is known about its state.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::core::secret::Secret;

use super::config::{Auth, Config, Tls};
use super::{OpenError, pause};

/// The client asks whether the server is still there this often, and gives up after two silences.
const PING: Duration = Duration::from_secs(5);

/// Messages that may wait in this process. The server's flow control bounds their bytes; with
/// fewer places than this a replay of small messages would lose some and begin again.
const WAITING: usize = 256 * 1024;

/// The reason of a failure is sought no more often than this.
const SEEK_AGAIN: Duration = Duration::from_secs(30);

/// What the connection went through.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// How often it was lost. Requests that were under way then get no answer.
    pub(super) losses: u64,
    up: bool,
    /// The last complaint since it was last up.
    pub(super) trouble: Option<String>,
    /// When the reason of a failure was last sought.
    sought: Option<Instant>,
}

/// Begins to connect, and goes on in the background for ever.
pub(super) fn connect(config: &Config) -> Result<(Client, watch::Receiver<Link>), OpenError> {
    let (sender, receiver) = watch::channel(Link::default());
    let sender = Arc::new(sender);
    let asked = config.clone();
    let on_event = move |event: Event| {
        sender.send_modify(|link| note(link, &event));
        if matches!(event, Event::ClientError(_)) {
            seek_reason(&asked, &sender);
        }
        std::future::ready(())
    };
    let options = options(config, &config.auth)?
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            pause(
                u32::try_from(attempts)
                    .unwrap_or(u32::MAX)
                    .saturating_sub(1),
            )
        })
        .event_callback(on_event);
    let servers = addresses(config)?;
    // With `retry_on_initial_connect` this waits for nothing.
    let client = options
        .connect(servers)
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
            link.sought = None;
        }
        Event::Disconnected => {
            link.up = false;
            link.losses += 1;
        }
        Event::ServerError(error) => link.trouble = Some(error.to_string()),
        _ => {}
    }
}

/// The client tells no more than the kind of a failed attempt, such as "IO error". One more
/// attempt beside it tells the reason, such as a certificate that is not trusted.
fn seek_reason(config: &Config, link: &Arc<watch::Sender<Link>>) {
    let is_due = |link: &mut Link| {
        let due = link.sought.is_none_or(|at| at.elapsed() >= SEEK_AGAIN);
        if due {
            link.sought = Some(Instant::now());
        }
        due
    };
    if !link.send_if_modified(is_due) {
        return;
    }
    let (config, link) = (config.clone(), Arc::clone(link));
    tokio::spawn(async move {
        let Some(reason) = reason(&config).await else {
            return;
        };
        link.send_modify(|link| {
            if !link.up {
                link.trouble = Some(reason);
            }
        });
    });
}

/// Why no server takes us; `None` when one does.
async fn reason(config: &Config) -> Option<String> {
    let options = options(config, &config.auth).map_err(|error| error.0);
    let (options, servers) = match (options, addresses(config)) {
        (Ok(options), Ok(servers)) => (options, servers),
        (Err(why), _) | (_, Err(OpenError(why))) => return Some(why),
    };
    let failed = options.connect(servers).await.err()?.to_string();
    // What rustls says of an answer in the clear.
    let is_clear = failed.contains("InvalidContentType");
    Some(if is_clear {
        format!("the server does not encrypt: {failed}")
    } else {
        failed
    })
}

pub(super) fn addresses(config: &Config) -> Result<Vec<ServerAddr>, OpenError> {
    let parse = |server: &String| server.parse::<ServerAddr>();
    let addresses: Result<_, _> = config.servers.iter().map(parse).collect();
    addresses.map_err(|error| OpenError(format!("revocations.store.nats.servers: {error}")))
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
    if let Some(user) = &auth.user {
        let password = Secret::resolve(
            "revocations.store.nats.auth.password",
            auth.password.as_ref(),
            auth.password_file.as_ref(),
        )?;
        return Ok(options.user_and_password(user.clone(), text(&password)?));
    }
    if auth.token.is_some() || auth.token_file.is_some() {
        let token = Secret::resolve(
            "revocations.store.nats.auth.token",
            auth.token.as_ref(),
            auth.token_file.as_ref(),
        )?;
        return Ok(options.token(text(&token)?));
    }
    if let Some(file) = &auth.creds_file {
        let creds = text(&Secret::from_file(file)?)?;
        // The client looks for the end of the last line, which may have been dropped.
        return options
            .credentials(&format!("{creds}\n"))
            .map_err(|_| unusable(file, "credentials file with a user JWT and an NKey seed"));
    }
    if let Some(file) = &auth.nkey_file {
        let seed = text(&Secret::from_file(file)?)?;
        let seed = seed.trim();
        if !seed.starts_with('S') {
            return Err(unusable(file, "NKey seed, which begins with S"));
        }
        return Ok(options.nkey(seed.to_owned()));
    }
    Ok(options)
}

/// Says what a file should be and nothing of what it is.
fn unusable(file: &Path, expected: &str) -> String {
    format!("{} is no {expected}", file.display())
}

fn text(secret: &Secret) -> Result<String, String> {
    String::from_utf8(secret.expose().to_vec())
        .map_err(|_| "a secret for NATS is not UTF-8 text".to_owned())
}

/// Why nothing can be asked right now; `None` while the connection is up.
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

/// Waits until the first attempt to connect has ended, well or badly.
pub(super) async fn first_attempt(link: &watch::Receiver<Link>, limit: Duration) {
    let mut link = link.clone();
    let ended = |link: &Link| link.up || link.losses > 0 || link.trouble.is_some();
    let _ = timeout(limit, link.wait_for(ended)).await;
}
