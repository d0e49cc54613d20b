//! What took effect on this replica lately, for those who watch.
//!
//! The latest records lie in one ring of bounded size. A watcher holds nothing but the number of the record
//! that it reads next. So a slow one takes no memory: it is told that the ring no longer has that record.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::record::Revocation;
use super::retention::Retention;
use crate::core::clock::UnixMillis;

/// Bytes of memory that the ring may take.
const LARGEST: usize = 4 * 1024 * 1024;

/// Watchers at once.
const MOST_WATCHERS: usize = 64;

/// A place among the effects of one process. Whoever has seen everything before it reads on from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// A random number that stands for the process.
    run: u64,
    number: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.run, self.number)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (run, number) = text.split_once('-').ok_or(())?;
        Ok(Self {
            run: u64::from_str_radix(run, 16).map_err(drop)?,
            number: number.parse().map_err(drop)?,
        })
    }
}

/// A revocation or a lift that took effect.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The place behind it.
    pub position: Position,
    /// When it took effect on this replica.
    pub at: UnixMillis,
    /// When it may be forgotten, by the terms of today.
    pub forget_after: UnixMillis,
    pub record: Arc<Revocation>,
}

/// Why somebody cannot watch, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwatched {
    /// What comes next is not kept any more, or another process had it.
    Missed,
    /// Too many watch already.
    Busy,
}

/// What took effect lately. Clones share it; the follower writes it.
#[derive(Clone, Debug)]
pub struct Effects {
    run: u64,
    ring: Arc<Mutex<Ring>>,
    /// The number of the record that comes next.
    next: watch::Sender<u64>,
    retention: Retention,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The number of the oldest record.
    first: u64,
    bytes: usize,
    kept: VecDeque<(UnixMillis, Arc<Revocation>)>,
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn push(&mut self, at: UnixMillis, record: Arc<Revocation>) {
        self.bytes += weight(&record);
        self.kept.push_back((at, record));
        while self.bytes > LARGEST
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.first += 1;
            self.bytes -= weight(&oldest);
        }
    }
}

/// Returns about how many bytes a record takes.
fn weight(record: &Revocation) -> usize {
    /// What an allocation, and an entry of a map, take beside their content.
    const EACH: usize = 64;
    let matches = record.target.matches.iter();
    let matches = matches.map(|(claim, value)| claim.len() + value.len() + EACH);
    let original = record.original.as_ref().map_or(0, |bytes| bytes.len());
    let texts = [
        &record.id,
        &record.target.issuer,
        &record.source,
        &record.cause,
    ];
    let texts = texts.map(String::len).iter().sum::<usize>();
    size_of::<Revocation>() + EACH + texts + matches.sum::<usize>() + original
}

impl Effects {
    pub(super) fn new(retention: &Retention) -> Self {
        Self {
            run: rand::random(),
            ring: Arc::default(),
            next: watch::Sender::new(0),
            retention: retention.clone(),
            places: Arc::new(Semaphore::new(MOST_WATCHERS)),
        }
    }

    pub(super) fn instance(&self) -> String {
        format!("{:016x}", self.run)
    }

    /// Adds records that took effect.
    pub(super) fn add(&self, at: UnixMillis, records: &[Arc<Revocation>]) {
        let mut ring = self.ring();
        for record in records.iter().filter(|record| record.is_about_tokens()) {
            ring.push(at, Arc::clone(record));
        }
        let next = ring.next();
        drop(ring);
        self.next.send_if_modified(|known| {
            let is_new = *known != next;
            *known = next;
            is_new
        });
    }

    /// Watches what takes effect from now on, or from a position on.
    ///
    /// # Errors
    /// When the position is none of this process, or what follows it is not kept any more.
    pub fn watch(&self, after: Option<Position>) -> Result<Watcher, Unwatched> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Unwatched::Busy)?;
        let (first, live) = {
            let ring = self.ring();
            (ring.first, ring.next())
        };
        let number = after.map_or(live, |position| position.number);
        if after.is_some_and(|position| position.run != self.run)
            || !(first..=live).contains(&number)
        {
            return Err(Unwatched::Missed);
        }
        Ok(Watcher {
            effects: self.clone(),
            news: self.next.subscribe(),
            number,
            live,
            _place: place,
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what takes effect, in the order of the log.
#[derive(Debug)]
pub struct Watcher {
    effects: Effects,
    news: watch::Receiver<u64>,
    /// The record that is read next.
    number: u64,
    /// The record that came next when this watcher began.
    live: u64,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// Returns the place behind what was read.
    #[must_use]
    pub fn position(&self) -> Position {
        let (run, number) = (self.effects.run, self.number);
        Position { run, number }
    }

    /// Returns whether everything was read that had taken effect when this watcher began.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.number >= self.live
    }

    /// Waits for the next effect. A call that is cut short loses nothing.
    ///
    /// # Errors
    /// [`Unwatched::Missed`] when this watcher was too slow.
    pub async fn next(&mut self) -> Result<Effect, Unwatched> {
        loop {
            self.news.mark_unchanged();
            if let Some(effect) = self.read()? {
                return Ok(effect);
            }
            // This watcher holds a sender, so there is always one.
            let _ = self.news.changed().await;
        }
    }

    fn read(&mut self) -> Result<Option<Effect>, Unwatched> {
        let (at, record) = {
            let ring = self.effects.ring();
            let ahead = self.number.checked_sub(ring.first);
            let ahead = usize::try_from(ahead.ok_or(Unwatched::Missed)?);
            match ahead.ok().and_then(|ahead| ring.kept.get(ahead)) {
                None => return Ok(None),
                Some((at, record)) => (*at, Arc::clone(record)),
            }
        };
        self.number += 1;
        Ok(Some(Effect {
            position: self.position(),
            at,
            forget_after: self.effects.retention.forget_after(&record),
            record,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::core::lifetime::Bounds;
    use crate::revocation::{Action, Target};

    const NOW: UnixMillis = UnixMillis(1_795_766_400_000);

    /// A record that takes a part of the ring.
    fn record(number: usize, bytes: usize) -> Arc<Revocation> {
        Arc::new(Revocation {
            id: number.to_string(),
            target: Target {
                issuer: "https://id.example.com".to_owned(),
                matches: BTreeMap::from([("sub".to_owned(), "x".repeat(bytes))]),
            },
            action: Action::Revoke,
            issued_at_or_before: None,
            expires_at_or_before: None,
            occurred_at: NOW,
            forget_after: NOW,
            source: "test".to_owned(),
            cause: "lock".to_owned(),
            received_at: NOW,
            bounds: None,
            turn: None,
            note: None,
            original: None,
        })
    }

    /// Reads until nothing is there; the numbers, and whether some were missed.
    fn rest(watcher: &mut Watcher) -> (Vec<usize>, bool) {
        let mut numbers = Vec::new();
        loop {
            match watcher.read() {
                Ok(Some(effect)) => numbers.push(effect.record.id.parse().unwrap()),
                Ok(None) => return (numbers, false),
                Err(_) => return (numbers, true),
            }
        }
    }

    proptest! {
        #[test]
        fn a_watcher_sees_every_effect_in_order_or_is_told_that_it_missed_some(
            steps in prop::collection::vec((0..4_usize, 0..6_usize, 0..LARGEST / 3), 1..60),
        ) {
            let effects = Effects::new(&Retention::default());
            let mut made = 0;
            // Each with the number that it has to see next.
            let mut watchers: Vec<(Watcher, usize)> = Vec::new();
            for (step, which, bytes) in steps {
                match step {
                    0 if watchers.len() < 4 => {
                        watchers.push((effects.watch(None).unwrap(), made));
                    }
                    0 | 1 => {
                        effects.add(NOW, &[record(made, bytes)]);
                        made += 1;
                    }
                    2 if !watchers.is_empty() => {
                        let at = which % watchers.len();
                        let (watcher, next) = &mut watchers[at];
                        let (seen, missed) = rest(watcher);
                        prop_assert_eq!(&seen, &(*next..*next + seen.len()).collect::<Vec<_>>());
                        *next += seen.len();
                        if missed {
                            prop_assert!(seen.is_empty());
                            watchers.remove(at);
                        } else {
                            prop_assert_eq!(*next, made);
                        }
                    }
                    // One goes away, and comes back with its position.
                    3 if !watchers.is_empty() => {
                        let at = which % watchers.len();
                        let (watcher, next) = watchers.remove(at);
                        let position = watcher.position().to_string().parse().unwrap();
                        drop(watcher);
                        match effects.watch(Some(position)) {
                            Ok(again) => watchers.push((again, next)),
                            Err(why) => {
                                prop_assert_eq!(why, Unwatched::Missed);
                                prop_assert!(effects.ring().first > next as u64);
                            }
                        }
                    }
                    _ => {}
                }
                let ring = effects.ring();
                prop_assert!(ring.bytes <= LARGEST);
                let weights = ring.kept.iter().map(|(_, record)| weight(record));
                prop_assert_eq!(ring.bytes, weights.sum::<usize>());
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_effect_on_tokens_is_not_shown_and_wakes_nobody() {
        let effects = Effects::new(&Retention::default());
        let mut watcher = effects.watch(None).unwrap();
        let mut bounds = Arc::unwrap_or_clone(record(0, 1));
        bounds.bounds = Some(Bounds::new(Duration::ZERO, Duration::ZERO));
        effects.add(NOW, &[Arc::new(bounds)]);
        assert!(!watcher.news.has_changed().unwrap());
        let waiting = tokio::spawn(async move { watcher.next().await });
        effects.add(NOW, &[record(1, 1)]);
        let seen = waiting.await.unwrap().unwrap();
        assert_eq!((&*seen.record.id, seen.at), ("1", NOW));
    }

    #[test]
    fn positions_of_another_process_and_of_the_future_are_refused_and_places_are_few() {
        let effects = Effects::new(&Retention::default());
        let own = effects.watch(None).unwrap().position();
        let future = Position {
            number: own.number + 1,
            ..own
        };
        let other = Effects::new(&Retention::default());
        for wrong in [future, other.watch(None).unwrap().position()] {
            assert_eq!(effects.watch(Some(wrong)).unwrap_err(), Unwatched::Missed);
        }
        for text in ["", "-", "1", "x-1", "1-", "1--1", "+1-x"] {
            assert_eq!(text.parse::<Position>(), Err(()), "{text}");
        }
        let all: Vec<_> = (0..MOST_WATCHERS)
            .map(|_| effects.watch(None).unwrap())
            .collect();
        assert_eq!(effects.watch(None).unwrap_err(), Unwatched::Busy);
        drop(all);
        effects.watch(None).unwrap();
    }
}
