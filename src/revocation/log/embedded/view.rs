//! Reading a store beside the process that uses it, all of one moment.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::{Connection, Row, Transaction};

use crate::revocation::record::Revocation;

use super::database::{self, Tally};
use super::error::ReadError;
use super::home::{self, Witness};
use super::{Config, OpenError, compare, expect_database};

/// A store at one moment. Each record that it returns was checked byte by byte.
pub struct View<'c> {
    snapshot: Transaction<'c>,
    tally: Tally,
    place: String,
}

/// Lets `look` read a store as it is at this moment, without its lock. Blocks on the disk.
///
/// # Errors
/// When there is no store that could be read, when it is known to lack records, or what `look` says; for people.
pub fn view<T>(
    config: &Config,
    look: impl FnOnce(&View<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let reader = open(config).map_err(|error| error.to_string())?;
    let place = config.path.join(home::DATABASE).display().to_string();
    let begun = reader.unchecked_transaction().map_err(ReadError::from);
    let begun = begun.and_then(|snapshot| Ok((Tally::read(&snapshot)?, snapshot)));
    let (tally, snapshot) = begun.map_err(|why| unreadable(&place, &why))?;
    look(&View {
        snapshot,
        tally,
        place,
    })
}

/// Calls `visit` with every record that is in a store at this moment, the oldest first.
///
/// # Errors
/// As [`view`], or what `visit` says.
pub fn read_all(
    config: &Config,
    mut visit: impl FnMut(Arc<Revocation>) -> Result<(), String>,
) -> Result<(), String> {
    view(config, |view| {
        let read = database::records(&view.snapshot, &view.tally, 0, |(record, ..)| {
            visit(record).map_err(ReadError::Stopped)
        });
        read.map_err(|why| unreadable(&view.place, &why))
    })
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

fn unreadable(place: &str, why: &ReadError) -> String {
    match why {
        ReadError::Stopped(why) => why.clone(),
        why => format!("{place} cannot be read: {why}; see docs/recovery.md"),
    }
}

impl View<'_> {
    /// Returns what tells the store from others.
    pub fn epoch(&self) -> [u8; 16] {
        self.tally.seal.epoch
    }

    /// Returns how many records there are.
    pub fn records(&self) -> u64 {
        self.tally.records.cast_unsigned()
    }

    /// Calls `visit` with the records after a position and their positions, the oldest first.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn after(&self, position: u64, visit: Visit<'_>) -> Result<(), String> {
        self.each("WHERE position > ?1 ORDER BY position", position, visit)
    }

    /// Calls `visit` with all records and their positions, the newest first.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn backwards(&self, visit: Visit<'_>) -> Result<(), String> {
        self.each("WHERE position > ?1 ORDER BY position DESC", 0, visit)
    }

    /// Returns the record at a position; `None` if it is not there any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn at(&self, position: u64) -> Result<Option<Arc<Revocation>>, String> {
        let mut found = None;
        let mut visit = |record, _| {
            found = Some(record);
            Ok(ControlFlow::Break(()))
        };
        self.each("WHERE position = ?1", position, &mut visit)?;
        Ok(found)
    }

    fn each(&self, which: &str, position: u64, visit: Visit<'_>) -> Result<(), String> {
        let sql = format!("{} {which}", database::RECORDS);
        let failed = |error: rusqlite::Error| unreadable(&self.place, &error.into());
        let mut statement = self.snapshot.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query([position.cast_signed()]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (record, position) = self.read(row)?;
            if visit(record, position)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, row: &Row<'_>) -> Result<(Arc<Revocation>, u64), String> {
        let read = database::check(row, &self.tally);
        let (record, position, _) = read.map_err(|why| unreadable(&self.place, &why))?;
        Ok((record, position))
    }
}

/// What is done with each record at its position, and whether to go on.
type Visit<'a> = &'a mut dyn FnMut(Arc<Revocation>, u64) -> Result<ControlFlow<()>, String>;
