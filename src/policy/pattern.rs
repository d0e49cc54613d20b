//! Paths as rules name them.

use super::path::plain;
use super::reading::{Hint, Reading, Rest, Segment, folded};

/// Whether something matches, by the readings of all servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    /// For no server.
    No,
    /// For some servers, or nobody can tell.
    Maybe,
    /// For every server.
    Yes,
}

/// The paths that a rule matches.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// The first segments; a slash at the end of a whole path is an empty segment.
    segments: Box<[Own]>,
    /// How many more segments a path needs at least, if it may have more.
    more: Option<usize>,
}

/// A segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Own {
    Literal {
        text: Box<str>,
        folded: Box<str>,
    },
    /// `{name}`: any segment that is not empty.
    Any,
}

impl Pattern {
    /// Every path, however it is written.
    pub(super) fn everything() -> Self {
        Self {
            segments: Box::default(),
            more: Some(0),
        }
    }

    /// Reads a whole path. With `has_names`, a segment may be `{name}`.
    ///
    /// # Errors
    /// Why no path can match, as the end of a sentence.
    pub(super) fn whole(text: &str, has_names: bool) -> Result<Self, &'static str> {
        Ok(Self {
            segments: segments(text, has_names)?.into(),
            more: None,
        })
    }

    /// Reads a prefix: `/a` matches `/a` and what is below it, `/a/` only what is below it.
    ///
    /// # Errors
    /// Why no path can match, as the end of a sentence.
    pub(super) fn prefix(text: &str, has_names: bool) -> Result<Self, &'static str> {
        let mut segments = segments(text, has_names)?;
        let is_below = segments.pop_if(|last| last.is_empty()).is_some();
        // Every path has a segment.
        let more = usize::from(is_below && !segments.is_empty());
        Ok(Self {
            segments: segments.into(),
            more: Some(more),
        })
    }

    pub(super) const fn is_everything(&self) -> bool {
        self.segments.is_empty() && self.more.is_some()
    }

    /// Returns what tells most other paths from its own: its last literal segment.
    pub(super) fn hint(&self) -> Hint {
        let literals = self.segments.iter().enumerate().rev();
        let mut hints = literals.filter_map(|(place, own)| match own {
            Own::Literal { folded, .. } => Some(Hint::of(place, folded)),
            Own::Any => None,
        });
        hints.next().unwrap_or_default()
    }

    /// Returns whether it matches a path.
    pub(super) fn matches(&self, path: &Reading<'_>) -> Match {
        if self.is_everything() {
            return Match::Yes;
        }
        let (known, own) = (&path.segments[..], &self.segments[..]);
        let mut found = Match::Yes;
        for (i, (segment, own)) in known.iter().zip(&self.segments).enumerate() {
            let ends_both = i + 1 == known.len().max(self.segments.len());
            match own.matches(segment, ends_both && path.rest == Rest::Nothing) {
                Match::No => return Match::No,
                segment => found = found.min(segment),
            }
        }
        let extent = match (self.more, path.rest) {
            (None, Rest::Nothing) if known.len() == own.len() => Match::Yes,
            (None, Rest::Nothing) => self.apart_from_a_slash(known),
            (None, Rest::Some) if known.len() > own.len() => Match::No,
            (Some(more), Rest::Nothing) if known.len() >= own.len() + more => Match::Yes,
            (Some(1), Rest::Nothing) if known.len() == own.len() => Match::Maybe,
            (Some(_), Rest::Nothing) => Match::No,
            (Some(_), Rest::Some) if known.len() >= own.len() => Match::Yes,
            (_, Rest::Some | Rest::Anything) => Match::Maybe,
        };
        found.min(extent)
    }

    /// Compares lengths as the many servers do that do not tell `/a/` from `/a`.
    fn apart_from_a_slash(&self, known: &[Segment<'_>]) -> Match {
        let own = &self.segments;
        let known_ends = known.last().is_some_and(|last| last.text.is_empty());
        let own_ends = own.last().is_some_and(Own::is_empty);
        let is_alike =
            known_ends && known.len() == own.len() + 1 || own_ends && own.len() == known.len() + 1;
        if is_alike { Match::Maybe } else { Match::No }
    }

    /// Returns whether it matches every path that the other one matches for certain.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let (own, others) = (&self.segments, &other.segments);
        let extent = match (self.more, other.more) {
            (None, None) => own.len() == others.len(),
            (None, Some(_)) => false,
            (Some(more), _) => own.len() + more <= others.len() + other.more.unwrap_or(0),
        };
        extent && own.iter().zip(others).all(|(own, other)| own.covers(other))
    }
}

impl Own {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal { text, .. } if text.is_empty())
    }

    /// `is_last` says that neither the path nor the pattern goes on.
    fn matches(&self, segment: &Segment<'_>, is_last: bool) -> Match {
        match self {
            Self::Any if segment.text.is_empty() => Match::No,
            Self::Any => Match::Yes,
            Self::Literal { text, .. } if **text == *segment.text => Match::Yes,
            Self::Literal { folded, .. } if **folded == *segment.folded => Match::Maybe,
            // To some frameworks `/a.json` is `/a`.
            Self::Literal { folded, .. } if is_last && !folded.is_empty() => {
                let rest = segment.folded.strip_prefix(&**folded);
                if rest.is_some_and(|rest| rest.starts_with('.')) {
                    Match::Maybe
                } else {
                    Match::No
                }
            }
            Self::Literal { .. } => Match::No,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self == other || *self == Self::Any && !other.is_empty()
    }
}

fn segments(path: &str, has_names: bool) -> Result<Vec<Own>, &'static str> {
    let named = |segment: &str| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (!name.is_empty() && name.bytes().all(is_letter)).then_some(())
    };
    let mut plainly = Vec::new();
    let below = path.strip_prefix('/').unwrap_or(path);
    let own = below.split('/').map(|segment| {
        if has_names && named(segment).is_some() {
            plainly.push("x");
            return Own::Any;
        }
        plainly.push(segment);
        Own::Literal {
            text: segment.into(),
            folded: folded(segment.into()).into(),
        }
    });
    let own = own.collect();
    let slash = if path.starts_with('/') { "/" } else { "" };
    plain(&format!("{slash}{}", plainly.join("/")))?;
    Ok(own)
}
