//! What has to be done about an event.

use std::borrow::Cow;
use std::time::Duration;

use crate::revocation::Draft;

/// An understood event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The event's type, from a bounded list; `other` for types that the format does not know.
    pub event: Cow<'static, str>,
    /// The event's own id, where it was read.
    pub id: Option<String>,
    pub effect: Effect,
    /// What an operator should know about this event, for the log. It says nothing about people.
    pub notice: Option<&'static str>,
}

impl Outcome {
    /// Returns the outcome of a body with several events, of which `names` are the types and `refused` is
    /// one that was not understood. That one does not keep the others from being recorded: the log then says
    /// `incomplete`.
    ///
    /// # Errors
    /// `refused`, if nothing is left to record.
    pub(super) fn of_several(
        mut names: Vec<Cow<'static, str>>,
        id: Option<String>,
        drafts: Vec<Draft>,
        refused: Option<Rejection>,
        incomplete: &'static str,
    ) -> Result<Self, Rejection> {
        let notice = match refused {
            Some(rejection) if drafts.is_empty() => return Err(rejection),
            refused => refused.map(|_| incomplete),
        };
        names.dedup();
        Ok(Self {
            event: match &mut names[..] {
                [one] => std::mem::take(one),
                _ => Cow::Borrowed("several"),
            },
            id,
            effect: Effect::of(drafts),
            notice,
        })
    }
}

/// What has to be done before the sender gets its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make these durable: all or none.
    Record(Vec<Draft>),
    /// Make these durable now and let them count after this duration.
    RecordLater(Vec<Draft>, Duration),
    /// The issuer changed its keys: fetch them again.
    RefetchKeys,
    /// Nobody here can be found by what the event is about: a failure, because it reaches nothing.
    Unresolved(Rejection),
    /// The event revokes nothing, or its type is switched off.
    Nothing,
}

impl Effect {
    /// Records these, if there are any.
    pub(super) fn of(drafts: Vec<Draft>) -> Self {
        if drafts.is_empty() {
            Self::Nothing
        } else {
            Self::Record(drafts)
        }
    }
}

/// Why a body of an authenticated sender can never be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The JSON path, such as `event.createInstant`; empty for the body itself.
    pub path: String,
    pub message: String,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() {
            "the body"
        } else {
            &self.path
        };
        write!(f, "{path}: {}", self.message)
    }
}
