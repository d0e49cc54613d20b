//! What the parts of a configuration mean together.

use std::collections::HashMap;

use super::Config;
use super::nearest::suggest;
use crate::problem::Problems;

/// Reports contradictions between sections. `sound` says whether a section stands as it was
/// written; one that does not is not held against another.
pub(super) fn check(config: &Config, sound: &dyn Fn(&str) -> bool, problems: &mut Problems) {
    let issuers: Vec<&str> = config
        .issuers
        .iter()
        .map(|issuer| issuer.issuer.as_str())
        .collect();
    let names: Vec<&str> = config
        .events
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    if sound("issuers") {
        unique("issuers", "issuer", &issuers, problems);
    }
    if sound("events") {
        unique("events", "name", &names, problems);
    }
    if sound("issuers") {
        known_issuers(config, &issuers, problems);
    }
    if sound("listen") && sound("events") {
        heard(config, problems);
    }
}

/// Reports every value that stood before.
fn unique(list: &str, field: &str, values: &[&str], problems: &mut Problems) {
    let mut first = HashMap::new();
    for (i, value) in values.iter().enumerate() {
        if let Some(earlier) = first.get(value) {
            let message = format!("{value:?} is already that of {list}[{earlier}]");
            problems.push(&format!("{list}[{i}].{field}"), message);
        } else {
            first.insert(value, i);
        }
    }
}

fn known_issuers(config: &Config, issuers: &[&str], problems: &mut Problems) {
    for (i, source) in config.events.iter().enumerate() {
        if !issuers.contains(&source.issuer.as_str()) {
            let hint = suggest(&source.issuer, issuers);
            let message = format!("{:?} is not in the list of issuers{hint}", source.issuer);
            problems.push(&format!("events[{i}].issuer"), message);
        }
    }
}

fn heard(config: &Config, problems: &mut Problems) {
    match (config.events.is_empty(), config.listen.events.is_some()) {
        (false, false) => problems.push(
            "events",
            "nobody can deliver these events: give listen.events an address",
        ),
        (true, true) => problems.push(
            "listen.events",
            "there is no event source to listen for; add one under events, or remove this",
        ),
        _ => {}
    }
}
