//! serde over the tree. The types decide how a scalar is read: `no`, `1.10` and `0123` need no quotes
//! where text is wanted, and a value of no particular type is text.

use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{self, DeserializeSeed, Expected, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::tree::{Node, Scalar, Value};

/// Why a type refuses its value.
pub(super) struct Error {
    /// The path of the value; for a refused key, of the mapping that it is in.
    pub path: Option<String>,
    /// The key that is refused.
    pub key: Option<String>,
    pub reason: Reason,
}

pub(super) enum Reason {
    /// A key or a name that is none of the known ones.
    Unknown {
        name: String,
        known: &'static [&'static str],
    },
    /// The mapping lacks this key.
    Missing(&'static str),
    /// In our words. They quote no value.
    Mismatch(String),
    /// In the type's words, which may quote the value.
    Custom(String),
}

const NO_VALUE: &str = "no value is given; give one or remove the key";

impl Error {
    fn new(reason: Reason) -> Self {
        Self {
            path: None,
            key: None,
            reason,
        }
    }

    fn mismatch(expected: impl fmt::Display, found: &str) -> Self {
        let message = format!("expected {expected}, found {found}");
        Self::new(Reason::Mismatch(message))
    }

    /// Sets the path, unless a value further inside did.
    fn at(mut self, node: &Node) -> Self {
        self.path.get_or_insert_with(|| node.path.clone());
        self
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Reason::Custom(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Unit => return Self::new(Reason::Mismatch(NO_VALUE.to_owned())),
            // A variant that has options, written without them.
            Unexpected::UnitVariant => return Self::mismatch("a mapping", "text"),
            Unexpected::Seq => "a list",
            Unexpected::Map => "a mapping",
            _ => "text",
        };
        match expected.to_string().as_str() {
            "a sequence" => Self::mismatch("a list", found),
            "a string" => Self::mismatch("text", found),
            expected if expected.starts_with("struct ") => Self::mismatch("a mapping", found),
            expected => Self::mismatch(expected, found),
        }
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Reason::Mismatch(format!("must be {expected}")))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let name = variant.to_owned();
        Self::new(Reason::Unknown { name, known })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::unknown_variant(field, known)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Reason::Missing(field))
    }
}

impl std::error::Error for Error {}

/// serde asks for it. Shows no value.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value does not fit its type")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Node {
    /// Returns the scalar that `read` accepts, or says what was `expected`.
    fn scalar<'n, T>(
        &'n self,
        expected: &str,
        read: impl FnOnce(&'n Scalar) -> Option<T>,
    ) -> Result<T, Error> {
        let scalar = match &self.value {
            Value::Scalar(scalar) => scalar,
            Value::List(_) | Value::Map(_) => return Err(self.mismatch(expected)),
        };
        if scalar.is_null() {
            return Err(Error::new(Reason::Mismatch(NO_VALUE.to_owned())));
        }
        read(scalar).ok_or_else(|| self.mismatch(expected))
    }

    fn mismatch(&self, expected: &str) -> Error {
        let is_number =
            |text: &str| text.contains(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok();
        let found = match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar(scalar) if scalar.is_null() => {
                return Error::new(Reason::Mismatch(NO_VALUE.to_owned()));
            }
            Value::Scalar(scalar) if scalar.as_bool().is_some() => "true or false",
            Value::Scalar(scalar) if scalar.plain && is_number(&scalar.text) => "a number",
            Value::Scalar(_) => "text",
        };
        Error::mismatch(expected, found)
    }

    fn integer(&self, least: i128, most: i128) -> Result<i128, Error> {
        let integer = self.scalar("a whole number", Scalar::as_integer)?;
        let out_of_range = if integer < least {
            format!("must be at least {least}")
        } else if integer > most {
            format!("must be at most {most}")
        } else {
            return Ok(integer);
        };
        Err(Error::new(Reason::Mismatch(out_of_range)))
    }
}

macro_rules! integers {
    ($($deserialize:ident, $visit:ident, $integer:ty;)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let integer = self.integer(<$integer>::MIN.into(), <$integer>::MAX.into())?;
            visitor.$visit(<$integer>::try_from(integer).expect("it is within these bounds"))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    integers! {
        deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16;
        deserialize_u32, visit_u32, u32;
        deserialize_u64, visit_u64, u64;
        deserialize_i64, visit_i64, i64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => visitor.visit_unit(),
            Value::Scalar(scalar) => visitor.visit_borrowed_str(&scalar.text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(_) => visitor.visit_map(Entries::of(self)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.scalar("true or false", Scalar::as_bool)?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.scalar("text", |scalar| Some(&scalar.text))?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            _ => Err(self.mismatch("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Map(_) => visitor.visit_map(Entries::of(self)),
            _ => Err(self.mismatch("a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Reads `variant`, or `variant: options`.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let list = variants.join(", ");
        let Value::Map(entries) = &self.value else {
            let text = self.scalar(&format!("one of {list}"), |scalar| Some(&scalar.text))?;
            return visitor.visit_enum(BorrowedStrDeserializer::new(text));
        };
        if entries.len() == 1 {
            return visitor.visit_enum(MapAccessDeserializer::new(Entries::of(self)));
        }
        let mut keys = entries.iter().filter_map(|entry| entry.key.as_deref());
        if let Some(unknown) = keys.find(|key| !variants.contains(key)) {
            return Err(Error {
                key: Some(unknown.to_owned()),
                ..de::Error::unknown_variant(unknown, variants)
            });
        }
        let exactly = if entries.is_empty() { "" } else { "exactly " };
        let message = format!("give {exactly}one of {list}");
        Err(Error::new(Reason::Mismatch(message)))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let item = self.0.next();
        item.map(|item| seed.deserialize(item).map_err(|error| error.at(item)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'de> {
    mapping: &'de Node,
    next: std::slice::Iter<'de, Node>,
    current: Option<&'de Node>,
}

impl<'de> Entries<'de> {
    fn of(mapping: &'de Node) -> Self {
        Self {
            mapping,
            next: mapping.children().iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.current = self.next.next();
        let Some(key) = self.current.and_then(|entry| entry.key.as_deref()) else {
            return Ok(None);
        };
        let read = seed.deserialize(BorrowedStrDeserializer::new(key));
        read.map(Some).map_err(|error: Error| Error {
            key: Some(key.to_owned()),
            ..error.at(self.mapping)
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let entry = self.current.expect("serde asks for the key first");
        seed.deserialize(entry).map_err(|error| error.at(entry))
    }
}
