//! What the parts of a configuration mean together.

use super::Config;
use super::nearest::suggest;
use crate::core::config_error::ConfigErrors;

/// Reports contradictions between sections. `sound` says whether a section stands as it was
/// written; one that does not is not held against another.
pub(super) fn check(config: &Config, sound: &dyn Fn(&str) -> bool, errors: &mut ConfigErrors) {
    if sound("listen") && sound("events") {
        heard(config, errors);
    }
    if sound("issuers") {
        let events = config.events.iter().map(|source| &*source.issuer);
        known_issuers(config, "events", events, errors);
        let exceptions = config.revocations.issuers.iter();
        let exceptions = exceptions.map(|exception| &*exception.issuer);
        known_issuers(config, "revocations.issuers", exceptions, errors);
    }
}

/// What items of the list `place` name as their issuer.
fn known_issuers<'c>(
    config: &Config,
    place: &str,
    named: impl Iterator<Item = &'c str>,
    errors: &mut ConfigErrors,
) {
    let known: Vec<&str> = config.issuers.iter().map(|one| &*one.issuer).collect();
    for (i, issuer) in named.enumerate() {
        if !known.contains(&issuer) {
            let hint = suggest(issuer, &known);
            let message = format!("{issuer:?} is none of the configured issuers{hint}");
            errors.push(&format!("{place}[{i}].issuer"), message);
        }
    }
}

fn heard(config: &Config, errors: &mut ConfigErrors) {
    match (config.events.is_empty(), config.listen.events.is_some()) {
        (false, false) => errors.push(
            "events",
            "nobody can deliver these events: give listen.events an address",
        ),
        (true, true) => errors.push(
            "listen.events",
            "there is no event source to listen for; add one under events, or remove this",
        ),
        _ => {}
    }
}
