//! A revocation as a message of the log.

use std::collections::BTreeMap;

use prost::Message;

use super::{Action, Note, Revocation, Target, Turn, Unreadable};
use crate::core::clock::UnixMillis;
use crate::core::lifetime::Bounds;

#[expect(
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    reason = "generated from proto/portcullis/v1"
)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/portcullis.v1.rs"));
}

impl Revocation {
    /// Returns the log's bytes (`proto/portcullis/v1/revocation.proto`): those that it was read
    /// from, where they say more than this version understands.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if let Some(original) = &self.original {
            return original.to_vec();
        }
        let matches = self
            .target
            .matches
            .iter()
            .map(|(claim, value)| wire::Match {
                claim: claim.clone(),
                value: value.clone(),
            });
        let action = match self.action {
            Action::Revoke => wire::Action::Revoke,
            Action::Lift => wire::Action::Lift,
        };
        let message = wire::Revocation {
            id: self.id.clone(),
            issuer: self.target.issuer.clone(),
            matches: matches.collect(),
            issued_at_or_before_ms: self.issued_at_or_before.map(|at| at.0),
            expires_at_or_before_ms: self.expires_at_or_before.map(|at| at.0),
            occurred_at_ms: self.occurred_at.0,
            forget_after_ms: self.forget_after.0,
            source: self.source.clone(),
            cause: self.cause.clone(),
            received_at_ms: self.received_at.0,
            action: action.into(),
            bounds: self.bounds.map(|bounds| wire::Bounds {
                longest_life: bounds.longest_life,
                leeway: bounds.leeway,
            }),
            turn: self.turn.as_deref().map(|turn| wire::Turn {
                holder: turn.holder,
                term: turn.term,
                cursor: turn.cursor.clone(),
            }),
            note: self.note.as_deref().map(|note| wire::Note {
                key: note.key.clone(),
                version: note.version,
                names: note.names.clone(),
                text: note.text.clone(),
            }),
        };
        message.encode_to_vec()
    }

    /// Reads what [`Revocation::encode`] wrote, also in a later version that added fields.
    ///
    /// # Errors
    /// When the bytes are no such message, or ask for what this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let message = wire::Revocation::decode(bytes)?;
        // Fields that this version does not know are missing from the message.
        let is_known = message.encoded_len() == bytes.len();
        let action = match wire::Action::try_from(message.action) {
            Ok(wire::Action::Revoke) => Action::Revoke,
            Ok(wire::Action::Lift) => Action::Lift,
            Ok(wire::Action::Unspecified) | Err(_) => {
                return Err(Unreadable::Action(message.action));
            }
        };
        let mut matches = BTreeMap::new();
        for wire::Match { claim, value } in message.matches {
            if matches.contains_key(&claim) {
                return Err(Unreadable::ClaimTwice(claim));
            }
            matches.insert(claim, value);
        }
        Ok(Self {
            id: message.id,
            target: Target {
                issuer: message.issuer,
                matches,
            },
            action,
            issued_at_or_before: message.issued_at_or_before_ms.map(UnixMillis),
            expires_at_or_before: message.expires_at_or_before_ms.map(UnixMillis),
            occurred_at: UnixMillis(message.occurred_at_ms),
            forget_after: UnixMillis(message.forget_after_ms),
            source: message.source,
            cause: message.cause,
            received_at: UnixMillis(message.received_at_ms),
            bounds: message.bounds.map(|bounds| Bounds {
                longest_life: bounds.longest_life,
                leeway: bounds.leeway,
            }),
            turn: message.turn.map(|turn| {
                Box::new(Turn {
                    holder: turn.holder,
                    term: turn.term,
                    cursor: turn.cursor,
                })
            }),
            note: message.note.map(|note| {
                Box::new(Note {
                    key: note.key,
                    version: note.version,
                    names: note.names,
                    text: note.text,
                })
            }),
            original: (!is_known).then(|| bytes.into()),
        })
    }
}
