//! The tokens of a user, and what has to be recorded about them.

use std::collections::BTreeMap;

use super::config::Config;
use super::user::{Former, User, formerly_named, named};
use crate::core::clock::UnixMillis;
use crate::events::dialect::Origin;
use crate::revocation::notes::Known;
use crate::revocation::{Action, Draft, Target};

/// The cause of revocations of users who are inactive.
pub(super) const INACTIVE: &str = "user.deactivate";

/// The cause of revocations of users who are removed.
pub(super) const REMOVED: &str = "user.delete";

/// Claims with a value, and up to which issue tokens with it are the user's.
type Targets = BTreeMap<(String, String), UnixMillis>;

/// Makes records about a user.
pub(super) struct Drafting<'a> {
    pub(super) config: &'a Config,
    pub(super) origin: Origin<'a>,
    pub(super) key: &'a str,
    pub(super) version: u64,
    /// Up to which issue tokens with the current values are the user's: now, by an issuer whose clock may be ahead.
    pub(super) until: UnixMillis,
    /// The time of the change, which is later than that of every other change of the user.
    pub(super) at: UnixMillis,
}

impl Drafting<'_> {
    /// Returns the revocation of every token that the user may have.
    pub(super) fn revoke(&self, user: &User, cause: &str) -> Vec<Draft> {
        let targets = self.targets(user).into_iter();
        let drafts = targets.enumerate().map(|(index, (target, until))| Draft {
            issued_at_or_before: Some(until),
            ..self.draft(index, target, Action::Revoke, cause)
        });
        drafts.collect()
    }

    /// Takes back what was recorded when the user became inactive, but for what another inactive user has
    /// too.
    pub(super) fn lift(&self, user: &User, known: &Known) -> Vec<Draft> {
        let targets = self.targets(user).into_keys();
        let ours = targets.filter(|target| !self.is_of_another(target, known));
        let drafts = ours.enumerate();
        let draft = |(index, target)| self.draft(index, target, Action::Lift, INACTIVE);
        drafts.map(draft).collect()
    }

    fn draft(
        &self,
        index: usize,
        (claim, value): (String, String),
        action: Action,
        cause: &str,
    ) -> Draft {
        let Origin { source, issuer } = self.origin;
        Draft {
            id: format!("{source}/{}/{}/{index}", self.key, self.version),
            target: Target {
                issuer: issuer.to_owned(),
                matches: BTreeMap::from([(claim, value)]),
            },
            action,
            issued_at_or_before: None,
            expires_at_or_before: None,
            occurred_at: self.at,
            source: source.to_owned(),
            cause: cause.to_owned(),
        }
    }

    fn targets(&self, user: &User) -> Targets {
        let current = user.all();
        let current = current.map(|(attribute, value)| (attribute, value, self.until));
        let former = user.former.iter();
        let former = former.map(|former| (&*former.attribute, &*former.value, former.until));
        let mut targets = Targets::new();
        for (attribute, value, until) in former.chain(current) {
            for claim in self.config.claims_of(attribute) {
                // Issuers change the case of addresses.
                for value in [value.to_owned(), value.to_lowercase()] {
                    let known = targets.entry((claim.to_owned(), value)).or_insert(until);
                    *known = until.max(*known);
                }
            }
        }
        targets
    }

    /// Returns whether another user who is inactive may have tokens with this value.
    fn is_of_another(&self, (claim, value): &(String, String), known: &Known) -> bool {
        let attributes = self.config.claims.iter();
        let attributes = attributes.filter(|(_, claims)| {
            let mut claims = claims.0.iter();
            claims.any(|held| held.as_str() == claim)
        });
        let mut names = attributes.flat_map(|(attribute, _)| {
            let attribute = attribute.folded();
            [named(attribute, value), formerly_named(attribute, value)]
        });
        names.any(|name| {
            let notes = known.named(self.origin.source, &name).into_iter();
            let mut others = notes.filter(|note| note.key != self.key);
            others.any(|note| User::of(&note).is_none_or(|user| !user.active))
        })
    }
}

/// Returns the values that a user had, of which tokens may still be valid: those of before, and those that the change
/// replaces. Tokens with those were the user's up to `until`.
pub(super) fn former(
    config: &Config,
    before: &User,
    after: &User,
    (earliest, until): (UnixMillis, UnixMillis),
) -> Vec<Former> {
    let still = before
        .former
        .iter()
        .filter(|former| former.until >= earliest);
    let replaced = before.all().filter(|(attribute, value)| {
        let mut items = after.items(attribute).iter();
        let is_mapped = config.claims_of(attribute).next().is_some();
        is_mapped && !items.any(|item| item.value == *value)
    });
    let replaced = replaced.map(|(attribute, value)| Former {
        attribute: attribute.to_owned(),
        value: value.to_owned(),
        until,
    });
    still.cloned().chain(replaced).collect()
}
