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
}

impl Caller {
    pub(super) fn may_write(&self) -> Result<(), Refused> {
        if self.role == Role::Write {
            return Ok(());
        }
        let why = "this credential has the role read; revoking and lifting need the role write";
        Err(Refused::new(StatusCode::FORBIDDEN, why))
    }
}
