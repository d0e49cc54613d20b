//! The event types that mean something here.

use crate::events::formats::kinds::kinds;

kinds! {
    /// An event type of FusionAuth. The `.complete` variants, which follow once a transaction is committed,
    /// count as the type without it.
    pub enum Kind {
        GroupMemberRemove = "group.member.remove",
        PublicKeyUpdate = "jwt.public-key.update",
        RefreshTokenRevoke = "jwt.refresh-token.revoke",
        UserAction = "user.action",
        UserDeactivate = "user.deactivate",
        UserDelete = "user.delete",
        UserEmailUpdate = "user.email.update",
        UserIdentityProviderUnlink = "user.identity-provider.unlink",
        UserIdentityUpdate = "user.identity.update",
        UserLoginSuspicious = "user.login.suspicious",
        UserPasswordBreach = "user.password.breach",
        UserPasswordResetSuccess = "user.password.reset.success",
        UserPasswordUpdate = "user.password.update",
        UserReactivate = "user.reactivate",
        UserRegistrationDelete = "user.registration.delete",
        UserRegistrationUpdate = "user.registration.update",
        UserTwoFactorMethodAdd = "user.two-factor.method.add",
        UserTwoFactorMethodRemove = "user.two-factor.method.remove",
        UserUpdate = "user.update",
    }
}

impl Kind {
    /// Returns the kind of an event type, if it is one of these.
    pub(super) fn of(event_type: &str) -> Option<Self> {
        Self::named(event_type.strip_suffix(".complete").unwrap_or(event_type))
    }

    /// Returns whether the kind revokes unless it is configured. Those that hint at a danger do not,
    /// because they are no decision that old tokens are bad. Neither does `user.reactivate`: it comes
    /// before FusionAuth commits, and a lift of a reactivation that then fails would let a user in
    /// who stays deactivated.
    pub(super) const fn is_on_by_default(self) -> bool {
        !matches!(
            self,
            Self::UserEmailUpdate
                | Self::UserIdentityProviderUnlink
                | Self::UserIdentityUpdate
                | Self::UserLoginSuspicious
                | Self::UserPasswordBreach
                | Self::UserReactivate
        )
    }
}
