//! A revocation that borrows its texts: from a [`Revocation`], or from the bytes of the log. The
//! replay of a long log allocates nothing per record, and an event is written without a copy.

use smallvec::SmallVec;

use super::{Action, Revocation, Target, Unreadable, wire};
use crate::core::clock::UnixMillis;
use crate::core::lifetime::Bounds;
use crate::core::protobuf::{Fields, Malformed, Output};

const REVOKE: u64 = wire::Action::Revoke as u64;
const LIFT: u64 = wire::Action::Lift as u64;

/// Claims and their values, in the order of the claims.
pub type Matches<'a> = SmallVec<[(&'a str, &'a str); 2]>;

/// See [`Revocation`] for what the fields mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'a> {
    pub id: &'a str,
    pub issuer: &'a str,
    pub matches: Matches<'a>,
    pub action: Action,
    pub issued_at_or_before: Option<UnixMillis>,
    pub expires_at_or_before: Option<UnixMillis>,
    pub occurred_at: UnixMillis,
    pub forget_after: UnixMillis,
    pub source: &'a str,
    pub cause: &'a str,
    pub received_at: UnixMillis,
    pub bounds: Option<Bounds>,
    pub original: Option<&'a [u8]>,
}

impl<'a> View<'a> {
    /// What a message without any field says, but for its action.
    fn nothing() -> Self {
        Self {
            id: "",
            issuer: "",
            matches: Matches::new(),
            action: Action::Revoke,
            issued_at_or_before: None,
            expires_at_or_before: None,
            occurred_at: UnixMillis::default(),
            forget_after: UnixMillis::default(),
            source: "",
            cause: "",
            received_at: UnixMillis::default(),
            bounds: None,
            original: None,
        }
    }

    /// Reads what [`View::encode`] wrote, also in a later version that added fields.
    ///
    /// # Errors
    /// When the bytes are no such message, or ask for what this version does not know.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let mut record = Self::nothing();
        let (mut action, mut is_known) = (0, true);
        let mut fields = Fields::of(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => record.id = value.text()?,
                2 => record.issuer = value.text()?,
                3 => record.add(read_match(value.bytes()?, &mut is_known)?)?,
                4 => record.issued_at_or_before = Some(UnixMillis(value.number()?)),
                5 => record.expires_at_or_before = Some(UnixMillis(value.number()?)),
                6 => record.occurred_at = UnixMillis(value.number()?),
                7 => record.forget_after = UnixMillis(value.number()?),
                8 => record.source = value.text()?,
                9 => record.cause = value.text()?,
                10 => record.received_at = UnixMillis(value.number()?),
                11 => action = value.number()?,
                12 => record.bounds = Some(read_bounds(value.bytes()?, &mut is_known)?),
                _ => is_known = false,
            }
        }
        record.original = (!is_known).then_some(bytes);
        record.action = match action {
            REVOKE => Action::Revoke,
            LIFT => Action::Lift,
            unknown => return Err(Unreadable::Action(unknown)),
        };
        Ok(record)
    }

    fn add(&mut self, (claim, value): (&'a str, &'a str)) -> Result<(), Unreadable> {
        match self
            .matches
            .binary_search_by(|(known, _)| known.cmp(&claim))
        {
            Ok(_) => Err(Unreadable::ClaimTwice(claim.to_owned())),
            Err(place) => {
                self.matches.insert(place, (claim, value));
                Ok(())
            }
        }
    }

    /// See [`Revocation::encode`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if let Some(original) = self.original {
            return original.to_vec();
        }
        let mut out = Output::behind(Vec::with_capacity(self.room()));
        put(&mut out, 1, self.id);
        put(&mut out, 2, self.issuer);
        for (claim, value) in &self.matches {
            out.message(3, |pair| {
                put(pair, 1, claim);
                put(pair, 2, value);
            });
        }
        if let Some(at) = self.issued_at_or_before {
            out.number(4, at.0);
        }
        if let Some(at) = self.expires_at_or_before {
            out.number(5, at.0);
        }
        put_moment(&mut out, 6, self.occurred_at);
        put_moment(&mut out, 7, self.forget_after);
        put(&mut out, 8, self.source);
        put(&mut out, 9, self.cause);
        put_moment(&mut out, 10, self.received_at);
        let action = match self.action {
            Action::Revoke => REVOKE,
            Action::Lift => LIFT,
        };
        out.number(11, action);
        if let Some(bounds) = self.bounds {
            out.message(12, |message| {
                put_number(message, 1, bounds.longest_life);
                put_number(message, 2, bounds.leeway);
            });
        }
        out.into_bytes()
    }

    /// No less than the bytes of the message.
    fn room(&self) -> usize {
        let texts = [self.id, self.issuer, self.source, self.cause];
        let matches = self.matches.iter();
        let of_matches = matches.map(|(claim, value)| 24 + claim.len() + value.len());
        let of_texts = texts.iter().map(|text| 8 + text.len());
        96 + of_texts.sum::<usize>() + of_matches.sum::<usize>()
    }

    #[must_use]
    pub fn to_owned(&self) -> Revocation {
        let matches = self.matches.iter();
        Revocation {
            id: self.id.to_owned(),
            target: Target {
                issuer: self.issuer.to_owned(),
                matches: matches
                    .map(|(claim, value)| ((*claim).to_owned(), (*value).to_owned()))
                    .collect(),
            },
            action: self.action,
            issued_at_or_before: self.issued_at_or_before,
            expires_at_or_before: self.expires_at_or_before,
            occurred_at: self.occurred_at,
            forget_after: self.forget_after,
            source: self.source.to_owned(),
            cause: self.cause.to_owned(),
            received_at: self.received_at,
            bounds: self.bounds,
            original: self.original.map(Into::into),
        }
    }
}

impl<'a> From<&'a Revocation> for View<'a> {
    fn from(record: &'a Revocation) -> Self {
        let matches = record.target.matches.iter();
        Self {
            id: &record.id,
            issuer: &record.target.issuer,
            matches: matches
                .map(|(claim, value)| (claim.as_str(), value.as_str()))
                .collect(),
            action: record.action,
            issued_at_or_before: record.issued_at_or_before,
            expires_at_or_before: record.expires_at_or_before,
            occurred_at: record.occurred_at,
            forget_after: record.forget_after,
            source: &record.source,
            cause: &record.cause,
            received_at: record.received_at,
            bounds: record.bounds,
            original: record.original.as_deref(),
        }
    }
}

/// A text that is empty is not written, as everywhere in protobuf.
fn put(out: &mut Output, number: u32, text: &str) {
    if !text.is_empty() {
        out.text(number, text);
    }
}

/// Nor is a moment that is zero.
fn put_moment(out: &mut Output, number: u32, at: UnixMillis) {
    put_number(out, number, at.0);
}

fn put_number(out: &mut Output, number: u32, value: u64) {
    if value != 0 {
        out.number(number, value);
    }
}

fn read_match<'a>(message: &'a [u8], is_known: &mut bool) -> Result<(&'a str, &'a str), Malformed> {
    let (mut claim, mut value) = ("", "");
    let mut fields = Fields::of(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => claim = field.text()?,
            2 => value = field.text()?,
            _ => *is_known = false,
        }
    }
    Ok((claim, value))
}

fn read_bounds(message: &[u8], is_known: &mut bool) -> Result<Bounds, Malformed> {
    let mut bounds = Bounds {
        longest_life: 0,
        leeway: 0,
    };
    let mut fields = Fields::of(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => bounds.longest_life = field.number()?,
            2 => bounds.leeway = field.number()?,
            _ => *is_known = false,
        }
    }
    Ok(bounds)
}

impl Revocation {
    /// The log's bytes (`proto/portcullis/v1/revocation.proto`): those that it was read from, where they
    /// say more than this version understands.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        View::from(self).encode()
    }

    /// Reads what [`Revocation::encode`] wrote, also in a later version that added fields.
    ///
    /// # Errors
    /// When the bytes are no such message, or ask for what this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        View::decode(bytes).map(|record| record.to_owned())
    }
}
