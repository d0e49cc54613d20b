//! Records on their way from a log to its follower.

use std::slice;
use std::sync::Arc;

use crate::core::clock::UnixMillis;
use crate::core::lifetime::Bounds;
use crate::revocation::record::{Action, Matches, Revocation, View};

/// Records in log order.
#[derive(Clone, Debug)]
pub struct Records {
    form: Form,
    to_come: usize,
}

#[derive(Clone, Debug)]
enum Form {
    /// As they were received.
    Whole(Vec<Arc<Revocation>>),
    /// As they were read from a disk, by the thousand.
    Packed(Packed),
}

impl Records {
    #[must_use]
    pub const fn len(&self) -> usize {
        match &self.form {
            Form::Whole(records) => records.len(),
            Form::Packed(packed) => packed.rows.len(),
        }
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are still to come in this replay; 0 when the log has not counted them.
    #[must_use]
    pub const fn to_come(&self) -> usize {
        self.to_come
    }

    /// The same ones, with so many `to_come`.
    #[must_use]
    pub fn before(self, to_come: usize) -> Self {
        Self { to_come, ..self }
    }

    /// Whether one of them is about bounds.
    #[must_use]
    pub fn have_bounds(&self) -> bool {
        match &self.form {
            Form::Whole(records) => records.iter().any(|record| record.bounds.is_some()),
            Form::Packed(packed) => packed.rows.iter().any(|row| row.bounds.is_some()),
        }
    }

    #[must_use]
    pub fn iter(&self) -> Box<dyn Iterator<Item = View<'_>> + '_> {
        match &self.form {
            Form::Whole(records) => Box::new(records.iter().map(|record| View::from(&**record))),
            Form::Packed(packed) => Box::new(packed.views()),
        }
    }

    /// Each on its own, to be kept.
    #[must_use]
    pub fn into_whole(self) -> Vec<Arc<Revocation>> {
        match self.form {
            Form::Whole(records) => records,
            Form::Packed(packed) => {
                let views = packed.views();
                views.map(|record| Arc::new(record.to_owned())).collect()
            }
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<Arc<Revocation>>> for Records {
    fn from(records: Vec<Arc<Revocation>>) -> Self {
        Self {
            form: Form::Whole(records),
            to_come: 0,
        }
    }
}

impl From<Packed> for Records {
    fn from(records: Packed) -> Self {
        Self {
            form: Form::Packed(records),
            to_come: 0,
        }
    }
}

impl IntoIterator for Records {
    type Item = Arc<Revocation>;
    type IntoIter = std::vec::IntoIter<Arc<Revocation>>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_whole().into_iter()
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = View<'a>;
    type IntoIter = Box<dyn Iterator<Item = View<'a>> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Many records in three blocks of memory: a record of its own has ten, which one thread would
/// allocate and another one free.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    /// All texts, one behind the other, in the order in which [`Views`] cuts them off.
    text: String,
    matches: Vec<Match>,
    rows: Vec<Row>,
}

/// The lengths of a claim's name and of its value.
#[derive(Clone, Copy, Debug)]
struct Match {
    claim: usize,
    value: usize,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    id: usize,
    issuer: usize,
    source: usize,
    cause: usize,
    matches: usize,
    action: Action,
    issued_at_or_before: Option<UnixMillis>,
    expires_at_or_before: Option<UnixMillis>,
    occurred_at: UnixMillis,
    forget_after: UnixMillis,
    received_at: UnixMillis,
    bounds: Option<Bounds>,
}

impl Packed {
    pub(super) fn push(&mut self, record: &View<'_>) {
        let row = Row {
            id: self.add(record.id),
            issuer: self.add(record.issuer),
            source: self.add(record.source),
            cause: self.add(record.cause),
            matches: record.matches.len(),
            action: record.action,
            issued_at_or_before: record.issued_at_or_before,
            expires_at_or_before: record.expires_at_or_before,
            occurred_at: record.occurred_at,
            forget_after: record.forget_after,
            received_at: record.received_at,
            bounds: record.bounds,
        };
        self.rows.push(row);
        for (claim, value) in &record.matches {
            let lengths = Match {
                claim: self.add(claim),
                value: self.add(value),
            };
            self.matches.push(lengths);
        }
    }

    fn add(&mut self, text: &str) -> usize {
        self.text.push_str(text);
        text.len()
    }

    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bytes of all texts.
    pub(super) const fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Takes what is there; what comes next gets as much room.
    pub(super) fn take(&mut self) -> Records {
        let empty = Self {
            text: String::with_capacity(self.text.len()),
            matches: Vec::with_capacity(self.matches.len()),
            rows: Vec::with_capacity(self.rows.len()),
        };
        std::mem::replace(self, empty).into()
    }

    fn views(&self) -> Views<'_> {
        Views {
            text: &self.text,
            matches: &self.matches,
            rows: self.rows.iter(),
        }
    }
}

/// Cuts a record after the other off what is left.
struct Views<'a> {
    text: &'a str,
    matches: &'a [Match],
    rows: slice::Iter<'a, Row>,
}

impl<'a> Views<'a> {
    fn cut(&mut self, length: usize) -> &'a str {
        let (text, rest) = self.text.split_at(length);
        self.text = rest;
        text
    }

    fn cut_matches(&mut self, count: usize) -> Matches<'a> {
        let (matches, rest) = self.matches.split_at(count);
        self.matches = rest;
        let cut = |lengths: &Match| (self.cut(lengths.claim), self.cut(lengths.value));
        matches.iter().map(cut).collect()
    }
}

impl<'a> Iterator for Views<'a> {
    type Item = View<'a>;

    fn next(&mut self) -> Option<View<'a>> {
        let row = self.rows.next()?;
        // In the order of [`Packed::push`].
        Some(View {
            id: self.cut(row.id),
            issuer: self.cut(row.issuer),
            source: self.cut(row.source),
            cause: self.cut(row.cause),
            matches: self.cut_matches(row.matches),
            action: row.action,
            issued_at_or_before: row.issued_at_or_before,
            expires_at_or_before: row.expires_at_or_before,
            occurred_at: row.occurred_at,
            forget_after: row.forget_after,
            received_at: row.received_at,
            bounds: row.bounds,
            // Only an index reads what is packed.
            original: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Target;

    fn record(number: u64, claims: &[&str]) -> Arc<Revocation> {
        let at = UnixMillis(number);
        let matches = claims
            .iter()
            .map(|claim| ((*claim).to_owned(), "ü".repeat(claim.len())));
        Arc::new(Revocation {
            id: number.to_string(),
            target: Target {
                issuer: "issuer".repeat(usize::from(number.is_multiple_of(2))),
                matches: matches.collect(),
            },
            action: Action::Lift,
            issued_at_or_before: (number.is_multiple_of(3)).then_some(at),
            expires_at_or_before: (number % 3 == 1).then_some(at),
            occurred_at: UnixMillis(number + 1),
            forget_after: UnixMillis(number + 2),
            source: "source".to_owned(),
            cause: "cause".to_owned(),
            received_at: UnixMillis(number + 3),
            bounds: (number == 1).then_some(Bounds {
                longest_life: 7,
                leeway: 8,
            }),
            original: None,
        })
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let claims: [&[&str]; 4] = [&[], &["sub"], &["a", "b", "c"], &[""]];
        let records: Vec<_> = (0..)
            .zip(claims)
            .map(|(i, claims)| record(i, claims))
            .collect();
        let mut packed = Packed::default();
        for record in &records {
            packed.push(&View::from(&**record));
        }
        let taken = packed.take().before(7);
        assert_eq!((taken.len(), taken.to_come(), packed.len()), (4, 7, 0));
        assert!(
            taken
                .iter()
                .eq(records.iter().map(|record| View::from(&**record)))
        );
        assert_eq!(taken.into_whole(), records);
        packed.push(&View::from(&*records[2]));
        assert_eq!(packed.take().into_whole(), records[2..3]);
    }
}
