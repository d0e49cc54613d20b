//! Reading parts of a store beside the process that uses it, all of one moment.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Row, Transaction};

use crate::revocation::record::Revocation;

use super::database::{self, Tally};
use super::error::ReadError;
use super::{Config, home, snapshot};

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
    let reader = snapshot::open(config).map_err(|error| error.to_string())?;
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

fn unreadable(place: &str, why: &ReadError) -> String {
    format!("{place} cannot be read: {why}; see docs/recovery.md")
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
        let sql = "SELECT position, digest, forget_after, sum, record
                   FROM records WHERE position > ?1 ORDER BY position";
        self.each(sql, position, visit)
    }

    /// Calls `visit` with all records and their positions, the newest first.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn backwards(&self, visit: Visit<'_>) -> Result<(), String> {
        let sql = "SELECT position, digest, forget_after, sum, record
                   FROM records WHERE position > ?1 ORDER BY position DESC";
        self.each(sql, 0, visit)
    }

    /// Returns the record at a position; `None` if it is not there any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn at(&self, position: u64) -> Result<Option<Arc<Revocation>>, String> {
        let sql = "SELECT position, digest, forget_after, sum, record
                   FROM records WHERE position = ?1";
        let found = self.snapshot.prepare_cached(sql).and_then(|mut statement| {
            let found = statement.query_row([position.cast_signed()], |row| Ok(self.read(row)));
            found.optional()
        });
        let found = found.map_err(|error| unreadable(&self.place, &error.into()))?;
        Ok(found.transpose()?.map(|(record, _)| record))
    }

    fn each(&self, sql: &str, after: u64, visit: Visit<'_>) -> Result<(), String> {
        let failed = |error: rusqlite::Error| unreadable(&self.place, &error.into());
        let mut statement = self.snapshot.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([after.cast_signed()]).map_err(failed)?;
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
