//! A token's payload in the form that look-ups read.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::json::{self, Json, Object};

/// The texts that a revocation compares with: one for a scalar claim, one per scalar item of an
/// array.
pub type Values<'a> = SmallVec<[&'a str; 4]>;

/// A token's payload, for comparing: its members' names, each followed by its values as texts. A
/// number or a boolean is its text, an array its scalar items; `null` is left out.
///
/// The members of the payload come first. Behind them stand the objects among them, each as its
/// name and the members of the object, which carry their depth. So a look-up of a plain member
/// reads no more than if there were no objects.
///
/// It lies in two blocks of memory, because a look-up reads it on every check, and of a hundred
/// thousand tokens most are in no processor cache.
#[derive(Clone)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct Payload {
    /// All texts, one behind the other.
    pub(super) text: Box<str>,
    pub(super) pieces: Box<[Piece]>,
    /// How many of the pieces are the payload's own members.
    pub(super) own: u32,
}

/// Where a text ends that begins where the one before it ended; whether it is a name or a value, and of
/// what type. A name says how many objects it lies in.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) struct Piece(u32);

impl Piece {
    const NAME: u32 = 1 << 31;
    /// Of a name: its value is an object.
    const OBJECT: u32 = 1 << 30;
    /// Of a name: its value is a list, some items of which are not written behind it.
    const MIXED: u32 = 1 << 29;
    /// Of a value: it is a number.
    const NUMBER: u32 = 1 << 30;
    /// Of a value: it is a boolean.
    const BOOL: u32 = 1 << 29;
    /// Of a value: it is an item of a list.
    const ITEM: u32 = 1 << 28;
    const DEPTH: u32 = 24;
    const DEEPEST: u32 = 0x1f;
    const END: u32 = (1 << Self::DEPTH) - 1;

    const fn is(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    pub(super) const fn end(self) -> usize {
        (self.0 & Self::END) as usize
    }

    pub(super) const fn is_object(self) -> bool {
        self.is(Self::OBJECT)
    }

    pub(super) const fn is_mixed(self) -> bool {
        self.is(Self::MIXED)
    }

    pub(super) const fn is_number(self) -> bool {
        self.is(Self::NUMBER)
    }

    pub(super) const fn is_bool(self) -> bool {
        self.is(Self::BOOL)
    }

    pub(super) const fn is_item(self) -> bool {
        self.is(Self::ITEM)
    }

    pub(super) const fn is_name(self) -> bool {
        self.is(Self::NAME)
    }

    pub(super) const fn depth(self) -> usize {
        ((self.0 >> Self::DEPTH) & Self::DEEPEST) as usize
    }
}

impl Payload {
    /// Returns the values of a member; `None` when there is no such member.
    pub(super) fn member(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        let own = &self.pieces[..self.own as usize];
        let mut start = 0;
        let place = own.iter().position(|piece| {
            let text = start..piece.end();
            start = piece.end();
            // Few names are of the right length, so few texts are looked at.
            piece.is_name() && text.len() == name.len() && &self.text[text] == name
        })?;
        let behind = own[place + 1..].iter();
        let values = behind.take_while(|piece| !piece.is_name());
        Some(values.map(move |piece| {
            let text = start..piece.end();
            start = piece.end();
            &self.text[text]
        }))
    }

    /// Returns the values at a path, in all objects that it leads to; `None` when it leads nowhere.
    pub(super) fn at(&self, path: &[Box<str>]) -> Option<Values<'_>> {
        if let [name] = path {
            return self.member(name).map(Iterator::collect);
        }
        let (own, nested) = self.pieces.split_at(self.own as usize);
        let mut start = own.last().map_or(0, |piece| piece.end());
        let (mut found, mut stepped, mut here) = (None::<Values<'_>>, 0, false);
        for piece in nested {
            let text = &self.text[start..piece.end()];
            start = piece.end();
            if piece.is_name() {
                // A name ends every object that lies as deep as it or deeper.
                stepped = stepped.min(piece.depth());
                let steps = stepped == piece.depth()
                    && path.get(stepped).is_some_and(|name| **name == *text);
                stepped += usize::from(steps);
                here = steps && stepped == path.len();
                found = found.or_else(|| here.then(Values::new));
            } else if here && let Some(found) = &mut found {
                found.push(text);
            }
        }
        found
    }
}

impl From<&Object<'_>> for Payload {
    fn from(payload: &Object<'_>) -> Self {
        Self::with(payload, None)
    }
}

impl Payload {
    /// Reads a payload and adds a member that it does not have.
    pub(crate) fn with(payload: &Object<'_>, added: Option<(&str, &str)>) -> Self {
        let mut writing = Writing {
            text: String::with_capacity(USUAL_TEXT),
            pieces: Vec::with_capacity(USUAL_PIECES),
        };
        for (name, value) in payload.iter() {
            writing.member(name, value, 0);
        }
        if let Some((name, value)) = added {
            writing.text.push_str(name);
            writing.end_piece(Piece::NAME);
            writing.text.push_str(value);
            writing.end_piece(0);
        }
        let own = writing.pieces.len();
        for (name, value) in payload.iter() {
            writing.objects(name, value, 0);
        }
        Self {
            text: writing.text.into(),
            pieces: writing.pieces.into(),
            own: u32::try_from(own).expect("a token is far below 4 GiB"),
        }
    }
}

/// For claims that come from no token.
impl From<&Map<String, Value>> for Payload {
    fn from(members: &Map<String, Value>) -> Self {
        let text = Value::from(members.clone()).to_string();
        let payload = json::object_within(text.as_bytes(), usize::MAX);
        Self::from(&payload.expect("the caller wrote the claims"))
    }
}

/// Room for most payloads, so that little is moved.
const USUAL_TEXT: usize = 512;
const USUAL_PIECES: usize = 64;

/// A payload that is being written.
struct Writing {
    text: String,
    pieces: Vec<Piece>,
}

impl Writing {
    /// Writes a member and its values, but not the members of its objects.
    fn member(&mut self, name: &str, value: &Json<'_>, depth: u32) {
        if *value == Json::Null {
            return;
        }
        let is_scalar =
            |value: &Json<'_>| !matches!(value, Json::Null | Json::List(_) | Json::Object(_));
        let (values, of_value, of_name) = match value {
            Json::List(items) if items.iter().all(is_scalar) => (&items[..], Piece::ITEM, 0),
            Json::List(items) => (&items[..], Piece::ITEM, Piece::MIXED),
            Json::Object(_) => (&[][..], 0, Piece::OBJECT),
            scalar => (std::slice::from_ref(scalar), 0, 0),
        };
        self.text.push_str(name);
        self.end_piece(Piece::NAME | of_name | (depth << Piece::DEPTH));
        for value in values {
            // `5` and `"5"` are the same tenant to an operator.
            let of_type = match value {
                Json::Text(text) => {
                    self.text.push_str(text);
                    0
                }
                Json::Digits(digits) => {
                    self.text.push_str(digits);
                    Piece::NUMBER
                }
                Json::Number(number) => {
                    let _ = write!(self.text, "{number}");
                    Piece::NUMBER
                }
                Json::Bool(flag) => {
                    let _ = write!(self.text, "{flag}");
                    Piece::BOOL
                }
                Json::Null | Json::List(_) | Json::Object(_) => continue,
            };
            self.end_piece(of_value | of_type);
        }
    }

    /// Writes the objects of a member.
    fn objects(&mut self, name: &str, value: &Json<'_>, depth: u32) {
        match value {
            Json::Object(object) => {
                self.member(name, value, depth);
                for (inner, value) in object.iter() {
                    if !matches!(value, Json::Object(_)) {
                        self.member(inner, value, depth + 1);
                    }
                    self.objects(inner, value, depth + 1);
                }
            }
            Json::List(items) => {
                for item in items.iter().filter(|item| matches!(item, Json::Object(_))) {
                    self.objects(name, item, depth);
                }
            }
            _ => {}
        }
    }

    fn end_piece(&mut self, flags: u32) {
        let end = u32::try_from(self.text.len()).ok();
        let end = end.filter(|end| *end <= Piece::END);
        let end = end.expect("a token is far below 16 MiB");
        self.pieces.push(Piece(end | flags));
    }
}
