//! From an event's members to what has to be done about it.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::{Config, refresh_token};
use crate::core::clock::UnixMillis;
use crate::events::format::Origin;
use crate::events::json::{Place, Wanted};
use crate::events::outcome::{Effect, Rejection};
use crate::revocation::{Action, Draft, Target};

/// Everything that is read. A user's own data is not among it, and neither are tokens.
pub(super) static WANTED: Wanted = Wanted::Members(&[("event", EVENT)]);

const EVENT: Wanted = Wanted::Members(&[
    ("id", Wanted::Whole),
    ("type", Wanted::Whole),
    ("createInstant", Wanted::Whole),
    ("tenantId", Wanted::Whole),
    ("userId", Wanted::Whole),
    ("applicationId", Wanted::Whole),
    ("applicationTimeToLiveInSeconds", Wanted::Whole),
    ("refreshToken", REFRESH_TOKEN),
    ("user", USER),
    ("original", ORIGINAL),
    ("registration", REGISTRATION),
    ("members", MEMBER),
    ("actionId", Wanted::Whole),
    ("actioneeUserId", Wanted::Whole),
    ("actioneeId", Wanted::Whole),
    ("applicationIds", Wanted::Whole),
    ("phase", Wanted::Whole),
]);
const REFRESH_TOKEN: Wanted = Wanted::Members(&[
    ("id", Wanted::Whole),
    ("applicationId", Wanted::Whole),
    ("userId", Wanted::Whole),
]);
const USER: Wanted = Wanted::Members(&[("id", Wanted::Whole), ("active", Wanted::Whole)]);
/// A user or a registration as it was.
const ORIGINAL: Wanted = Wanted::Members(&[("active", Wanted::Whole), ("roles", Wanted::Whole)]);
const REGISTRATION: Wanted =
    Wanted::Members(&[("applicationId", Wanted::Whole), ("roles", Wanted::Whole)]);
const MEMBER: Wanted = Wanted::Members(&[("userId", Wanted::Whole)]);

/// The user of a token.
pub(super) const USER_CLAIM: &str = "sub";
/// The application of a token; tokens of users who are not registered have `aud` only.
pub(super) const APPLICATION_CLAIM: &str = "applicationId|aud";

/// The most records that one event may leave. A group that loses more members at once has to be
/// handled by one revocation of the whole issuer, which is a decision for people.
pub(super) const MOST_RECORDS: usize = 10_000;

/// Seconds instead of milliseconds would be a moment in 1970, and a cut-off there revokes nothing.
const INSTANTS: std::ops::RangeInclusive<u64> = 100_000_000_000..=253_402_300_799_999;

/// An event whose envelope is sound.
pub(super) struct Event<'a> {
    pub(super) config: &'a Config,
    pub(super) origin: Origin<'a>,
    pub(super) kind: Kind,
    pub(super) body: Place<'a>,
    pub(super) id: &'a str,
    pub(super) created: UnixMillis,
}

/// One target and its cut-offs.
pub(super) struct Cut {
    pub(super) matches: BTreeMap<String, String>,
    pub(super) issued_at_or_before: Option<UnixMillis>,
    pub(super) expires_at_or_before: Option<UnixMillis>,
}

impl<'a> Event<'a> {
    pub(super) fn read(
        config: &'a Config,
        origin: Origin<'a>,
        kind: Kind,
        body: Place<'a>,
    ) -> Result<Self, Rejection> {
        let id = body.member("id")?.id()?;
        let created = body.member("createInstant")?;
        let created = created.unsigned(INSTANTS, "milliseconds since the epoch")?;
        Ok(Self {
            config,
            origin,
            kind,
            body,
            id,
            created: UnixMillis(created),
        })
    }

    /// Events without a tenant are of every tenant.
    pub(super) fn is_of_another_tenant(&self) -> Result<bool, Rejection> {
        let tenant = self.body.member("tenantId")?.optional_id()?;
        Ok(match (&self.config.tenant, tenant) {
            (Some(wanted), Some(tenant)) => !wanted.eq_ignore_ascii_case(tenant),
            _ => false,
        })
    }

    pub(super) fn effect(&self) -> Result<Effect, Rejection> {
        let cuts = match self.kind {
            Kind::PublicKeyUpdate => return Ok(Effect::RefetchKeys),
            Kind::UserReactivate => return self.lift(),
            Kind::RefreshTokenRevoke => refresh_token::cuts(self)?,
            Kind::UserUpdate => self.deactivated_user()?,
            Kind::UserRegistrationUpdate => self.changed_registration()?,
            Kind::UserRegistrationDelete => vec![self.registration()?],
            Kind::GroupMemberRemove => self.members()?,
            Kind::UserAction => self.action()?,
            Kind::UserDeactivate
            | Kind::UserDelete
            | Kind::UserEmailUpdate
            | Kind::UserIdentityProviderUnlink
            | Kind::UserIdentityUpdate
            | Kind::UserLoginSuspicious
            | Kind::UserPasswordBreach
            | Kind::UserPasswordResetSuccess
            | Kind::UserPasswordUpdate
            | Kind::UserTwoFactorMethodAdd
            | Kind::UserTwoFactorMethodRemove => vec![self.user()?],
        };
        Ok(self.record(cuts))
    }

    fn user_id(&self) -> Result<&'a str, Rejection> {
        self.body.member("user")?.member("id")?.id()
    }

    fn user(&self) -> Result<Cut, Rejection> {
        Ok(self.cut([(USER_CLAIM, self.user_id()?)]))
    }

    /// `user.update` says that somebody was switched off by showing the user before and after.
    /// Without the "before", an inactive user is taken for one who just became so.
    fn deactivated_user(&self) -> Result<Vec<Cut>, Rejection> {
        let is_active = self.body.member("user")?.member("active")?.boolean()?;
        let original = self.body.member("original")?.member("active")?.given();
        let was_active = original.map_or(Ok(true), |place| place.boolean())?;
        match (was_active, is_active) {
            (true, false) => Ok(vec![self.user()?]),
            _ => Ok(Vec::new()),
        }
    }

    fn registration(&self) -> Result<Cut, Rejection> {
        let inner = self.body.member("registration")?.member("applicationId")?;
        let application = first_id(&self.body.member("applicationId")?, &inner)?;
        let user = self.user_id()?;
        Ok(self.cut([(USER_CLAIM, user), (APPLICATION_CLAIM, application)]))
    }

    /// Tokens carry the roles of their registration, so a change of roles makes them wrong. When
    /// the event does not show the roles before, they count as changed.
    fn changed_registration(&self) -> Result<Vec<Cut>, Rejection> {
        let now = roles(&self.body.member("registration")?)?;
        let before = match self.body.member("original")?.given() {
            Some(original) => Some(roles(&original)?),
            None => None,
        };
        if before.is_some_and(|before| before == now) {
            return Ok(Vec::new());
        }
        Ok(vec![self.registration()?])
    }

    fn members(&self) -> Result<Vec<Cut>, Rejection> {
        let members = self.body.member("members")?;
        let mut users = BTreeSet::new();
        for member in members.items()? {
            users.insert(member.member("userId")?.id()?);
        }
        if users.len() > MOST_RECORDS {
            return Err(members.wrong("at most 10000 members at once"));
        }
        let cut = |user| self.cut([(USER_CLAIM, user)]);
        Ok(users.into_iter().map(cut).collect())
    }

    /// An action that starts on a user: in the applications that it names, or in all of them.
    fn action(&self) -> Result<Vec<Cut>, Rejection> {
        if self.config.user_actions.is_empty() {
            return Ok(Vec::new());
        }
        let action = self.body.member("actionId")?.id()?;
        let mut configured = self.config.user_actions.iter();
        if !configured.any(|wanted| wanted.eq_ignore_ascii_case(action)) {
            return Ok(Vec::new());
        }
        if self.body.member("phase")?.text("the phase of the action")? != "start" {
            return Ok(Vec::new());
        }
        // The documentation's table and its sample disagree about the name.
        let (table, sample) = (
            self.body.member("actioneeUserId")?,
            self.body.member("actioneeId")?,
        );
        let user = first_id(&table, &sample)?;
        let mut applications = BTreeSet::new();
        if let Some(list) = self.body.member("applicationIds")?.given() {
            for application in list.items()? {
                applications.insert(application.id()?);
            }
        }
        if applications.is_empty() || applications.len() > MOST_RECORDS {
            return Ok(vec![self.cut([(USER_CLAIM, user)])]);
        }
        let cut = |application| self.cut([(USER_CLAIM, user), (APPLICATION_CLAIM, application)]);
        Ok(applications.into_iter().map(cut).collect())
    }

    /// The cut-off of this event for one target.
    pub(super) fn cut<'v>(&self, matches: impl IntoIterator<Item = (&'v str, &'v str)>) -> Cut {
        let owned = |(claim, value): (&str, &str)| (claim.to_owned(), value.to_owned());
        Cut {
            matches: matches.into_iter().map(owned).collect(),
            issued_at_or_before: Some(self.created.plus(self.config.grace.0)),
            expires_at_or_before: None,
        }
    }

    fn record(&self, cuts: Vec<Cut>) -> Effect {
        if cuts.is_empty() {
            return Effect::Nothing;
        }
        let drafts = cuts.into_iter().enumerate();
        Effect::Record(drafts.map(|(index, cut)| self.draft(index, cut)).collect())
    }

    /// Reactivation takes back what deactivation set, and nothing else: a password that was changed
    /// in between stays changed. FusionAuth tells it before it commits, hence the delay.
    fn lift(&self) -> Result<Effect, Rejection> {
        let cut = Cut {
            issued_at_or_before: None,
            ..self.user()?
        };
        let mut draft = self.draft(0, cut);
        draft.action = Action::Lift;
        Ok(Effect::RecordLater(vec![draft], self.config.lift_grace.0))
    }

    /// Ids carry the source's name: one FusionAuth may serve several issuers here, and its event
    /// must not count as a duplicate at the second.
    fn draft(&self, index: usize, cut: Cut) -> Draft {
        let id = format!("{}/{}", self.origin.source, self.id);
        Draft {
            id: if index == 0 {
                id
            } else {
                format!("{id}/{index}")
            },
            target: Target {
                issuer: self.origin.issuer.to_owned(),
                matches: cut.matches,
            },
            action: Action::Revoke,
            issued_at_or_before: cut.issued_at_or_before,
            expires_at_or_before: cut.expires_at_or_before,
            occurred_at: self.created,
            source: self.origin.source.to_owned(),
            cause: self.cause().as_str().to_owned(),
        }
    }

    /// Whoever is switched off by an update or by deactivation is switched on again by
    /// reactivation, which lifts by this cause.
    const fn cause(&self) -> Kind {
        match self.kind {
            Kind::UserUpdate | Kind::UserReactivate => Kind::UserDeactivate,
            kind => kind,
        }
    }
}

/// The id at one of two places; the first one counts, and is the one that is missed.
pub(super) fn first_id<'a>(first: &Place<'a>, second: &Place<'a>) -> Result<&'a str, Rejection> {
    match (first.is_absent(), second.is_absent()) {
        (true, false) => second.id(),
        _ => first.id(),
    }
}

/// The roles of a registration; absent ones are none.
fn roles<'a>(registration: &Place<'a>) -> Result<BTreeSet<&'a str>, Rejection> {
    let Some(list) = registration.member("roles")?.given() else {
        return Ok(BTreeSet::new());
    };
    let items = list.items()?;
    items
        .iter()
        .map(|role| role.text("the name of a role"))
        .collect()
}
