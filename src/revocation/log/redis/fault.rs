//! What an error of a server means.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::revocation::log::engine::Fault;

/// Returns what a fault means before a connection is in use: nothing can have been done.
pub(super) fn before_use(fault: Fault) -> Fault {
    match fault {
        Fault::Lost(why) | Fault::Retry(why) => Fault::Down(why),
        other => other,
    }
}

/// Reads an error on a connection. An answer of the server says what it did; anything else leaves
/// it open.
pub(super) fn in_use(server: &str, error: &RedisError) -> Fault {
    let why = format!("{server}: {error}");
    match (error.kind(), error.code()) {
        (_, Some("OOM" | "MISCONF")) => Fault::Full(why),
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => {
            Fault::Down(format!("{why}; check username and password"))
        }
        _ if is_forbidden(error) => Fault::Down(format!(
            "{why}; docs/stores/redis.md lists what the ACL user must be allowed to do"
        )),
        (_, Some("WRONGTYPE")) => Fault::Down(format!(
            "{why}; another program keeps something else under the configured key"
        )),
        // This is not the primary any more, or it has forgotten the scripts.
        (_, Some("READONLY" | "MOVED" | "ASK" | "MASTERDOWN" | "NOSCRIPT")) => Fault::Retry(why),
        (ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::InvalidClientConfig, _) => {
            Fault::Down(why)
        }
        _ => Fault::Lost(why),
    }
}

/// Returns whether the user lacks a right. Within a script the server words it in another way.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    let said = error.detail().unwrap_or_default();
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || said.contains("ACL failure in script")
        || said.contains("can't run this command")
        || said.contains("can't access at least one of the keys")
}
