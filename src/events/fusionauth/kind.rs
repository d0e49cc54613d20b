//! The event types that mean something here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An event type of FusionAuth. The `.complete` variants, which follow once a transaction is
/// committed, count as the type without it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
pub enum Kind {
    #[serde(rename = "group.member.remove")]
    GroupMemberRemove,
    #[serde(rename = "jwt.public-key.update")]
    PublicKeyUpdate,
    #[serde(rename = "jwt.refresh-token.revoke")]
    RefreshTokenRevoke,
    #[serde(rename = "user.action")]
    UserAction,
    #[serde(rename = "user.deactivate")]
    UserDeactivate,
    #[serde(rename = "user.delete")]
    UserDelete,
    #[serde(rename = "user.email.update")]
    UserEmailUpdate,
    #[serde(rename = "user.identity-provider.unlink")]
    UserIdentityProviderUnlink,
    #[serde(rename = "user.identity.update")]
    UserIdentityUpdate,
    #[serde(rename = "user.login.suspicious")]
    UserLoginSuspicious,
    #[serde(rename = "user.password.breach")]
    UserPasswordBreach,
    #[serde(rename = "user.password.reset.success")]
    UserPasswordResetSuccess,
    #[serde(rename = "user.password.update")]
    UserPasswordUpdate,
    #[serde(rename = "user.reactivate")]
    UserReactivate,
    #[serde(rename = "user.registration.delete")]
    UserRegistrationDelete,
    #[serde(rename = "user.registration.update")]
    UserRegistrationUpdate,
    #[serde(rename = "user.two-factor.method.add")]
    UserTwoFactorMethodAdd,
    #[serde(rename = "user.two-factor.method.remove")]
    UserTwoFactorMethodRemove,
    #[serde(rename = "user.update")]
    UserUpdate,
}

impl Kind {
    /// Every kind, in the order of their names.
    pub const ALL: [Self; 19] = [
        Self::GroupMemberRemove,
        Self::PublicKeyUpdate,
        Self::RefreshTokenRevoke,
        Self::UserAction,
        Self::UserDeactivate,
        Self::UserDelete,
        Self::UserEmailUpdate,
        Self::UserIdentityProviderUnlink,
        Self::UserIdentityUpdate,
        Self::UserLoginSuspicious,
        Self::UserPasswordBreach,
        Self::UserPasswordResetSuccess,
        Self::UserPasswordUpdate,
        Self::UserReactivate,
        Self::UserRegistrationDelete,
        Self::UserRegistrationUpdate,
        Self::UserTwoFactorMethodAdd,
        Self::UserTwoFactorMethodRemove,
        Self::UserUpdate,
    ];

    /// The type as FusionAuth writes it; also the cause in the record and the label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GroupMemberRemove => "group.member.remove",
            Self::PublicKeyUpdate => "jwt.public-key.update",
            Self::RefreshTokenRevoke => "jwt.refresh-token.revoke",
            Self::UserAction => "user.action",
            Self::UserDeactivate => "user.deactivate",
            Self::UserDelete => "user.delete",
            Self::UserEmailUpdate => "user.email.update",
            Self::UserIdentityProviderUnlink => "user.identity-provider.unlink",
            Self::UserIdentityUpdate => "user.identity.update",
            Self::UserLoginSuspicious => "user.login.suspicious",
            Self::UserPasswordBreach => "user.password.breach",
            Self::UserPasswordResetSuccess => "user.password.reset.success",
            Self::UserPasswordUpdate => "user.password.update",
            Self::UserReactivate => "user.reactivate",
            Self::UserRegistrationDelete => "user.registration.delete",
            Self::UserRegistrationUpdate => "user.registration.update",
            Self::UserTwoFactorMethodAdd => "user.two-factor.method.add",
            Self::UserTwoFactorMethodRemove => "user.two-factor.method.remove",
            Self::UserUpdate => "user.update",
        }
    }

    /// The kind of an event type, if it is one of these.
    pub(super) fn of(event_type: &str) -> Option<Self> {
        let name = event_type.strip_suffix(".complete").unwrap_or(event_type);
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Off is what hints at a danger without being a decision that old tokens are bad, and
    /// `user.reactivate`: it comes before FusionAuth commits, and a lift of a reactivation that then
    /// fails would let a user in who stays deactivated.
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
