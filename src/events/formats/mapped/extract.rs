//! Takes from a body what rules read, and nothing else: what they do not name is checked for syntax
//! and skipped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::path::Path;
use crate::events::outcome::Rejection;
use crate::events::payload::{self, DUPLICATE};

/// The members to step into, outermost first.
type Steps<'p> = &'p [Box<str>];

/// What rules read of an object.
#[derive(Debug, Default)]
pub(super) struct Wanted<'p> {
    /// The path that ends here.
    leaf: Option<Steps<'p>>,
    members: BTreeMap<&'p str, Wanted<'p>>,
}

/// The values that one event has, as text, by path.
#[derive(Debug, Default)]
pub(super) struct Found<'p>(BTreeMap<Steps<'p>, Vec<String>>);

impl<'p> Wanted<'p> {
    pub(super) fn add(&mut self, path: &'p Path) {
        for steps in path.alternatives() {
            let mut place = &mut *self;
            for step in steps {
                place = place.members.entry(step).or_default();
            }
            place.leaf = Some(steps);
        }
    }
}

impl Found<'_> {
    /// Returns the values of the first alternative that has any.
    pub(super) fn all(&self, path: &Path) -> &[String] {
        let mut alternatives = path.alternatives();
        let found = alternatives.find_map(|steps| self.0.get(steps));
        found.map_or(&[], Vec::as_slice)
    }
}

/// Reads the events of a body: the body itself, or the items of the list at `list`.
///
/// # Errors
/// When the body is not JSON or not of this shape, or has a member twice that is read.
pub(super) fn events<'p>(
    body: &[u8],
    list: Option<&Path>,
    wanted: &Wanted<'p>,
) -> Result<Vec<Found<'p>>, Rejection> {
    let Some(list) = list else {
        return payload::read_with(body, Event(wanted)).map(|event| vec![event]);
    };
    let steps = list.alternatives().next().unwrap_or_default();
    let events = payload::read_with(body, Events { steps, wanted })?;
    payload::required(events, list.as_str(), "a list of events")
}

/// Reads the list of events behind some steps.
struct Events<'w, 'p> {
    steps: &'w [Box<str>],
    wanted: &'w Wanted<'p>,
}

impl<'de, 'p> DeserializeSeed<'de> for Events<'_, 'p> {
    type Value = Option<Vec<Found<'p>>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.steps {
            [] => deserializer.deserialize_seq(self),
            _ => deserializer.deserialize_map(self),
        }
    }
}

impl<'de, 'p> Visitor<'de> for Events<'_, 'p> {
    type Value = Option<Vec<Found<'p>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.steps.is_empty() {
            "a list of events"
        } else {
            "an object"
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut events, mut is_there) = (None, false);
        while let Some(name) = map.next_key::<String>()? {
            match self.steps.split_first() {
                Some((step, _)) if **step == *name && is_there => {
                    return Err(Error::custom(DUPLICATE));
                }
                Some((step, steps)) if **step == *name => {
                    is_there = true;
                    let wanted = self.wanted;
                    events = map.next_value_seed(Self { steps, wanted })?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(events)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = items.next_element_seed(Event(self.wanted))? {
            events.push(event);
        }
        Ok(Some(events))
    }
}

/// Reads one event, which is an object.
struct Event<'w, 'p>(&'w Wanted<'p>);

impl<'de, 'p> DeserializeSeed<'de> for Event<'_, 'p> {
    type Value = Found<'p>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'p>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, 'p> Visitor<'de> for Event<'_, 'p> {
    type Value = Found<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Found<'p>, A::Error> {
        let mut found = Found::default();
        let place = Place {
            wanted: self.0,
            is_item: false,
            found: &mut found,
        };
        place.visit_map(map)?;
        Ok(found)
    }
}

/// Reads the value at one place.
struct Place<'w, 'p, 'f> {
    wanted: &'w Wanted<'p>,
    /// An item of a list. A list within a list is skipped, as in tokens.
    is_item: bool,
    found: &'f mut Found<'p>,
}

impl Place<'_, '_, '_> {
    fn keep(&mut self, text: impl fmt::Display) {
        if let Some(path) = self.wanted.leaf {
            self.found.0.entry(path).or_default().push(text.to_string());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Beyond it a number in floating point is not the one that was written.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl<'de> Visitor<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of at most 15 digits, or text")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.keep(value);
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.keep(value);
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.keep(value);
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        if value.abs() >= EXACT {
            return Err(E::invalid_value(Unexpected::Float(value), &self));
        }
        self.keep(value);
        Ok(())
    }

    /// Steps into text that is a JSON object. Other text has no members.
    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        self.keep(value);
        if self.wanted.members.is_empty() || !value.trim_start().starts_with('{') {
            return Ok(());
        }
        let mut inner = serde_json::Deserializer::from_str(value);
        let read = self.deserialize(&mut inner).and_then(|()| inner.end());
        read.map_err(|_| E::invalid_value(Unexpected::Str(""), &"text that is a JSON object"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some((name, wanted)) = self.wanted.members.get_key_value(&*name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match seen.entry(*name) {
                Entry::Occupied(_) => return Err(A::Error::custom(DUPLICATE)),
                Entry::Vacant(first) => first.insert(()),
            };
            let is_item = false;
            let found = &mut *self.found;
            map.next_value_seed(Place {
                wanted,
                is_item,
                found,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.is_item {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        loop {
            let item = Place {
                wanted: self.wanted,
                is_item: true,
                found: &mut *self.found,
            };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }
}
