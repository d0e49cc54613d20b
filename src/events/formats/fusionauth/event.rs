//! The envelope of an event, and the records that it leaves.

use std::collections::{BTreeMap, BTreeSet};

use super::config::Config;
use super::kind::Kind;
use super::members::Envelope;
use crate::core::clock::UnixMillis;
use crate::events::dialect::Origin;
use crate::events::outcome::{Effect, Rejection};
use crate::events::payload::{Id, Instant, required};
use crate::revocation::{Action, Draft, Target};

/// The user of a token.
pub(super) const USER_CLAIM: &str = "sub";
/// The application of a token; tokens of users who are not registered have `aud` only.
pub(super) const APPLICATION_CLAIM: &str = "applicationId|aud";

/// The most records that one event may leave. A group that loses more members at once has to be
/// handled by one revocation of the whole issuer, which is a decision for people.
pub(super) const MOST_RECORDS: usize = 10_000;

/// An event whose envelope is sound.
pub(super) struct Event<'a> {
    pub(super) config: &'a Config,
    origin: Origin<'a>,
    pub(super) kind: Kind,
    pub(super) id: Id,
    pub(super) created: UnixMillis,
}

/// One target and its cut-offs.
pub(super) struct Cut {
    pub(super) matches: BTreeMap<String, String>,
    pub(super) issued_at_or_before: Option<UnixMillis>,
    pub(super) expires_at_or_before: Option<UnixMillis>,
}

impl<'a> Event<'a> {
    pub(super) fn of(
        config: &'a Config,
        origin: Origin<'a>,
        kind: Kind,
        envelope: Envelope,
    ) -> Result<Self, Rejection> {
        let created = envelope.create_instant;
        Ok(Self {
            config,
            origin,
            kind,
            id: required(envelope.id, "event.id", Id::EXPECTED)?,
            created: required(created, "event.createInstant", Instant::EXPECTED)?.0,
        })
    }

    /// Returns the cut-off of this event for the tokens with these claims.
    pub(super) fn cut<'v>(&self, matches: impl IntoIterator<Item = (&'v str, &'v str)>) -> Cut {
        let owned = |(claim, value): (&str, &str)| (claim.to_owned(), value.to_owned());
        Cut {
            matches: matches.into_iter().map(owned).collect(),
            issued_at_or_before: Some(self.created.plus(self.config.grace.0)),
            expires_at_or_before: None,
        }
    }

    pub(super) fn user(&self, user: &str) -> Cut {
        self.cut([(USER_CLAIM, user)])
    }

    pub(super) fn user_in(&self, user: &str, application: &str) -> Cut {
        self.cut([(USER_CLAIM, user), (APPLICATION_CLAIM, application)])
    }

    /// Returns one cut per application. For none, or for more than can be told apart, the user as a
    /// whole: that reaches at least as much.
    pub(super) fn user_in_each(&self, user: &str, applications: &BTreeSet<Id>) -> Vec<Cut> {
        if applications.is_empty() || applications.len() > MOST_RECORDS {
            return vec![self.user(user)];
        }
        let applications = applications.iter();
        applications
            .map(|application| self.user_in(user, application))
            .collect()
    }

    pub(super) fn record(&self, cuts: Vec<Cut>) -> Effect {
        if cuts.is_empty() {
            return Effect::Nothing;
        }
        let drafts = cuts.into_iter().enumerate();
        Effect::Record(drafts.map(|(index, cut)| self.draft(index, cut)).collect())
    }

    /// Reactivation takes back what deactivation set, and nothing else: a password that was changed
    /// in between stays changed. FusionAuth sends it before it commits, hence the delay.
    pub(super) fn lift(&self, user: &str) -> Effect {
        let mut draft = self.draft(0, self.user(user));
        draft.issued_at_or_before = None;
        draft.action = Action::Lift;
        Effect::RecordLater(vec![draft], self.config.lift_grace.0)
    }

    /// Ids carry the source's name: one FusionAuth may serve several issuers here, and its event
    /// must not count as a duplicate at the second.
    fn draft(&self, index: usize, cut: Cut) -> Draft {
        let (source, id) = (self.origin.source, &*self.id);
        // Reactivation lifts by this cause, whichever of the two switched the user off.
        let cause = match self.kind {
            Kind::UserUpdate | Kind::UserReactivate => Kind::UserDeactivate,
            kind => kind,
        };
        Draft {
            id: if index == 0 {
                format!("{source}/{id}")
            } else {
                format!("{source}/{id}/{index}")
            },
            target: Target {
                issuer: self.origin.issuer.to_owned(),
                matches: cut.matches,
            },
            action: Action::Revoke,
            issued_at_or_before: cut.issued_at_or_before,
            expires_at_or_before: cut.expires_at_or_before,
            occurred_at: self.created,
            source: source.to_owned(),
            cause: cause.as_str().to_owned(),
        }
    }
}
