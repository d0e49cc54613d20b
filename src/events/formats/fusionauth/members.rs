//! The members of events that are read, a struct for each purpose: an event is refused only for a
//! member that its type needs. Absent members and `null` are the same.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::events::outcome::Rejection;
use crate::events::payload::{self, Id, Instant, Integer, Members, Object};

#[derive(Default, Deserialize)]
#[serde(default, bound = "T: Default + Deserialize<'de>")]
struct Body<T> {
    event: Object<T>,
}

/// Reads some members of the event in a body.
pub(super) fn read<T>(body: &[u8]) -> Result<T, Rejection>
where
    T: Default + for<'de> Deserialize<'de>,
{
    payload::read::<Body<T>>(body).map(|body| body.event.0)
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Type {
    #[serde(rename = "type")]
    pub(super) name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Envelope {
    pub(super) id: Option<Id>,
    pub(super) create_instant: Option<Instant>,
    pub(super) tenant_id: Option<Id>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AboutUser {
    pub(super) user: Object<User>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) id: Option<Id>,
}

/// The user before and after an update.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Update {
    pub(super) user: Object<Active>,
    pub(super) original: Object<Active>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Active {
    pub(super) active: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct InApplication {
    pub(super) application_id: Option<Id>,
    pub(super) registration: Object<Registered>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Registered {
    pub(super) application_id: Option<Id>,
}

/// The registration before and after an update.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RolesChange {
    pub(super) registration: Object<Roles>,
    pub(super) original: Option<Object<Roles>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Roles {
    pub(super) roles: Option<BTreeSet<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Group {
    pub(super) members: Option<Vec<Object<Member>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Member {
    pub(super) user_id: Option<Id>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Started {
    pub(super) action_id: Option<Id>,
    pub(super) phase: Option<String>,
    /// The name in the table of FusionAuth's documentation; its sample has the next one.
    pub(super) actionee_user_id: Option<Id>,
    pub(super) actionee_id: Option<Id>,
    pub(super) application_ids: Option<BTreeSet<Id>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Revoked {
    pub(super) user_id: Option<Id>,
    pub(super) application_id: Option<Id>,
    pub(super) refresh_token: Option<Object<RefreshToken>>,
    /// Application → the life of its access tokens.
    #[serde(rename = "applicationTimeToLiveInSeconds")]
    pub(super) lives: Option<Members<Seconds>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RefreshToken {
    pub(super) id: Option<Id>,
    pub(super) user_id: Option<Id>,
    pub(super) application_id: Option<Id>,
}

#[derive(Clone, Copy)]
pub(super) struct Seconds(pub(super) Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let integer = Integer {
            // Longer lives are a mistake, and would have to be remembered for as long.
            range: 0..=10 * 366 * 24 * 3600,
            expected: "a number of seconds, at most ten years",
        };
        integer
            .read(deserializer)
            .map(Duration::from_secs)
            .map(Self)
    }
}
