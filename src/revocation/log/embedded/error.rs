//! What can go wrong with the files, told so that an operator knows what to do.

use std::io;
use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::super::AppendError;

/// Why something cannot be read from the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    #[error("{0}")]
    Damaged(String),
    /// Whoever reads wants no more.
    #[error("{0}")]
    Stopped(String),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) {
            Self::Damaged(error.to_string())
        } else {
            Self::Sqlite(error)
        }
    }
}

/// Why the store does not open. Every message names the place.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{path} is in use by another process: every process needs a directory of its own \
         (revocations.store.embedded.path)"
    )]
    InUse { path: PathBuf },
    #[error("{path} cannot be used for the log of revocations: {source}")]
    Unusable { path: PathBuf, source: io::Error },
    #[error(
        "{path} was written by a later version (layout {found}, this version knows {known}): \
         start that version again, or use another directory"
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "{path} is damaged: {detail}. Revocations that were acknowledged may be missing, so this \
         process does not start with it. Nothing was changed; docs/recovery.md says what to do"
    )]
    Damaged { path: PathBuf, detail: String },
}

impl OpenError {
    pub(super) fn unusable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Unusable { path, source }
    }

    pub(super) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }

    pub(super) fn unreadable<E: Into<ReadError>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| match error.into() {
            ReadError::Damaged(detail) => Self::damaged(&path, detail),
            error => {
                let source = io::Error::other(error);
                Self::Unusable { path, source }
            }
        }
    }
}

/// Returns whether the files themselves are wrong, so that trying again is no use.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else {
        // A value of another type than we write.
        return true;
    };
    let damaged = matches!(
        error.code,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
    );
    // A table that is gone comes as a plain error in the SQL.
    damaged
        || matches!(
            error.extended_code,
            ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_ERROR
        )
}

/// Returns what the sender is told about a write that failed.
pub(super) fn refusal(error: &rusqlite::Error) -> AppendError {
    let text = error.to_string();
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match (error.sqlite_error_code(), extended) {
        (Some(ErrorCode::DiskFull), _) => AppendError::Full(text),
        // A limit on the size of files or a quota comes as a failed write.
        (_, Some(ffi::SQLITE_IOERR_WRITE)) if no_room() => AppendError::Full(text),
        // The commit may be on the disk or not.
        (_, Some(ffi::SQLITE_IOERR_FSYNC)) => AppendError::Unknown(text),
        _ => AppendError::Unavailable(text),
    }
}

/// SQLite reports the failed write without its cause; the system still knows it.
fn no_room() -> bool {
    let kind = io::Error::last_os_error().kind();
    matches!(kind, FileTooLarge | QuotaExceeded | StorageFull)
}
