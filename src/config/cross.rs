//! What the parts of a configuration mean together.

use super::Config;
use super::nearest::suggest;
use crate::core::config_error::ConfigErrors;
use crate::core::issuer::ByIssuer;
use crate::verify;

/// Reports contradictions between sections. `sound` says whether a section stands as it was
/// written; one that does not is not held against another.
pub(super) fn check(config: &Config, sound: &dyn Fn(&str) -> bool, errors: &mut ConfigErrors) {
    if sound("listen") && sound("events") {
        heard(config, errors);
    }
    if sound("issuers") {
        let names: Vec<String> = config
            .issuers
            .iter()
            .flat_map(verify::IssuerConfig::names)
            .collect();
        let exact: ByIssuer<()> = names.iter().map(|name| (name, ())).collect();
        let mut check = |list: &str, i, issuer: &str, may_be_pattern: bool| {
            let is_entry = |entry: &verify::IssuerConfig| entry.issuer == issuer;
            let is_known = may_be_pattern && config.issuers.iter().any(is_entry);
            if !is_known && exact.get(issuer).is_none() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let hint = suggest(issuer, &names);
                let message = format!("{issuer:?} is none of the configured issuers{hint}");
                errors.push(&format!("{list}[{i}].issuer"), message);
            }
        };
        for (i, source) in config.events.iter().enumerate() {
            check("events", i, &source.issuer, false);
        }
        for (i, exception) in config.revocations.issuers.iter().enumerate() {
            check("revocations.issuers", i, &exception.issuer, true);
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
