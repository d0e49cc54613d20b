//! What servers may take the path of a request for.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::path;
use crate::core::request::Request;

/// The path of a request, as far as all servers agree about it.
pub(super) struct Reading<'r> {
    /// The first segments. Servers agree where they begin and end, not always what they say.
    pub(super) segments: SmallVec<[Segment<'r>; 8]>,
    pub(super) rest: Rest,
    /// Whether all servers read the whole path alike.
    pub(super) is_plain: bool,
}

/// What may follow the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// One segment or more, of which nothing is known.
    Some,
    /// Anything. It may lead back above the segments too, so there are none.
    Anything,
}

/// A segment of a path.
pub(super) struct Segment<'r> {
    /// As the client sent it.
    pub(super) text: &'r str,
    /// The same for all segments that some server may not tell apart.
    pub(super) folded: Cow<'r, str>,
    /// The hash of the folded text; `None` with a dot, since what follows it may not count.
    hash: Option<u32>,
}

/// A segment that every path of a rule has, by its place and the hash of its folded text. With two hundred
/// rules, comparing numbers costs a tenth of comparing the segments of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hint {
    place: usize,
    hash: u32,
}

impl Hint {
    pub(super) fn of(place: usize, folded: &str) -> Self {
        let hash = hash(folded);
        Self { place, hash }
    }
}

/// For rules that need no segment.
impl Default for Hint {
    fn default() -> Self {
        Self {
            place: usize::MAX,
            hash: 0,
        }
    }
}

/// FNV-1a. Two texts with one hash are compared, so nobody gains from finding such texts.
fn hash(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    text.bytes().fold(0x811c_9dc5, step)
}

/// What a segment may be taken for.
enum Kind<'r> {
    One(Segment<'r>),
    /// Some servers end it early, or see several segments.
    Several,
    /// It may lead elsewhere.
    Anything,
}

impl<'r> Reading<'r> {
    pub(super) fn of(request: &'r Request<'_>) -> Self {
        let is_legible = request.query().bytes().all(|byte| byte.is_ascii_graphic());
        if !is_legible || path::overridden(request) {
            return Self::anything();
        }
        let path = request.path();
        if path::plain(path).is_ok() {
            return Self {
                segments: path[1..]
                    .split('/')
                    .map(|text| Segment::new(text, text.into()))
                    .collect(),
                rest: Rest::Nothing,
                is_plain: true,
            };
        }
        Self::of_odd(path).unwrap_or_else(Self::anything)
    }

    /// Reads a path that servers read differently. `None`: as anything.
    fn of_odd(path: &'r str) -> Option<Self> {
        let mut reading = Self {
            segments: SmallVec::new(),
            rest: Rest::Nothing,
            is_plain: false,
        };
        let mut texts = path.strip_prefix('/')?.split('/').peekable();
        while let Some(text) = texts.next() {
            if text.is_empty() && texts.peek().is_some() {
                // To some servers, what follows two slashes is a path of its own.
                return None;
            }
            match kind(text) {
                Kind::One(segment) if reading.rest == Rest::Nothing => {
                    reading.segments.push(segment);
                }
                Kind::One(_) => {}
                Kind::Several => reading.rest = Rest::Some,
                Kind::Anything => return None,
            }
        }
        Some(reading)
    }

    /// Returns whether a path with that segment may be meant.
    pub(super) fn may_have(&self, hint: Hint) -> bool {
        let own = self.segments.get(hint.place);
        own.and_then(|own| own.hash)
            .is_none_or(|hash| hash == hint.hash)
    }

    fn anything() -> Self {
        Self {
            segments: SmallVec::new(),
            rest: Rest::Anything,
            is_plain: false,
        }
    }
}

impl<'r> Segment<'r> {
    fn new(text: &'r str, decoded: Cow<'r, str>) -> Self {
        let folded = folded(decoded);
        Self {
            text,
            hash: (!folded.contains('.')).then(|| hash(&folded)),
            folded,
        }
    }
}

fn kind(text: &str) -> Kind<'_> {
    let Some(decoded) = decoded(text) else {
        return Kind::Anything;
    };
    // A server may end the segment, or the whole path, at any of these.
    let mut pieces = decoded.split(['/', '\\', ';', '?', '#']);
    let is_dots = |piece: &str| {
        let piece = piece.trim_matches(' ');
        !piece.is_empty() && piece.bytes().all(|byte| byte == b'.')
    };
    if pieces.clone().any(is_dots) {
        return Kind::Anything;
    }
    let slashes = decoded.replace('\\', "/");
    if slashes.starts_with('/') || slashes.ends_with('/') || slashes.contains("//") {
        return Kind::Anything;
    }
    if pieces.nth(1).is_some() {
        return Kind::Several;
    }
    Kind::One(Segment::new(text, decoded))
}

/// Decodes a segment. Returns `None` if servers may decode it to something else: encodings that are
/// broken, nested or overlong, controls, characters that are no letters.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let is_sent = |byte: u8| path::is_plain(byte) || matches!(byte, b'%' | b';' | b'\\');
    if !text.bytes().all(is_sent) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let is_sound = |letter: char| match letter {
        '%' => false,
        // The second range: accents that follow their letter.
        ' '..='~' | '\u{300}'..='\u{36f}' => true,
        _ => letter.is_alphanumeric(),
    };
    decoded.chars().all(is_sound).then_some(decoded)
}

/// Folds case, compatible letters and what file systems drop from the end of a name. What servers may not
/// tell apart becomes the same text.
pub(super) fn folded(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_folded = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if text.bytes().all(is_folded) && !text.ends_with(['.', ' ']) {
        return text;
    }
    let text = ComposingNormalizerBorrowed::new_nfkc()
        .normalize(&text)
        .to_lowercase();
    Cow::Owned(text.trim_end_matches(['.', ' ']).to_owned())
}
