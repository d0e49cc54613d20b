//! The tables of `portcullis.db`, and connections to them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params};

use crate::core::kv::Kind;
use crate::revocation::log::Cursor;
use crate::revocation::record::Revocation;

use super::OpenError;
use super::error::ReadError;
use super::seal::Seal;

/// The layout that this version writes, kept in `user_version`.
const LAYOUT: i64 = 1;

/// `Pcls` in ASCII: tells our files from other SQLite databases.
const APPLICATION: i64 = 0x5063_6c73;

const TABLES: &str = "
    -- Always one row. `commits` counts every transaction, `records` the rows of that table: a
    -- database that has lost something does not add up.
    CREATE TABLE tally (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        epoch BLOB NOT NULL,
        commits INTEGER NOT NULL,
        last_position INTEGER NOT NULL,
        records INTEGER NOT NULL,
        sum INTEGER NOT NULL
    );
    -- `record` is a portcullis.v1.Revocation message; times are in milliseconds. `digest` is 16 bytes
    -- by which version 0.1 told events apart; the sum covers it.
    CREATE TABLE records (
        position INTEGER PRIMARY KEY,
        digest BLOB NOT NULL,
        forget_after INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        record BLOB NOT NULL
    );
    -- What crate::core::kv keeps.
    CREATE TABLE kept (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
        sum INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
";

/// What the database says about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    pub(super) seal: Seal,
    pub(super) commits: i64,
    pub(super) last_position: i64,
    pub(super) records: i64,
}

impl Tally {
    /// Returns the place behind the last record.
    pub(super) fn end(&self) -> Cursor {
        Cursor {
            epoch: self.seal.epoch,
            position: u128::from(self.last_position.cast_unsigned()),
        }
    }
}

/// Opens the database for writing, and makes it if it is not there.
pub(super) fn open(path: &Path) -> Result<(Connection, Tally), OpenError> {
    let mut connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_CREATE))
        .map_err(OpenError::unreadable(path))?;
    let found = layout(&connection).map_err(OpenError::unreadable(path))?;
    match found {
        0 if has_tables(&connection).map_err(OpenError::unreadable(path))? => {
            let detail = "it is a database of another program, or its first page is wrong";
            return Err(OpenError::damaged(path, detail));
        }
        0 | LAYOUT => configure(&connection).map_err(OpenError::unreadable(path))?,
        found if found > LAYOUT => {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                found,
                known: LAYOUT,
            });
        }
        found => return Err(OpenError::damaged(path, format!("its layout is {found}"))),
    }
    if found == 0 {
        create(&mut connection).map_err(OpenError::unreadable(path))?;
    }
    let tally = Tally::read(&connection).map_err(OpenError::unreadable(path))?;
    Ok((connection, tally))
}

/// Returns a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags(OpenFlags::empty()))?;
    set_up(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A reader must be able to take part in the write-ahead log's shared memory, so it opens the
/// file for writing too.
fn flags(more: OpenFlags) -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more
}

/// 0 for a new database.
fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    set_up(connection)?;
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Sync at every commit: an acknowledged record is on the disk.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT * FROM sqlite_schema)";
    connection.query_row(sql, [], |row| row.get(0))
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    // An operator may look at the file with sqlite3.
    connection.busy_timeout(Duration::from_secs(5))?;
    // A start that is refused leaves the files as they are.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map(drop)
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", LAYOUT)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    let seal = Seal {
        epoch: rand::random(),
    };
    let tally = Tally {
        seal,
        commits: 0,
        last_position: 0,
        records: 0,
    };
    transaction.execute(
        "INSERT INTO tally (only, epoch, commits, last_position, records, sum)
         VALUES (1, ?1, 0, 0, 0, ?2)",
        params![seal.epoch, tally.sum()],
    )?;
    transaction.commit()
}

impl Tally {
    pub(super) fn read(connection: &Connection) -> Result<Self, ReadError> {
        let sql = "SELECT epoch, commits, last_position, records, sum FROM tally";
        let (tally, sum) = connection.query_row(sql, [], |row| {
            let tally = Self {
                seal: Seal { epoch: row.get(0)? },
                commits: row.get(1)?,
                last_position: row.get(2)?,
                records: row.get(3)?,
            };
            Ok((tally, row.get::<_, i64>(4)?))
        })?;
        if sum != tally.sum() {
            return Err(ReadError::Damaged("its tally has a wrong checksum".into()));
        }
        Ok(tally)
    }

    /// Adds a record at the end of the log.
    pub(super) fn append(
        &mut self,
        transaction: &Transaction<'_>,
        record: &Revocation,
    ) -> rusqlite::Result<()> {
        self.last_position += 1;
        self.records += 1;
        let position = self.last_position;
        let forget_after = i64::try_from(record.forget_after.0).unwrap_or(i64::MAX);
        let record = record.encode();
        let digest = [0; 16];
        let sum = self.seal.of_row(position, &digest, forget_after, &record);
        let sql = "INSERT INTO records (position, digest, forget_after, sum, record)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = transaction.prepare_cached(sql)?;
        insert.execute(params![position, digest, forget_after, sum, record])?;
        Ok(())
    }

    /// Counts this transaction and commits it.
    pub(super) fn commit(&mut self, transaction: Transaction<'_>) -> rusqlite::Result<()> {
        self.commits += 1;
        let sql = "UPDATE tally SET commits = ?1, last_position = ?2, records = ?3, sum = ?4";
        transaction.prepare_cached(sql)?.execute(params![
            self.commits,
            self.last_position,
            self.records,
            self.sum()
        ])?;
        transaction.commit()
    }

    fn sum(&self) -> i64 {
        self.seal.of_parts([
            &self.commits.to_le_bytes(),
            &self.last_position.to_le_bytes(),
            &self.records.to_le_bytes(),
        ])
    }
}

/// A record, its position, and the bytes that it takes.
pub(super) type Read = (Arc<Revocation>, u64, usize);

/// Calls `take` with each record after a position, each byte of it checked, of one snapshot of the database, and with how many
/// that has. Returns what the snapshot says about itself.
pub(super) fn read(
    connection: &Connection,
    after: u64,
    mut take: impl FnMut(Read, &Tally) -> Result<(), ReadError>,
) -> Result<Tally, ReadError> {
    let snapshot = connection.unchecked_transaction()?;
    let tally = Tally::read(&snapshot)?;
    records(&snapshot, &tally, after, |read| take(read, &tally))?;
    Ok(tally)
}

/// The rows that [`check`] reads.
pub(super) const RECORDS: &str = "SELECT position, digest, forget_after, sum, record FROM records";

/// Calls `take` with each record after a position, each byte of it checked. `tally` is of the same snapshot.
pub(super) fn records(
    snapshot: &Connection,
    tally: &Tally,
    after: u64,
    mut take: impl FnMut(Read) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let sql = format!("{RECORDS} WHERE position > ?1 ORDER BY position");
    let mut statement = snapshot.prepare_cached(&sql)?;
    let mut rows = statement.query([i64::try_from(after).unwrap_or(i64::MAX)])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        take(check(row, tally)?)?;
        count += 1;
    }
    if after == 0 && count != tally.records {
        let counted = tally.records;
        let text = format!("it has {count} records, but {counted} were counted");
        return Err(ReadError::Damaged(text));
    }
    Ok(())
}

/// Reads a row of [`RECORDS`].
pub(super) fn check(row: &Row<'_>, tally: &Tally) -> Result<Read, ReadError> {
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

/// Reads what [`save`] wrote.
pub(super) fn load(
    connection: &Connection,
    seal: Seal,
    kind: Kind,
    name: &str,
) -> Result<Option<Vec<u8>>, ReadError> {
    let kind = kind.as_str();
    let sql = "SELECT value, sum FROM kept WHERE kind = ?1 AND name = ?2";
    let found: Option<(Vec<u8>, i64)> = connection
        .prepare_cached(sql)?
        .query_row(params![kind, name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some((value, sum)) if seal.of_parts([kind.as_bytes(), name.as_bytes(), &value]) != sum => {
            let detail = format!("the kept {kind} {name:?} has a wrong checksum");
            Err(ReadError::Damaged(detail))
        }
        found => Ok(found.map(|(value, _)| value)),
    }
}

pub(super) fn save(
    transaction: &Transaction<'_>,
    seal: Seal,
    kind: Kind,
    name: &str,
    value: &[u8],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO kept (kind, name, value, sum) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value, sum = excluded.sum";
    let kind = kind.as_str();
    let sum = seal.of_parts([kind.as_bytes(), name.as_bytes(), value]);
    transaction
        .prepare_cached(sql)?
        .execute(params![kind, name, value, sum])
        .map(drop)
}
