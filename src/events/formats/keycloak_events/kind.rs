//! What Keycloak's events mean here.

use crate::events::formats::kinds::kinds;

kinds! {
    /// What happened: a user event, by its name in Keycloak, or what an administrator did.
    pub enum Kind {
        AccountDeleted = "DELETE_ACCOUNT",
        LoggedOut = "LOGOUT",
        CredentialRemoved = "REMOVE_CREDENTIAL",
        OtpRemoved = "REMOVE_TOTP",
        GrantRevoked = "REVOKE_GRANT",
        CredentialUpdated = "UPDATE_CREDENTIAL",
        PasswordUpdated = "UPDATE_PASSWORD",
        LockedOut = "USER_DISABLED_BY_PERMANENT_LOCKOUT",
        LockedOutForAWhile = "USER_DISABLED_BY_TEMPORARY_LOCKOUT",
        SessionEnded = "USER_SESSION_DELETED",
        RealmLogout = "realm.logout",
        SessionDelete = "session.delete",
        UserConsentRevoke = "user.consent.revoke",
        UserCredentialRemove = "user.credential.remove",
        UserDelete = "user.delete",
        UserDisable = "user.disable",
        UserGroupLeave = "user.group.leave",
        UserLogout = "user.logout",
        UserPasswordReset = "user.password.reset",
        UserRoleRemove = "user.role.remove",
    }
}

impl Kind {
    /// Returns whether the kind revokes unless it is configured. Anybody who knows a user's name can
    /// bring about a temporary lock-out.
    pub(super) const fn is_on_by_default(self) -> bool {
        !matches!(self, Self::LockedOutForAWhile)
    }

    /// Returns whether it is the type of a user event.
    pub(super) fn is_user_event(self) -> bool {
        self.as_str()
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    }

    /// Returns whether a realm saves the type unless it is told to.
    pub(super) const fn is_saved_by_default(self) -> bool {
        !matches!(self, Self::SessionEnded)
    }
}
