//! Reading a whole store beside the process that uses it.

use std::sync::Arc;

use rusqlite::Connection;

use crate::revocation::record::Revocation;

use super::database::{self, Tally};
use super::error::ReadError;
use super::home::{self, Witness};
use super::{Config, OpenError, compare, expect_database};

/// Calls `visit` with every record that is in a store at this moment. Reads it without its lock: the
/// process that uses it is not disturbed. Blocks on the disk.
///
/// # Errors
/// When there is no store that could be read, when it is known to lack records, or what `visit` says;
/// for people.
pub fn read_all(
    config: &Config,
    mut visit: impl FnMut(Arc<Revocation>) -> Result<(), String>,
) -> Result<(), String> {
    let database = config.path.join(home::DATABASE);
    let reader = open(config).map_err(|error| error.to_string())?;
    let read = database::read(&reader, 0, |(record, ..), _| {
        visit(record).map_err(ReadError::Stopped)
    });
    match read {
        Ok(_) => Ok(()),
        Err(ReadError::Stopped(why)) => Err(why),
        Err(why) => {
            let place = database.display();
            Err(format!(
                "{place} cannot be read: {why}; see docs/recovery.md"
            ))
        }
    }
}

pub(super) fn open(config: &Config) -> Result<Connection, OpenError> {
    let database = config.path.join(home::DATABASE);
    if home::mark_of(&database).exists() {
        let why = "it is a copy that lacks records of its log; export from the log itself, or \
                   let its replica read what is missing first";
        return Err(OpenError::damaged(&database, why));
    }
    // Before the database is read: later commits may follow.
    let testimony = Witness::read(&config.path.join(home::WITNESS))?;
    expect_database(testimony, &database)?;
    let reader = database::open_reader(&database).map_err(OpenError::unreadable(&database))?;
    let tally = Tally::read(&reader).map_err(OpenError::unreadable(&database))?;
    compare(testimony, &tally, &database)?;
    Ok(reader)
}
