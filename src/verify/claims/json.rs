//! Strict JSON: one object and nothing after it, no member named twice at any depth, no deep
//! nesting. Two parsers that disagree about a duplicate member disagree about who the user is.
//!
//! Every token that is seen for the first time pays for two such objects. So names and texts are
//! borrowed from the input, and members are kept in a vector in the order of the input.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use smallvec::SmallVec;

/// How deep objects and arrays may nest, the outermost included. Real tokens stay below 6.
const DEEPEST: usize = 32;

/// The most values in one part of a token, so that the tree does not take much more memory than the
/// token. Real tokens stay below 1,200: a kilobyte of JSON holds a hundred short role names.
const IN_A_TOKEN: usize = 2_048;

/// Any JSON value.
#[derive(Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    /// An integer that does not fit into 64 bits, as written.
    Digits(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// A member of an object: its name and its value.
pub(crate) type Member<'a> = (Cow<'a, str>, Json<'a>);

/// The members of an object in the order of the input. No name occurs twice.
#[derive(Debug, PartialEq)]
pub(crate) struct Object<'a>(Vec<Member<'a>>);

impl<'a> Object<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        let mut members = self.0.iter();
        let found = members.find(|(held, _)| held == name);
        found.map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> + Clone {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    pub(crate) fn into_members(self) -> impl Iterator<Item = Member<'a>> {
        self.0.into_iter()
    }
}

/// Reads one JSON object of a token.
///
/// # Errors
/// What is wrong; nothing of the text itself.
pub(crate) fn object(text: &[u8]) -> Result<Object<'_>, Malformed> {
    object_within(text, IN_A_TOKEN)
}

/// Reads one JSON object that holds at most `most` values, itself included.
///
/// # Errors
/// See [`object`].
pub(crate) fn object_within(text: &[u8], most: usize) -> Result<Object<'_>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed::NotUtf8)?;
    let reading = Reading {
        left: Cell::new(most),
        floats: Cell::new(false),
        broken: Cell::new(None),
    };
    let not_json = |error: serde_json::Error| {
        reading.broken.get().unwrap_or(Malformed::NotJson {
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
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Why a text is not one strict JSON object. serde's own message may quote the text, so it is
/// dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
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

/// The state of reading one text.
struct Reading {
    /// How many more values are allowed.
    left: Cell<usize>,
    /// Whether a number was read as a float.
    floats: Cell<bool>,
    /// The rule that the text breaks although it is JSON.
    broken: Cell<Option<Malformed>>,
}

impl Reading {
    fn refuse<E: Error>(&self, why: Malformed) -> E {
        self.broken.set(Some(why));
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
    /// How many more levels are allowed.
    levels: usize,
    reading: &'r Reading,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1);
        let levels = levels.ok_or_else(|| self.reading.refuse(Malformed::TooDeep))?;
        Ok(Self { levels, ..self })
    }

    /// The initial capacity for members: a token's payload fits, and small objects within it waste
    /// little.
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
        while let Some(Name(name)) = members.next_key()? {
            object.push((name, members.next_value_seed(inner)?));
        }
        if any_is_named_twice(&object) {
            return Err(self.reading.refuse(Malformed::Duplicate));
        }
        Ok(Json::Object(Object(object)))
    }
}

/// A member's name, borrowed where it is written without escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn any_is_named_twice(members: &[Member<'_>]) -> bool {
    let mut names: SmallVec<[&str; 32]> = members.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// Restores integers that do not fit into 64 bits, which `serde_json` reads as floats: an id must not
/// lose its last digits. `numbers` are the numbers of the text, in the order of the values.
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

/// Returns the numbers of a valid JSON text as they are written.
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

#[cfg(test)]
mod tests;
