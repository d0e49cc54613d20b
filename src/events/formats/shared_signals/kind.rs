//! The events that mean something here.

use crate::events::formats::kinds::kinds;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
/// Google sends these beside the events of RISC.
const OAUTH: &str = "https://schemas.openid.net/secevent/oauth/event-type/";

kinds! {
    /// An event of CAEP or RISC that may end tokens, by the last part of its URI.
    pub enum Kind {
        AccountCredentialChangeRequired = "account-credential-change-required",
        AccountDisabled = "account-disabled",
        AccountEnabled = "account-enabled",
        AccountPurged = "account-purged",
        AssuranceLevelChange = "assurance-level-change",
        CredentialChange = "credential-change",
        CredentialCompromise = "credential-compromise",
        DeviceComplianceChange = "device-compliance-change",
        IdentifierChanged = "identifier-changed",
        IdentifierRecycled = "identifier-recycled",
        RecoveryActivated = "recovery-activated",
        RecoveryInformationChanged = "recovery-information-changed",
        RiskLevelChange = "risk-level-change",
        SessionRevoked = "session-revoked",
        SessionsRevoked = "sessions-revoked",
        TokenClaimsChange = "token-claims-change",
        TokensRevoked = "tokens-revoked",
    }
}

impl Kind {
    /// Returns the kind of the event with this URI, if it is one of these.
    pub(super) fn of(uri: &str) -> Option<Self> {
        let kind = Self::named(uri.rsplit('/').next()?)?;
        (uri.strip_prefix(kind.prefix()) == Some(kind.as_str())).then_some(kind)
    }

    /// Returns the URI of the event.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{}{}", self.prefix(), self.as_str())
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::AssuranceLevelChange
            | Self::CredentialChange
            | Self::DeviceComplianceChange
            | Self::RiskLevelChange
            | Self::SessionRevoked
            | Self::TokenClaimsChange => CAEP,
            Self::TokensRevoked => OAUTH,
            _ => RISC,
        }
    }

    /// Returns whether the event counts unless it is configured. Those that hint at a danger do not,
    /// because they are no decision that old tokens are bad. Neither does `account-enabled`: whoever
    /// logs in again gets new tokens anyway.
    #[must_use]
    pub const fn is_on_by_default(self) -> bool {
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
