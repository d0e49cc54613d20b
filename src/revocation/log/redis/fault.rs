//! What can go wrong with a server, by what it means for the sender of an event.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::super::AppendError;

/// Why an exchange with a server failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Nothing was done: the server cannot be reached, refuses, or must not be used.
    #[error("{0}")]
    Down(String),
    /// This is not, or no longer, the server that a known connection led to. What was done there
    /// does not count.
    #[error("{0}")]
    Moved(String),
    /// The server has no room.
    #[error("{0}")]
    Full(String),
    /// The connection ended, or no answer came in time: it may have been done.
    #[error("{0}")]
    Lost(String),
    /// It was done, but fewer replicas than required say that they have it, or nobody says that
    /// the server still is the primary.
    #[error("{0}")]
    Unconfirmed(String),
}

impl From<Fault> for AppendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Down(why) | Fault::Moved(why) => Self::Unavailable(why),
            Fault::Full(why) => Self::Full(why),
            Fault::Lost(why) | Fault::Unconfirmed(why) => Self::Unknown(why),
        }
    }
}

impl Fault {
    /// Before a connection is usable nothing can have been done.
    pub(super) fn before_use(place: &str, error: &RedisError) -> Self {
        match Self::in_use(place, error) {
            Self::Lost(why) | Self::Moved(why) => Self::Down(why),
            other => other,
        }
    }

    /// An answer of the server says what it did; anything else leaves it open.
    pub(super) fn in_use(place: &str, error: &RedisError) -> Self {
        let why = format!("{place}: {error}");
        match (error.kind(), error.code()) {
            (_, Some("OOM" | "MISCONF")) => Self::Full(why),
            (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => {
                Self::Down(format!("{why}; check username and password"))
            }
            _ if is_forbidden(error) => Self::Down(format!(
                "{why}; docs/stores/redis.md lists what the ACL user must be allowed to do"
            )),
            (_, Some("WRONGTYPE")) => Self::Down(format!(
                "{why}; another program keeps something else under the configured key"
            )),
            (_, Some("READONLY" | "MOVED" | "ASK" | "MASTERDOWN" | "NOSCRIPT")) => Self::Moved(why),
            (ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::InvalidClientConfig, _) => {
                Self::Down(why)
            }
            _ => Self::Lost(why),
        }
    }
}

/// Within a script the server words it in another way.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    let said = error.detail().unwrap_or_default();
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || said.contains("ACL failure in script")
        || said.contains("can't run this command")
        || said.contains("can't access at least one of the keys")
}
