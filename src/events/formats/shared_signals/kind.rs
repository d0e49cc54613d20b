//! The events that mean something here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
/// Google sends these beside the events of RISC.
const OAUTH: &str = "https://schemas.openid.net/secevent/oauth/event-type/";

/// Declares the events with the last parts of their URIs, by which they are configured.
macro_rules! kinds {
    ($($variant:ident = $prefix:ident $name:literal,)+) => {
        /// An event of CAEP or RISC that may end tokens.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
        )]
        pub enum Kind {
            $(#[serde(rename = $name)] $variant,)+
        }

        impl Kind {
            /// Every event, in the order of their names.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Returns the last part of the URI; also the cause in the record and the label in
            /// metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            const fn prefix(self) -> &'static str {
                match self {
                    $(Self::$variant => $prefix,)+
                }
            }
        }
    };
}

kinds! {
    AccountCredentialChangeRequired = RISC "account-credential-change-required",
    AccountDisabled = RISC "account-disabled",
    AccountEnabled = RISC "account-enabled",
    AccountPurged = RISC "account-purged",
    AssuranceLevelChange = CAEP "assurance-level-change",
    CredentialChange = CAEP "credential-change",
    CredentialCompromise = RISC "credential-compromise",
    DeviceComplianceChange = CAEP "device-compliance-change",
    IdentifierChanged = RISC "identifier-changed",
    IdentifierRecycled = RISC "identifier-recycled",
    RecoveryActivated = RISC "recovery-activated",
    RecoveryInformationChanged = RISC "recovery-information-changed",
    RiskLevelChange = CAEP "risk-level-change",
    SessionRevoked = CAEP "session-revoked",
    SessionsRevoked = RISC "sessions-revoked",
    TokenClaimsChange = CAEP "token-claims-change",
    TokensRevoked = OAUTH "tokens-revoked",
}

impl Kind {
    /// Returns the kind of the event with this URI, if it is one of these.
    pub(super) fn of(uri: &str) -> Option<Self> {
        let is_it = |kind: &Self| uri.strip_prefix(kind.prefix()) == Some(kind.as_str());
        Self::ALL.into_iter().find(is_it)
    }

    /// Returns whether the event counts unless it is configured. Those that hint at a danger do not,
    /// because they are no decision that old tokens are bad. Neither does `account-enabled`: whoever
    /// logs in again gets new tokens anyway.
    pub(super) const fn is_on_by_default(self) -> bool {
        matches!(
            self,
            Self::AccountCredentialChangeRequired
                | Self::AccountDisabled
                | Self::AccountPurged
                | Self::CredentialChange
                | Self::CredentialCompromise
                | Self::SessionRevoked
                | Self::SessionsRevoked
                | Self::TokenClaimsChange
                | Self::TokensRevoked
        )
    }
}
