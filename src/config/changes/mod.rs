//! What changes in effect between two configurations.

mod effect;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::core::outline::{DIGEST, SHOWN};
use effect::is_within;

/// The members that tell the items of a list apart, the first one that all items have.
const IDENTITIES: [&str; 4] = ["name", "issuer", "client_id", "address"];

/// Settings that are read at start alone.
const AT_START: [&str; 14] = [
    "listen",
    "connections",
    "keys",
    "cache",
    "revocations",
    "event_listener.max_in_flight",
    "admin.decisions",
    "admin.search",
    "answer.assertion",
    "audit",
    "doors",
    "log",
    "shutdown",
    "traces",
];

/// Parts of those that a running process can change.
const LIVE: [&str; 3] = [
    "revocations.issuers",
    "revocations.max_staleness",
    "revocations.when_stale",
];

/// Of an assertion, the keys are read at start.
const KEYS_OF_ASSERTIONS: [&str; 3] = [
    "answer.assertion",
    "answer.assertion.key_files",
    "answer.assertion.rotate_every",
];

/// Returns whether a part of [`AT_START`] can change in a running process.
fn is_live(pattern: &str) -> bool {
    let is_assertion = is_within(pattern, KEYS_OF_ASSERTIONS[0]);
    let without_item = pattern.trim_end_matches("[]");
    LIVE.iter().any(|live| is_within(pattern, live))
        || is_assertion && !KEYS_OF_ASSERTIONS.contains(&without_item)
}

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Items of lists are named by what they are: `issuers[https://id.example.com].audiences`.
    pub path: String,
    /// Absent if the setting is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// Absent if it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// What follows from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<&'static str>,
    /// Whether a running process cannot apply it.
    pub restart: bool,
}

/// Returns what differs between two outlines, in the order of their keys.
#[must_use]
pub fn changes(now: &Value, next: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare(&Place::default(), Some(now), Some(next), &mut found);
    found
}

/// Returns the settings at the top of the file, or groups of them, that need a restart.
#[must_use]
pub fn at_start(changes: &[Change]) -> Vec<&'static str> {
    let needed = |setting: &&str| {
        let mut changes = changes.iter().filter(|change| change.restart);
        changes.any(|change| is_within(&change.path, setting))
    };
    AT_START.into_iter().filter(needed).collect()
}

/// Where a value is.
#[derive(Clone, Default)]
struct Place {
    path: String,
    /// The path without what items are called: `issuers[].audiences[]`.
    pattern: String,
}

impl Place {
    fn key(&self, key: &str) -> Self {
        let join = |path: &str| match path {
            "" => key.to_owned(),
            _ => format!("{path}.{key}"),
        };
        Self {
            path: join(&self.path),
            pattern: join(&self.pattern),
        }
    }

    fn item(&self, name: &str) -> Self {
        Self {
            path: format!("{}[{name}]", self.path),
            pattern: format!("{}[]", self.pattern),
        }
    }

    fn change(&self, from: Option<&Value>, to: Option<&Value>) -> Change {
        let mut at_start = AT_START.iter();
        let is_at_start = at_start.any(|setting| is_within(&self.pattern, setting));
        Change {
            path: self.path.clone(),
            from: from.map(shown),
            to: to.map(shown),
            effect: effect::of(&self.pattern, from, to),
            restart: is_at_start && !is_live(&self.pattern),
        }
    }
}

/// Returns a value without digests.
fn shown(value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get(SHOWN) {
            Some(instead) if members.contains_key(DIGEST) => instead.clone(),
            _ => {
                let members = members.iter();
                let members = members.map(|(key, value)| (key.clone(), shown(value)));
                Value::Object(members.collect())
            }
        },
        Value::Array(items) => items.iter().map(shown).collect(),
        other => other.clone(),
    }
}

/// Returns the members of a group of settings.
fn group(value: &Value) -> Option<&Map<String, Value>> {
    let members = value.as_object();
    members.filter(|members| !members.contains_key(DIGEST))
}

/// A group that only one of them has is one change: its defaults are filled in where it may be left out.
fn compare(place: &Place, now: Option<&Value>, next: Option<&Value>, found: &mut Vec<Change>) {
    if now == next {
        return;
    }
    if let Some((now, next)) = now.and_then(group).zip(next.and_then(group)) {
        let keys: BTreeSet<_> = now.keys().chain(next.keys()).collect();
        for key in keys {
            compare(&place.key(key), now.get(key), next.get(key), found);
        }
        return;
    }
    let lists = [now, next].map(|value| match value {
        None => Some(&[][..]),
        Some(value) => value.as_array().map(Vec::as_slice),
    });
    match lists {
        [Some(now), Some(next)] if !place.pattern.ends_with("[]") => {
            compare_lists(place, now, next, found);
        }
        _ => found.push(place.change(now, next)),
    }
}

fn compare_lists(place: &Place, now: &[Value], next: &[Value], found: &mut Vec<Change>) {
    let Some(names) = names(now).zip(names(next)) else {
        return compare_sets(place, now, next, found);
    };
    let (before, after) = names;
    for (name, item) in before.iter().zip(now) {
        let place = place.item(name);
        let other = after.iter().position(|other| other == name);
        compare(&place, Some(item), other.map(|i| &next[i]), found);
    }
    for (name, item) in after.iter().zip(next) {
        if !before.contains(name) {
            compare(&place.item(name), None, Some(item), found);
        }
    }
    let kept = |names: &[String], others: &[String]| {
        let kept = names.iter().filter(|name| others.contains(name));
        kept.cloned().map(Value::String).collect::<Vec<_>>()
    };
    let orders = [kept(&before, &after), kept(&after, &before)].map(Value::Array);
    if effect::has_order(&place.pattern) && orders[0] != orders[1] {
        let [from, to] = &orders;
        found.push(place.change(Some(from), Some(to)));
    }
}

/// Returns what the items of a list are called, if each has a name of its own.
fn names(items: &[Value]) -> Option<Vec<String>> {
    let name = |item: &Value| {
        let mut names = IDENTITIES.iter().filter_map(|key| item.get(key)?.as_str());
        names.next().map(str::to_owned)
    };
    let names: Vec<_> = items.iter().map(name).collect::<Option<_>>()?;
    let distinct: BTreeSet<_> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

/// Compares lists whose items have no names.
fn compare_sets(place: &Place, now: &[Value], next: &[Value], found: &mut Vec<Change>) {
    let before = found.len();
    for item in now.iter().filter(|item| !next.contains(item)) {
        found.push(place.item(&called(item)).change(Some(item), None));
    }
    for item in next.iter().filter(|item| !now.contains(item)) {
        found.push(place.item(&called(item)).change(None, Some(item)));
    }
    if found.len() == before && now.len() + next.len() > 0 {
        let (from, to) = (Value::from(now), Value::from(next));
        found.push(place.change(Some(&from), Some(&to)));
    }
}

fn called(item: &Value) -> String {
    match shown(item) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
