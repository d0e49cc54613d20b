//! Event bodies as serde structs. Errors name the JSON path and never quote a value, because values
//! are about people.
//!
//! Members that a struct does not name are checked for syntax and skipped: users who may edit custom
//! data in their own profile must not be able to spoil the event that locks them out.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, RangeInclusive};

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, Unexpected,
    Visitor,
};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment, Track};

use super::outcome::Rejection;
use crate::core::clock::UnixMillis;

/// Reads a whole body, which must be one JSON object.
///
/// # Errors
/// Where the body is not JSON, not of the expected shape, or has a member twice.
pub(super) fn read<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Rejection> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize::<_, Object<T>>(&mut deserializer);
    let Object(value) = read.map_err(|error| rejection(spell(error.path()), error.inner()))?;
    match deserializer.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(rejection(String::new(), &error)),
    }
}

/// Reads a whole body by a seed, for what is read when only the configuration says which members.
///
/// # Errors
/// Where the body is not JSON, or not of the expected shape.
pub(super) fn read_with<'de, S: DeserializeSeed<'de>>(
    bytes: &'de [u8],
    seed: S,
) -> Result<S::Value, Rejection> {
    let (mut deserializer, mut track) = (serde_json::Deserializer::from_slice(bytes), Track::new());
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let read = seed.deserialize(tracked);
    let value = read.map_err(|error| rejection(spell(&track.path()), &error))?;
    match deserializer.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(rejection(String::new(), &error)),
    }
}

/// Returns the value of a member that must not be absent.
pub(super) fn required<T>(value: Option<T>, path: &str, expected: &str) -> Result<T, Rejection> {
    value.ok_or_else(|| Rejection {
        path: path.to_owned(),
        message: format!("expected {expected}, found nothing"),
    })
}

/// An object of named members. `null` reads like an empty object, as an absent one does with
/// `#[serde(default)]`. A list is refused, which a derived `Deserialize` would take for a struct.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Object<T>, E> {
        Ok(Object::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// All members of an object by name. Unlike in serde's own maps, none may stand twice: two readers
/// would disagree about which one counts.
#[derive(Debug)]
pub(super) struct Members<T>(pub(super) BTreeMap<String, T>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
    type Value = Members<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Members(members))
    }
}

/// Names a user, an application or an event: short and without control characters, so that it can
/// stand in a claim, a log line and a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(String);

impl Id {
    pub(super) const EXPECTED: &'static str = "an id of 1 to 256 characters";

    /// Returns the id that a text is, if it is one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let is_id = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
        is_id.then(|| Self(text.to_owned()))
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let unexpected = Unexpected::Other("string");
        Self::of(&text).ok_or_else(|| D::Error::invalid_value(unexpected, &Self::EXPECTED))
    }
}

/// A time in seconds since the epoch, perhaps with a fraction, which is dropped (RFC 7519 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NumericDate(pub(super) UnixMillis);

impl NumericDate {
    /// Reads a number up to `most`.
    pub(super) fn up_to<'de, D: Deserializer<'de>>(
        most: u64,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let integer = Integer {
            range: 0..=most,
            expected: "seconds since the epoch",
        };
        deserializer
            .deserialize_u64(WithFraction(integer))
            .map(|seconds| Self(UnixMillis::from_seconds(seconds)))
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The last second of the year 9999.
        Self::up_to(253_402_300_799, deserializer)
    }
}

/// Drops the fraction of a number.
struct WithFraction(Integer);

impl Visitor<'_> for WithFraction {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        self.0.visit_u64(value)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is in the range"
    )]
    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        if (0.0..1e15).contains(&value) {
            self.visit_u64(value as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }
}

/// Milliseconds since the epoch.
#[derive(Clone, Copy)]
pub(super) struct Instant(pub(super) UnixMillis);

impl Instant {
    pub(super) const EXPECTED: &'static str = "milliseconds since the epoch";
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let integer = Integer {
            // Seconds would be a moment in 1970, and a cut-off there revokes nothing.
            range: 100_000_000_000..=253_402_300_799_999,
            expected: Self::EXPECTED,
        };
        integer.read(deserializer).map(UnixMillis).map(Self)
    }
}

/// Reads an integer within a range; `expected` says what it means.
pub(super) struct Integer {
    pub(super) range: RangeInclusive<u64>,
    pub(super) expected: &'static str,
}

impl Integer {
    pub(super) fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for Integer {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        if self.range.contains(&value) {
            Ok(value)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(value), &self))
        }
    }
}

pub(super) const DUPLICATE: &str = "duplicate member";

/// How serde names the kind of a value, followed by the value itself, and how a rejection does.
const KINDS: [(&str, &str); 7] = [
    ("string", "a string"),
    ("integer", "another number"),
    ("floating point", "another number"),
    ("boolean", "a boolean"),
    ("null", "null"),
    ("map", "an object"),
    ("sequence", "a list"),
];

/// Turns an error of serde into words of its own, since serde's quote the value. The expectation
/// comes last in them and is a text of this program.
fn rejection(mut path: String, error: &serde_json::Error) -> Rejection {
    let text = error.to_string();
    if error.classify() != Category::Data {
        let message = format!("not valid JSON: {text}");
        return Rejection { path, message };
    }
    let text = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(text, _)| text);
    let message = if let Some(name) = text.strip_prefix("duplicate field ") {
        path = member_path(&path, name.trim_matches('`'));
        DUPLICATE.to_owned()
    } else if let Some((found, expected)) = text.rsplit_once(", expected ") {
        let found = found.split_once(": ").map_or(found, |(_, found)| found);
        let mut kinds = KINDS.into_iter();
        let found = kinds.find_map(|(kind, words)| found.starts_with(kind).then_some(words));
        format!(
            "expected {expected}, found {}",
            found.unwrap_or("another value")
        )
    } else if text == DUPLICATE {
        text.to_owned()
    } else {
        "not understood".to_owned()
    };
    Rejection { path, message }
}

fn spell(path: &Path) -> String {
    path.iter()
        .fold(String::new(), |path, segment| match segment {
            Segment::Seq { index } => format!("{path}[{index}]"),
            Segment::Map { key } => member_path(&path, key),
            Segment::Enum { variant } => member_path(&path, variant),
            // The name of a member, where the body broke off.
            Segment::Unknown => path,
        })
}

/// Writes `a.b` for plain names and `a["odd name"]`, cut short, for others.
fn member_path(parent: &str, name: &str) -> String {
    const SHOWN: usize = 64;
    let is_plain = !name.is_empty()
        && name.len() <= SHOWN
        && (name.bytes()).all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match (is_plain, parent.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{parent}.{name}"),
        (false, _) => {
            let shown: String = name.chars().take(SHOWN).collect();
            format!("{parent}[{shown:?}]")
        }
    }
}
