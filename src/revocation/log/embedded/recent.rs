//! The events of the last while, to know the ones that are delivered twice.
//!
//! A second row would do no harm but take room, since the index does not mind repetition. So this
//! need not reach back for ever; a unique index over all rows would, and it makes every record
//! touch a page of its own, which costs most of the throughput.

use std::collections::{HashMap, VecDeque};

use rusqlite::Connection;

/// Senders repeat themselves within minutes.
const EVENTS: usize = 65_536;

pub(super) type Digest = [u8; 16];

/// Where an event stands in the log, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) position: i64,
    /// Milliseconds.
    pub(super) forget_after: i64,
}

#[derive(Debug, Default)]
pub(super) struct Recent {
    places: HashMap<Digest, Place>,
    /// Oldest first. An event that was written again stands here twice.
    order: VecDeque<(Digest, i64)>,
}

impl Recent {
    /// What the log ends with.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT digest, position, forget_after
                   FROM records ORDER BY position DESC LIMIT ?1";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([i64::try_from(EVENTS).unwrap_or(i64::MAX)], |row| {
            let place = Place {
                position: row.get(1)?,
                forget_after: row.get(2)?,
            };
            Ok((row.get(0)?, place))
        })?;
        let newest_first = rows.collect::<rusqlite::Result<Vec<(Digest, Place)>>>()?;
        let mut recent = Self {
            places: HashMap::with_capacity(newest_first.len()),
            order: VecDeque::with_capacity(newest_first.len()),
        };
        for (digest, place) in newest_first.into_iter().rev() {
            recent.note(digest, place);
        }
        Ok(recent)
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Place> {
        self.places.get(digest).copied()
    }

    pub(super) fn note(&mut self, digest: Digest, place: Place) {
        self.places.insert(digest, place);
        self.order.push_back((digest, place.position));
        if self.order.len() > EVENTS
            && let Some((oldest, position)) = self.order.pop_front()
            && self
                .find(&oldest)
                .is_some_and(|place| place.position == position)
        {
            self.places.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_bounded_and_keeps_what_was_written_again() {
        let mut recent = Recent::default();
        let place = |position| Place {
            position,
            forget_after: 0,
        };
        recent.note([255; 16], place(0));
        recent.note([255; 16], place(1));
        for position in 2..=i64::try_from(EVENTS).unwrap() {
            let mut digest = [0; 16];
            digest[..8].copy_from_slice(&position.to_le_bytes());
            recent.note(digest, place(position));
        }
        assert_eq!(recent.order.len(), EVENTS);
        assert!(recent.find(&[255; 16]).is_some());
        recent.note([254; 16], place(i64::MAX));
        assert!(recent.find(&[255; 16]).is_none());
    }
}
