//! The members of a security event token that are read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::core::clock::UnixMillis;
use crate::events::outcome::Rejection;
use crate::events::payload::{self, Id, Members, NumericDate, Object};
use crate::events::subject::Subject;

/// The claims of RFC 8417 §2.2 that say what happened to whom.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct SecurityEvent {
    pub(super) iat: Option<NumericDate>,
    pub(super) toe: Option<Moment>,
    pub(super) sub_id: Option<Object<Subject>>,
    /// By URI.
    pub(super) events: Members<Value>,
}

/// The members of events of CAEP and RISC that count.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Details {
    pub(super) event_timestamp: Option<Moment>,
    /// Where the subject stands at Okta, at Google and in RISC before 1.0.
    pub(super) subject: Option<Object<Subject>>,
    pub(super) change_type: Option<Id>,
    pub(super) change_direction: Option<Id>,
    pub(super) current_level: Option<Id>,
    pub(super) current_status: Option<Id>,
    pub(super) status: Option<Id>,
}

impl Details {
    /// Reads the members of the event at `uri`.
    pub(super) fn read(uri: &str, members: &Value) -> Result<Self, Rejection> {
        payload::read(members.to_string().as_bytes()).map_err(|error| Rejection {
            path: format!("events[{uri:?}].{}", error.path),
            ..error
        })
    }
}

/// A time in seconds, or in milliseconds as Okta sends it: a number above 10¹¹ would be a second of the
/// year 5138.
#[derive(Clone, Copy)]
pub(super) struct Moment(pub(super) UnixMillis);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FIRST_MILLISECONDS: u64 = 100_000_000_000;
        let NumericDate(moment) = NumericDate::up_to(253_402_300_799_999, deserializer)?;
        let number = moment.seconds();
        Ok(Self(if number < FIRST_MILLISECONDS {
            moment
        } else {
            UnixMillis(number)
        }))
    }
}

/// Events by URI, in the order of their names.
pub(super) type Events = BTreeMap<String, Value>;
