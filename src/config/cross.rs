//! What the parts of a configuration mean together.

use super::Config;
use crate::problem::Problems;

/// Reports contradictions between sections. `sound` says whether a section stands as it was
/// written; one that does not is not held against another.
pub(super) fn check(config: &Config, sound: &dyn Fn(&str) -> bool, problems: &mut Problems) {
    if sound("listen") && sound("events") {
        heard(config, problems);
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
