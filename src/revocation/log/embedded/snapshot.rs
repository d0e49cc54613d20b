//! Reading records from the disk, each byte of them checked.

use std::sync::Arc;

use rusqlite::{Connection, Row};

use crate::revocation::record::Revocation;

use super::database::{self, Tally};
use super::error::ReadError;
use super::home::{self, Witness};
use super::{Config, OpenError, compare, expect_database};

/// A record, its position, and the bytes that it takes.
pub(super) type Read = (Arc<Revocation>, u64, usize);

/// Calls `take` with each record after a position, of one snapshot of the database, and with how many
/// that has. Returns what the snapshot says about itself.
pub(super) fn read(
    connection: &Connection,
    after: u64,
    mut take: impl FnMut(Read, &Tally) -> Result<(), ReadError>,
) -> Result<Tally, ReadError> {
    let snapshot = connection.unchecked_transaction()?;
    let tally = Tally::read(&snapshot)?;
    let mut statement = snapshot.prepare_cached(
        "SELECT position, digest, forget_after, sum, record
         FROM records WHERE position > ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([i64::try_from(after).unwrap_or(i64::MAX)])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        take(check(row, &tally)?, &tally)?;
        count += 1;
    }
    if after == 0 && count != tally.records {
        let counted = tally.records;
        let text = format!("it has {count} records, but {counted} were counted");
        return Err(ReadError::Damaged(text));
    }
    Ok(tally)
}

fn check(row: &Row<'_>, tally: &Tally) -> Result<Read, ReadError> {
    let position: i64 = row.get(0)?;
    let bytes = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
    let (digest, forget_after, sum) = (row.get_ref(1)?, row.get(2)?, row.get::<_, i64>(3)?);
    let digest = digest.as_blob().map_err(rusqlite::Error::from)?;
    let damaged =
        |why: String| ReadError::Damaged(format!("the record at position {position}{why}"));
    if sum != tally.seal.of_row(position, digest, forget_after, bytes) {
        return Err(damaged(" has a wrong checksum".to_owned()));
    }
    let record = Revocation::decode(bytes).map_err(|error| damaged(format!(": {error}")))?;
    Ok((Arc::new(record), position.cast_unsigned(), bytes.len()))
}

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
    let read = read(&reader, 0, |(record, ..), _| {
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

fn open(config: &Config) -> Result<Connection, OpenError> {
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
