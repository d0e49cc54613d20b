//! The event types that mean something here.

use crate::events::formats::kinds::kinds;

kinds! {
    /// An event type of Okta.
    pub enum Kind {
        ApplicationMembershipRemove = "application.user_membership.remove",
        DeviceDeactivate = "device.lifecycle.deactivate",
        DeviceSuspend = "device.lifecycle.suspend",
        AccountLock = "user.account.lock",
        PrivilegeRevoke = "user.account.privilege.revoke",
        ResetPassword = "user.account.reset_password",
        UpdatePassword = "user.account.update_password",
        UniversalLogout = "user.authentication.universal_logout",
        Deactivate = "user.lifecycle.deactivate",
        Delete = "user.lifecycle.delete.initiated",
        Suspend = "user.lifecycle.suspend",
        FactorDeactivate = "user.mfa.factor.deactivate",
        FactorResetAll = "user.mfa.factor.reset_all",
        FactorSuspend = "user.mfa.factor.suspend",
        RiskChange = "user.risk.change",
        SessionClear = "user.session.clear",
        SessionContextChange = "user.session.context.change",
        SessionEnd = "user.session.end",
    }
}

impl Kind {
    /// Returns whether the kind revokes unless it is configured. Those that hint at a danger, or are
    /// about less than the whole user, do not.
    pub(super) const fn is_on_by_default(self) -> bool {
        !matches!(
            self,
            Self::ApplicationMembershipRemove
                | Self::DeviceDeactivate
                | Self::DeviceSuspend
                | Self::PrivilegeRevoke
                | Self::RiskChange
                | Self::SessionContextChange
        )
    }
}
