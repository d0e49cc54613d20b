//! Where the log has what, so that a search reads the records with a name and not the whole log.
//!
//! A name takes sixteen bytes. A revocation has one for its id, one for itself, and one for each value that it
//! matches; a lift has one. Names are hashes with keys of this process: two different names that share one cost a
//! look at a record more.

use std::fmt;
use std::hash::{Hash, Hasher as _};
use std::ops::ControlFlow;

use siphasher::sip::SipHasher13;

use super::newest::identity;
use crate::revocation::log::embedded::View;
use crate::revocation::record::{Action, Revocation, Target};

/// Records more than there are that may be known before all is read again.
const SLACK: u64 = 4096;

/// What a search can look for without reading the whole log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// The revocations with this id.
    Id(String),
    /// Those that match a claim with this value, whichever claim it is.
    Value(String),
    /// Those of all tokens of this issuer.
    Whole(String),
}

impl Name {
    /// Returns a name that every revocation of this target has.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        match target.matches.values().next() {
            Some(value) => Self::Value(value.clone()),
            None => Self::Whole(target.issuer.clone()),
        }
    }
}

/// Returns whether to read on.
pub(super) const fn stop_if(is_over: bool) -> ControlFlow<()> {
    if is_over {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// The positions of names in the log.
pub(super) struct Catalogue {
    keys: (u64, u64),
    epoch: Option<[u8; 16]>,
    /// Everything up to here is known.
    position: u64,
    records: u64,
    /// Hashes of names, and positions.
    sorted: Vec<(u64, u64)>,
    /// Not sorted yet.
    newest: Vec<(u64, u64)>,
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").finish_non_exhaustive()
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self {
            keys: rand::random(),
            epoch: None,
            position: 0,
            records: 0,
            sorted: Vec::new(),
            newest: Vec::new(),
        }
    }
}

impl Catalogue {
    /// Learns what the log has that is not known yet, until `is_over`.
    pub(super) fn catch_up(
        &mut self,
        view: &View<'_>,
        is_over: impl Fn() -> bool,
    ) -> Result<(), String> {
        let is_bloated = self.records > 2 * view.records() + SLACK;
        if self.epoch != Some(view.epoch()) || is_bloated {
            *self = Self {
                epoch: Some(view.epoch()),
                ..Self::default()
            };
        }
        view.after(self.position, &mut |record, position| {
            self.learn(&record, position);
            Ok(stop_if(is_over()))
        })
    }

    fn learn(&mut self, record: &Revocation, position: u64) {
        self.position = position;
        self.records += 1;
        if record.action == Action::Lift {
            if record.is_about_tokens() {
                self.add(self.lift_of(record), position);
            }
            return;
        }
        self.add(self.identity(record), position);
        self.add(self.hash(Name::Id(record.id.clone())), position);
        for value in record.target.matches.values() {
            self.add(self.hash(Name::Value(value.clone())), position);
        }
        if record.target.matches.is_empty() {
            self.add(self.hash(Name::of(&record.target)), position);
        }
        if self.newest.len() > 4096 + self.sorted.len() / 8 {
            self.sorted.reserve_exact(self.newest.len());
            self.sorted.append(&mut self.newest);
            self.sorted.sort_unstable();
        }
    }

    fn add(&mut self, hash: u64, position: u64) {
        self.newest.push((hash, position));
    }

    /// Returns where the log may have records with one of these names, the oldest first.
    pub(super) fn named(&self, names: &[Name]) -> Vec<u64> {
        let mut all: Vec<u64> = names
            .iter()
            .flat_map(|name| self.positions(self.hash(name)))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Returns where the log may have lifts of this revocation.
    pub(super) fn lifts(&self, record: &Revocation) -> Vec<u64> {
        self.positions(self.lift_of(record))
    }

    /// Returns where the log may have the same revocation, also this one.
    pub(super) fn copies(&self, record: &Revocation) -> Vec<u64> {
        self.positions(self.identity(record))
    }

    /// Returns the positions with this hash, the oldest first.
    fn positions(&self, hash: u64) -> Vec<u64> {
        let from = self.sorted.partition_point(|(own, _)| *own < hash);
        let sorted = self.sorted[from..].iter();
        let sorted = sorted.take_while(|(own, _)| *own == hash);
        let newest = self.newest.iter().filter(|(own, _)| *own == hash);
        sorted
            .chain(newest)
            .map(|(_, position)| *position)
            .collect()
    }

    fn lift_of(&self, record: &Revocation) -> u64 {
        self.hash(("lift", &record.source, &record.cause, &record.target))
    }

    fn identity(&self, record: &Revocation) -> u64 {
        self.hash(("identity", identity(record)))
    }

    fn hash(&self, what: impl Hash) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        what.hash(&mut hasher);
        hasher.finish()
    }
}
