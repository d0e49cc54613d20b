//! What can go wrong with an engine, by what it means for an append.

use crate::revocation::log::AppendError;

/// A file or an address in the configuration cannot be used. Servers that are down are no such error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

/// Why an exchange with a server failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing was done: the server cannot be reached, refuses, or must not be used.
    #[error("{0}")]
    Down(String),
    /// Nothing was done that counts, but another attempt may succeed soon: the server does not lead
    /// any more, or nobody leads yet.
    #[error("{0}")]
    Retry(String),
    /// The server has no room.
    #[error("{0}")]
    Full(String),
    /// The server will never take this.
    #[error("{0}")]
    Rejected(String),
    /// The connection ended, or no answer came in time: it may have been done.
    #[error("{0}")]
    Lost(String),
    /// It was done, but too few servers confirm it, or nobody confirms that the server leads.
    #[error("{0}")]
    Unconfirmed(String),
}

impl From<Fault> for AppendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Down(why) | Fault::Retry(why) => Self::Unavailable(why),
            Fault::Full(why) => Self::Full(why),
            Fault::Rejected(why) => Self::Rejected(why),
            Fault::Lost(why) | Fault::Unconfirmed(why) => Self::Unknown(why),
        }
    }
}
