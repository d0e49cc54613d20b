//! Notes: what event sources keep in the log for themselves.
//!
//! A [`Note`] is a record of the log, like a revocation. Every replica learns it by following the log, so each
//! knows the same, also after a restart. Of two replicas that change one note at once the first in the log
//! wins; the other one finds out and begins again.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::feed::FeedState;
use super::log::{AppendError, Cursor};
use super::record::{Draft, Note, Revocation};
use super::{Reader, Writer};
use crate::core::clock::UnixMillis;

/// A note that nobody changes or renews is forgotten after this time. The log has to end somewhere: it would
/// otherwise hold every version of every note for ever.
pub const KEPT: Duration = Duration::from_hours(60 * 24);

/// A note that is gone is remembered for longer than its earlier versions, whichever clock wrote them.
const MARGIN: Duration = Duration::from_hours(24);

/// Notes that are renewed at once.
const BATCH: usize = 128;

/// The cause in the records of notes, which no event has.
const CAUSE: &str = "portcullis_note";

/// A change of one note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The note as it shall be. Its version is one more than that of the note that the change began from.
    pub note: Note,
    /// How long it is kept unless it is renewed.
    pub keep: Duration,
}

/// Writes and reads notes.
pub struct Notes {
    writer: Writer,
    feed: Arc<FeedState>,
    known: Known,
    /// Whether the log is this process's alone, so that nobody else writes notes.
    is_alone: bool,
    /// The end of the log after the last note that this process appended.
    last: Mutex<Option<Cursor>>,
}

impl Notes {
    pub(super) fn new(writer: &Writer, reader: &Reader, known: Known, is_alone: bool) -> Self {
        Self {
            writer: writer.clone(),
            feed: Arc::clone(&reader.feed),
            known,
            is_alone,
            last: Mutex::default(),
        }
    }

    #[must_use]
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// Waits until this replica knows every note that was acknowledged before the call, whoever wrote it.
    ///
    /// # Errors
    /// When it does not within this time.
    pub async fn catch_up(&self, within: Duration) -> Result<(), AppendError> {
        let now = (!self.is_alone).then(|| self.writer.clock.moment());
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = async {
            self.feed.reaches(now).await;
            if let Some(last) = last {
                let past = |at: &Option<Cursor>| at.is_some_and(|at| at.has_passed(last));
                // Of another history than before, every note is known already.
                let is_other = |at: &Option<Cursor>| at.is_some_and(|at| at.epoch != last.epoch);
                let mut applied = self.writer.applied.clone();
                let _ = applied.wait_for(|at| past(at) || is_other(at)).await;
            }
        };
        let arrived = timeout(within, arrived).await;
        arrived.map_err(|_| {
            let why = "this replica does not know the end of the log of revocations";
            AppendError::Unavailable(why.to_owned())
        })
    }

    /// Makes revocations and a change of a note durable, all or none. Returns whether the change counts; if
    /// not, another replica changed the note before it, and the caller has to begin again.
    ///
    /// # Errors
    /// Those of [`Writer::record`]; also when it is not known in time whether the change counts.
    pub async fn put(
        &self,
        (source, issuer): (&str, &str),
        drafts: Vec<Draft>,
        change: Change,
        within: Duration,
    ) -> Result<bool, AppendError> {
        let latest = Instant::now() + within;
        let mut batch = self.writer.receive_all(drafts)?;
        let note = change.note.clone();
        batch.push(Arc::new(self.record(source, issuer, change)));
        let cursor = self.writer.log.append(batch).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
        let left = latest.saturating_duration_since(Instant::now());
        self.writer.enforced(cursor, left).await?;
        if self.known.version(source, &note.key) < note.version {
            let why = "it is not read back from the log yet";
            return Err(AppendError::Unknown(why.to_owned()));
        }
        Ok(match self.known.get(source, &note.key) {
            Some(known) => *known == note,
            None => note.text.is_none(),
        })
    }

    /// Writes the notes of a source again that would be forgotten soon, and returns how many these were.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn renew(&self, (source, issuer): (&str, &str)) -> Result<usize, AppendError> {
        let now = self.writer.clock.now();
        let due = self.known.due(source, now);
        for notes in due.chunks(BATCH) {
            let record = |note: &Arc<Note>| {
                let note = Note {
                    version: note.version + 1,
                    ..Note::clone(note)
                };
                Arc::new(self.record(source, issuer, Change { note, keep: KEPT }))
            };
            let batch = notes.iter().map(record).collect();
            let cursor = self.writer.log.append(batch).await?;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
        }
        Ok(due.len())
    }

    /// Returns the time before which no event can reach a token of `issuer` that is still valid.
    #[must_use]
    pub fn earliest(&self, issuer: &str) -> UnixMillis {
        let terms = self.writer.retention.terms(issuer);
        let reach = terms.map_or(KEPT, |terms| terms.longest_life + terms.leeway * 2);
        self.writer.clock.now().minus(reach)
    }

    /// Returns how far the clock of `issuer` may be ahead: a token that exists may be dated that much later than now.
    #[must_use]
    pub fn leeway(&self, issuer: &str) -> Duration {
        let terms = self.writer.retention.terms(issuer);
        terms.map_or(Duration::ZERO, |terms| terms.leeway)
    }

    /// Returns a lift of a cause that nothing else has: see [`Revocation::note`].
    fn record(&self, source: &str, issuer: &str, change: Change) -> Revocation {
        let now = self.writer.clock.now();
        let Change { note, keep } = change;
        let keep = if note.text.is_some() {
            keep
        } else {
            KEPT + MARGIN
        };
        let id = format!("note-{}-{}", note.key, note.version);
        Revocation {
            forget_after: now.plus(keep),
            note: Some(Box::new(note)),
            ..Revocation::without_effect(id, issuer, source, CAUSE, now)
        }
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").finish_non_exhaustive()
    }
}

/// The notes that the log has, by source. Clones share them; the follower writes them.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<HashMap<String, OfSource>>>);

#[derive(Default)]
struct OfSource {
    notes: BTreeMap<String, Kept>,
    /// The keys of the notes with each name.
    names: HashMap<String, BTreeSet<String>>,
    /// The last versions of notes that are gone, and until when they are remembered.
    gone: HashMap<String, (u64, UnixMillis)>,
}

struct Kept {
    note: Arc<Note>,
    forget_after: UnixMillis,
}

impl Known {
    /// Takes in a record of the log, if it is a note.
    pub fn learn(&self, record: &Revocation) {
        let Some(note) = record.note.as_deref() else {
            return;
        };
        let mut known = self.lock();
        let of_source = known.entry(record.source.clone()).or_default();
        // By then other replicas have forgotten that it was gone, each at a moment of its own.
        let gone = of_source.gone.get(&note.key);
        if gone.is_some_and(|(_, until)| record.received_at > *until) {
            of_source.gone.remove(&note.key);
        }
        if note.version <= of_source.version(&note.key) {
            return;
        }
        of_source.take(note, record.forget_after);
    }

    /// Returns the note under a key.
    #[must_use]
    pub fn get(&self, source: &str, key: &str) -> Option<Arc<Note>> {
        let known = self.lock();
        let kept = known.get(source)?.notes.get(key)?;
        Some(Arc::clone(&kept.note))
    }

    /// Returns the version of the note under a key, also of one that is gone; 0 if there never was one.
    #[must_use]
    pub fn version(&self, source: &str, key: &str) -> u64 {
        let known = self.lock();
        known.get(source).map_or(0, |source| source.version(key))
    }

    /// Returns the notes with a name, in the order of their keys.
    #[must_use]
    pub fn named(&self, source: &str, name: &str) -> Vec<Arc<Note>> {
        let known = self.lock();
        let Some(of_source) = known.get(source) else {
            return Vec::new();
        };
        let keys = of_source.names.get(name).into_iter().flatten();
        let notes = keys.filter_map(|key| of_source.notes.get(key));
        notes.map(|kept| Arc::clone(&kept.note)).collect()
    }

    /// Returns how many notes a source has, and those at some places in the order of their keys.
    #[must_use]
    pub fn page(&self, source: &str, skip: usize, most: usize) -> (usize, Vec<Arc<Note>>) {
        let known = self.lock();
        let Some(of_source) = known.get(source) else {
            return (0, Vec::new());
        };
        let notes = of_source.notes.values().skip(skip).take(most);
        let notes = notes.map(|kept| Arc::clone(&kept.note));
        (of_source.notes.len(), notes.collect())
    }

    /// Returns the notes whose time is half over. Forgets those that are gone and over.
    fn due(&self, source: &str, now: UnixMillis) -> Vec<Arc<Note>> {
        let mut known = self.lock();
        let Some(of_source) = known.get_mut(source) else {
            return Vec::new();
        };
        of_source.gone.retain(|_, (_, until)| *until >= now);
        let half = now.plus(KEPT / 2);
        let due = of_source
            .notes
            .values()
            .filter(|kept| kept.forget_after < half);
        due.map(|kept| Arc::clone(&kept.note)).collect()
    }

    /// Has all notes renewed: another history of the log does not have them.
    pub(super) fn write_again(&self) {
        let mut known = self.lock();
        for kept in known
            .values_mut()
            .flat_map(|source| source.notes.values_mut())
        {
            kept.forget_after = UnixMillis::default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OfSource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfSource {
    fn version(&self, key: &str) -> u64 {
        let live = self.notes.get(key).map(|kept| kept.note.version);
        let gone = self.gone.get(key).map(|(version, _)| *version);
        live.or(gone).unwrap_or_default()
    }

    fn take(&mut self, note: &Note, forget_after: UnixMillis) {
        self.gone.remove(&note.key);
        let before = self.notes.remove(&note.key);
        for name in before.iter().flat_map(|kept| &kept.note.names) {
            if let Some(keys) = self.names.get_mut(name) {
                keys.remove(&note.key);
                if keys.is_empty() {
                    self.names.remove(name);
                }
            }
        }
        if note.text.is_none() {
            let gone = (note.version, forget_after);
            self.gone.insert(note.key.clone(), gone);
            return;
        }
        for name in &note.names {
            let keys = self.names.entry(name.clone()).or_default();
            keys.insert(note.key.clone());
        }
        let note = Arc::new(note.clone());
        let kept = Kept { note, forget_after };
        self.notes.insert(kept.note.key.clone(), kept);
    }
}

/// Shows no note: they are about people.
impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}
