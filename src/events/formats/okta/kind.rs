//! The event types that mean something here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares the types with the names that Okta gives them.
macro_rules! kinds {
    ($($variant:ident = $name:literal,)+) => {
        /// An event type of Okta.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
        )]
        pub enum Kind {
            $(#[serde(rename = $name)] $variant,)+
        }

        impl Kind {
            /// Every kind, in the order of their names.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Returns the type as Okta writes it; also the cause in the record and the label in
            /// metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

kinds! {
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

impl Kind {
    pub(super) fn of(event_type: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == event_type)
    }

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
