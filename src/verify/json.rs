//! Strict JSON: one object and nothing after it, no member named twice at any depth, no deep
//! nesting. Two parsers that disagree about a duplicate member disagree about who the user is.
//!
//! Every token that is seen for the first time pays for two such objects, so names and texts are
//! borrowed from the text that is read, and members lie in a row, as they stand there.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::claims::{Node, Tree};

/// How deep objects and arrays may nest, the outermost included. Real tokens stay below 6.
const DEEPEST: usize = 32;

/// How many values a token's part may hold, so that no token takes much more memory than it is long.
/// Real tokens stay below 1,200: a kilobyte of JSON holds a hundred short role names.
const IN_A_TOKEN: usize = 2_048;

/// Up to so many names are compared each with each; tokens rarely have more members.
const FEW: usize = 32;

/// Any JSON value.
#[derive(Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    /// An integer that does not fit into 64 bits, digit by digit.
    Digits(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// A member of an object: its name and its value.
pub(super) type Member<'a> = (Cow<'a, str>, Json<'a>);

/// An object's members, each of its own name, in the order of the text.
#[derive(Debug, PartialEq)]
pub(super) struct Object<'a>(Vec<Member<'a>>);

impl<'a> Object<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        let mut members = self.0.iter();
        let found = members.find(|(held, _)| held == name);
        found.map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> + Clone {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    pub(super) fn into_members(self) -> impl Iterator<Item = Member<'a>> {
        self.0.into_iter()
    }
}

impl Tree for Json<'_> {
    fn node(&self) -> Node<'_, Self> {
        match self {
            Self::Null => Node::Null,
            Self::Bool(flag) => Node::Flag(*flag),
            Self::Number(number) => Node::Number(number),
            Self::Digits(digits) => Node::Text(digits),
            Self::Text(text) => Node::Text(text),
            Self::List(items) => Node::List(items),
            Self::Object(_) => Node::Object,
        }
    }

    fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let object = match self {
            Self::Object(object) => Some(object),
            _ => None,
        };
        object.into_iter().flat_map(Object::iter)
    }
}

/// Reads one JSON object of a token.
///
/// # Errors
/// What is wrong, without a word of the text itself.
pub(super) fn object(text: &[u8]) -> Result<Object<'_>, Malformed> {
    object_within(text, IN_A_TOKEN)
}

/// Reads one JSON object that holds at most `most` values, itself included.
///
/// # Errors
/// As of [`object`].
pub(super) fn object_within(text: &[u8], most: usize) -> Result<Object<'_>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed::NotUtf8)?;
    let reading = Reading {
        left: Cell::new(most),
        floats: Cell::new(false),
        passed: Cell::new(None),
    };
    let not_json = |error: serde_json::Error| {
        reading.passed.get().unwrap_or(Malformed::NotJson {
            line: error.line(),
            column: error.column(),
        })
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let strict = Strict {
        levels: DEEPEST,
        reading: &reading,
    };
    let mut value = strict.deserialize(&mut deserializer).map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    if reading.floats.get() {
        restore_digits(&mut value, &mut numbers(text));
    }
    match value {
        Json::Object(object) => Ok(object),
        _ => Err(Malformed::NotAnObject),
    }
}

/// Returns the text without a byte order mark, which some editors and servers put before JSON
/// (RFC 8259 §8.1 lets a reader ignore it).
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Why a text is not one strict JSON object. serde's own message may quote the text, so it is
/// dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("not JSON (line {line}, column {column})")]
    NotJson { line: usize, column: usize },
    #[error("JSON, but not an object")]
    NotAnObject,
    #[error("JSON that names a member twice")]
    Duplicate,
    #[error("JSON that is nested too deeply")]
    TooDeep,
    #[error("JSON with too many values")]
    TooMany,
}

/// What is known while a text is read.
struct Reading {
    /// How many more values may come.
    left: Cell<usize>,
    /// Set once a number was read as a float.
    floats: Cell<bool>,
    /// The rule that the text broke, if it is JSON.
    passed: Cell<Option<Malformed>>,
}

impl Reading {
    fn refuse<E: Error>(&self, why: Malformed) -> E {
        self.passed.set(Some(why));
        E::custom(why)
    }

    fn count<E: Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left
            .set(left.ok_or_else(|| self.refuse(Malformed::TooMany))?);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Strict<'r> {
    /// How many more levels may follow.
    levels: usize,
    reading: &'r Reading,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1);
        let levels = levels.ok_or_else(|| self.reading.refuse(Malformed::TooDeep))?;
        Ok(Self { levels, ..self })
    }

    /// For how many members to have room at first: a token's payload fits, and many small objects
    /// within one take little more than they need.
    const fn room(self) -> usize {
        if self.levels == DEEPEST { 16 } else { 0 }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        self.reading.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        self.reading.floats.set(true);
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not finite"))?;
        Ok(Json::Number(number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut object = Vec::with_capacity(self.room());
        while let Some(name) = members.next_key_seed(Name)? {
            object.push((name, members.next_value_seed(inner)?));
        }
        if any_is_named_twice(&object) {
            return Err(self.reading.refuse(Malformed::Duplicate));
        }
        Ok(Json::Object(Object(object)))
    }
}

/// A member's name: borrowed, where it is written without escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Puts the digits of integers that do not fit into 64 bits in the place of the floats that
/// `serde_json` made of them: an id must not lose its last digits. `numbers` are the numbers of the
/// text, which stand there in the order of the values.
fn restore_digits<'a>(value: &mut Json<'a>, numbers: &mut impl Iterator<Item = &'a str>) {
    match value {
        Json::Number(number) => {
            let literal = numbers.next().filter(|_| number.is_f64());
            let is_integer = |text: &&str| !text.contains(['.', 'e', 'E']);
            if let Some(digits) = literal.filter(is_integer) {
                *value = Json::Digits(digits);
            }
        }
        Json::List(items) => items
            .iter_mut()
            .for_each(|item| restore_digits(item, numbers)),
        Json::Object(Object(members)) => members
            .iter_mut()
            .for_each(|(_, value)| restore_digits(value, numbers)),
        Json::Null | Json::Bool(_) | Json::Digits(_) | Json::Text(_) => {}
    }
}

/// The numbers of a text that is known to be JSON, as they are written.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let place = rest.find(|c: char| matches!(c, '"' | '-' | '0'..='9'))?;
            rest = &rest[place..];
            if !rest.starts_with('"') {
                let end =
                    rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
                let (number, behind) = rest.split_at(end.unwrap_or(rest.len()));
                rest = behind;
                return Some(number);
            }
            let mut escaped = false;
            let ends = |byte: u8| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            };
            rest = &rest[rest.bytes().skip(1).position(ends)? + 2..];
        }
    })
}

/// Whoever sends ten thousand members shall not have fifty million comparisons made.
fn any_is_named_twice(members: &[Member<'_>]) -> bool {
    if members.len() > FEW {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        return names.windows(2).any(|pair| pair[0] == pair[1]);
    }
    // One of 64 bits by a name's look. Most names have a bit of their own, and so need no
    // comparison at all.
    let mut looks = 0;
    members.iter().enumerate().any(|(place, (name, _))| {
        let look = look(name);
        let is_new = looks & look == 0;
        looks |= look;
        !is_new && members[..place].iter().any(|(other, _)| other == name)
    })
}

fn look(name: &str) -> u64 {
    let ends = match name.as_bytes() {
        [first, .., last] => first.wrapping_mul(5).wrapping_add(*last),
        rest => rest.first().copied().unwrap_or_default(),
    };
    1 << ((usize::from(ends) + 9 * name.len()) % 64)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
