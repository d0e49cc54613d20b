//! The members of a delivery that are read. Absent members and `null` are the same.

use serde::{Deserialize, Deserializer, de};

use crate::core::clock::UnixMillis;
use crate::events::formats::mapped::Unit;
use crate::events::payload::{Id, Object};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Body {
    pub(super) event_id: Option<Id>,
    pub(super) data: Object<Data>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Data {
    pub(super) events: Option<Vec<Object<Event>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) uuid: Option<Id>,
    pub(super) published: Option<Published>,
    #[serde(rename = "eventType")]
    pub(super) kind: Option<String>,
    pub(super) outcome: Object<Ended>,
    pub(super) actor: Object<Entity>,
    pub(super) target: Option<Vec<Object<Entity>>>,
}

/// How the action ended.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Ended {
    pub(super) result: Option<String>,
}

/// Somebody or something that an event is about.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Entity {
    pub(super) id: Option<Id>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) alternate_id: Option<Id>,
}

/// When the event happened.
pub(super) struct Published(pub(super) UnixMillis);

impl Published {
    pub(super) const EXPECTED: &'static str = Unit::Rfc3339.expected();
}

impl<'de> Deserialize<'de> for Published {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let unexpected = de::Unexpected::Other("string");
        let read = Unit::Rfc3339.read(&text).map(Self);
        read.ok_or_else(|| de::Error::invalid_value(unexpected, &Self::EXPECTED))
    }
}
