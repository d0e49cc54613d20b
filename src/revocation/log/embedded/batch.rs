//! The records of one transaction on their way into the table.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::revocation::record::Revocation;

use super::database::Tally;
use super::recent::{Digest, Place, Recent};
use super::seal::Seal;

pub(super) struct Batch<'a> {
    connection: &'a Connection,
    recent: &'a Recent,
    written: Vec<Arc<Revocation>>,
    /// What this transaction wrote: true once it is committed.
    places: HashMap<Digest, Place>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(connection: &'a Connection, recent: &'a Recent) -> Self {
        Self {
            connection,
            recent,
            written: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// A record that is there already counts as appended. If it has to be remembered for longer
    /// than the earlier one, it takes its place, at the end of the log.
    pub(super) fn append(
        &mut self,
        tally: &mut Tally,
        record: &Arc<Revocation>,
    ) -> rusqlite::Result<()> {
        let digest = tally.seal.digest(record);
        let forget_after = i64::try_from(record.forget_after.0).unwrap_or(i64::MAX);
        let ours = self.places.get(&digest).copied();
        if let Some(earlier) = ours.or_else(|| self.recent.find(&digest)) {
            if earlier.forget_after >= forget_after && self.is_there(earlier)? {
                return Ok(());
            }
            tally.records -= self.delete(earlier)?;
        }
        let place = Place {
            position: tally.last_position + 1,
            forget_after,
        };
        self.insert(tally.seal, &digest, &record.encode(), place)?;
        tally.last_position = place.position;
        tally.records += 1;
        self.written.push(Arc::clone(record));
        self.places.insert(digest, place);
        Ok(())
    }

    /// The records that were new, and their places.
    pub(super) fn end(self) -> (Vec<Arc<Revocation>>, HashMap<Digest, Place>) {
        (self.written, self.places)
    }

    /// Compaction may have been there.
    fn is_there(&self, place: Place) -> rusqlite::Result<bool> {
        let sql = "SELECT EXISTS (SELECT * FROM records WHERE position = ?1)";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_row([place.position], |row| row.get(0))
    }

    fn delete(&self, place: Place) -> rusqlite::Result<i64> {
        let sql = "DELETE FROM records WHERE position = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(i64::from(statement.execute([place.position])? == 1))
    }

    fn insert(
        &self,
        seal: Seal,
        digest: &Digest,
        record: &[u8],
        place: Place,
    ) -> rusqlite::Result<()> {
        let Place {
            position,
            forget_after,
        } = place;
        let sum = seal.of_row(position, digest, forget_after, record);
        let sql = "INSERT INTO records (position, digest, forget_after, sum, record)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![position, digest, forget_after, sum, record])?;
        Ok(())
    }
}
