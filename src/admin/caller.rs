//! Who sent a request.

use std::sync::Arc;

use http::StatusCode;

use super::config::Role;
use super::refused::Refused;

/// Who sent a request: the name of the credential and what it permits.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    /// `None`: all who know the secret are one.
    pub(super) subject: Option<Subject>,
}

/// One of several whom a credential admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The issuer of the token; empty for a certificate.
    pub(super) issuer: Arc<str>,
    /// The subject of the token, else its client, or the name in the certificate.
    pub(super) name: Arc<str>,
}

impl Caller {
    /// Returns whether both are the same person, as far as their credentials tell: the same subject, or else
    /// the same secret.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (&self.subject, &other.subject) {
            (None, None) => self.name == other.name,
            (own, others) => own == others,
        }
    }

    pub(super) fn may_approve(&self) -> Result<(), Refused> {
        if self.role >= Role::Approve {
            return Ok(());
        }
        let why = "this credential may not approve; that needs the role approve";
        Err(Refused::new(StatusCode::FORBIDDEN, why))
    }

    pub(super) fn may_write(&self) -> Result<(), Refused> {
        if self.role >= Role::Write {
            return Ok(());
        }
        let why = "this credential has the role read; revoking and lifting need the role write";
        Err(Refused::new(StatusCode::FORBIDDEN, why))
    }
}
