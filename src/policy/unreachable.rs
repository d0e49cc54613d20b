//! Finds rules that no request can reach.

use super::rule::Rule;
use crate::core::config_error::ConfigErrors;

/// Reports each rule whose requests an earlier rule takes, all of them. A rule in shadow takes none. The first `exempt` rules are those
/// of `bypass`.
pub(super) fn check(rules: &[Rule], exempt: usize, errors: &mut ConfigErrors) {
    for (i, rule) in rules.iter().enumerate() {
        let Some(own) = &rule.matcher else { continue };
        let covers = |earlier: &&Rule| {
            let matcher = earlier.matcher.as_ref().filter(|_| !earlier.shadow);
            matcher.is_some_and(|matcher| matcher.covers(own))
        };
        if let Some(earlier) = rules[..i].iter().find(covers) {
            let path = match i.checked_sub(exempt) {
                Some(number) => format!("policies[{number}]"),
                None => format!("bypass[{i}]"),
            };
            let message = format!(
                "is never reached: {} comes first and matches the same requests; move this entry \
                 before it, or remove it",
                earlier.name()
            );
            errors.conflict(&path, message);
        }
    }
}
