//! The revocation record: which tokens are no longer good, since when, and until when that has to
//! be remembered.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::core::clock::UnixMillis;
use crate::core::lifetime::Bounds;

mod message;
mod note;
mod terms;
mod turn;

pub use note::Note;
pub use terms::Terms;
pub use turn::Turn;

/// Which tokens: those of `issuer` that carry every one of `matches`.
///
/// A key of `matches` is a claim name, or several joined by `|`, of which the first that the token
/// has counts (`applicationId|aud`). A value is compared as text with a string, number or boolean
/// claim; a claim that is an array matches by membership. An empty map means every token of the
/// issuer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub issuer: String,
    pub matches: BTreeMap<String, String>,
}

/// What to do with the tokens of a [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// They are no longer good.
    Revoke,
    /// Every revocation of the same source, target and cause that occurred no later is taken back.
    Lift,
}

/// What an event says, before the receipt fixes what must not be left to the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The event's own id where it has one, else a fresh ULID.
    pub id: String,
    pub target: Target,
    pub action: Action,
    /// Tokens issued at or before this second are meant. `None`: every matching token, as for a
    /// `jti` or a `sid`.
    pub issued_at_or_before: Option<UnixMillis>,
    /// The cut-off for tokens without `iat`: those that expire at or before this second. Without
    /// it such a token counts as issued as early as its life may be long.
    pub expires_at_or_before: Option<UnixMillis>,
    /// By the sender's clock.
    pub occurred_at: UnixMillis,
    /// The configured name of the event source.
    pub source: String,
    /// What happened, such as `user.deactivate`; for a lift, the cause that it takes back.
    pub cause: String,
}

/// Stands before the name of the source in a record that is in shadow: it refuses nothing and is counted where it would.
/// No configured source has such a name, so nothing in shadow takes back or replaces what is enforced. A version that
/// does not know of shadow enforces the record.
pub const SHADOW: &str = "shadow/";

impl Draft {
    /// Returns the name of a source in the records that it leaves in shadow.
    #[must_use]
    pub fn source_in_shadow(source: &str) -> String {
        format!("{SHADOW}{source}")
    }
}

/// A revocation as it stands in the log. As JSON, for an export, its times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    pub id: String,
    pub target: Target,
    pub action: Action,
    pub issued_at_or_before: Option<UnixMillis>,
    pub expires_at_or_before: Option<UnixMillis>,
    pub occurred_at: UnixMillis,
    /// No matching token can be valid after this moment, by the terms known at receipt. See
    /// [`Terms::forget_after`] for the terms of today.
    pub forget_after: UnixMillis,
    pub source: String,
    pub cause: String,
    pub received_at: UnixMillis,
    /// Set in a record that revokes nothing: since `occurred_at` a replica's configuration says this
    /// about the issuer's tokens. See [`crate::core::lifetime::History`].
    ///
    /// The record is a lift that takes nothing back, for versions that do not know of bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// Set in a record that revokes nothing: see [`Turn`]. The record is a lift that takes nothing back,
    /// for versions that do not know of turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Box<Turn>>,
    /// Set in a record that revokes nothing: see [`Note`]. The record is a lift that takes nothing back, for
    /// versions that do not know of notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Box<Note>>,
    /// The bytes that this record was read from, if they say more than this version understands. A
    /// copy is written with them, so that a later version finds all that was said.
    #[serde(skip)]
    pub original: Option<Box<[u8]>>,
}

impl Revocation {
    /// Returns a record that revokes nothing, for the caller to put its content in: a lift of a cause that no
    /// revocation has. It may be forgotten at once.
    pub(super) fn without_effect(
        id: String,
        issuer: &str,
        source: &str,
        cause: &str,
        now: UnixMillis,
    ) -> Self {
        Self {
            id,
            target: Target {
                issuer: issuer.to_owned(),
                matches: BTreeMap::new(),
            },
            action: Action::Lift,
            issued_at_or_before: None,
            expires_at_or_before: None,
            occurred_at: now,
            forget_after: now,
            source: source.to_owned(),
            cause: cause.to_owned(),
            received_at: now,
            bounds: None,
            turn: None,
            note: None,
            original: None,
        }
    }

    /// Returns whether the record refuses nothing and only says what it would refuse.
    #[must_use]
    pub fn is_in_shadow(&self) -> bool {
        self.source.starts_with(SHADOW)
    }

    /// Returns whether the record is about tokens at all.
    #[must_use]
    pub const fn is_about_tokens(&self) -> bool {
        self.bounds.is_none() && self.turn.is_none() && self.note.is_none()
    }
}

/// A log entry that this version cannot act on. It is never skipped: a revocation that is not
/// understood is a revocation that is not enforced.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("not a revocation message: {0}")]
    Wire(#[from] prost::DecodeError),
    #[error("action {0} is not known to this version")]
    Action(i32),
    #[error("the claim {0:?} is named twice")]
    ClaimTwice(String),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms = Terms {
        longest_life: Duration::from_hours(1),
        leeway: Duration::from_mins(1),
        not_before: UnixMillis(0),
    };

    fn draft(occurred_at: u64, cut_off: Option<u64>) -> Draft {
        Draft {
            id: "1".to_owned(),
            target: Target {
                issuer: "https://id.example.com".to_owned(),
                matches: BTreeMap::from([("sub".to_owned(), "a".to_owned())]),
            },
            action: Action::Revoke,
            issued_at_or_before: cut_off.map(UnixMillis::from_seconds),
            expires_at_or_before: None,
            occurred_at: UnixMillis::from_seconds(occurred_at),
            source: "test".to_owned(),
            cause: "lock".to_owned(),
        }
    }

    fn received(draft: Draft, now: u64) -> Revocation {
        draft.receive(UnixMillis::from_seconds(now), &TERMS)
    }

    #[test]
    fn a_cut_off_is_kept_for_the_lifetime_and_the_leeway() {
        let record = received(draft(100, Some(100)), 5000);
        assert_eq!(
            record.forget_after,
            UnixMillis::from_seconds(100 + 3600 + 60 + 1)
        );
    }

    #[test]
    fn a_revocation_without_cut_off_is_kept_for_the_youngest_token() {
        let record = received(draft(100, None), 5000);
        // Issued at 5060 by an issuer whose clock is ahead, and accepted for a leeway more.
        assert_eq!(
            record.forget_after,
            UnixMillis::from_seconds(5060 + 3600 + 60 + 1)
        );
    }

    #[test]
    fn a_cut_off_in_the_future_is_kept_up_to_one_lifetime() {
        let at = UnixMillis::from_seconds;
        // What the sender says, and what is kept of it when it is received at 100.
        for (said, kept) in [(90, 90), (165, 165), (3700, 3700), (1_000_000, 3700)] {
            let mut draft = draft(said, Some(said));
            draft.expires_at_or_before = Some(at(said + 3600));
            let record = received(draft, 100);
            assert_eq!(record.occurred_at, at(said.min(160)));
            assert_eq!(record.issued_at_or_before, Some(at(kept)), "{said}");
            let last_end = (said + 3600).min(100 + 3600 + 3600 + 60);
            assert_eq!(record.expires_at_or_before, Some(at(last_end)), "{said}");
        }
    }

    #[test]
    fn a_leeway_longer_than_the_lifetime_reaches_every_valid_token() {
        let terms = Terms {
            longest_life: Duration::from_secs(10),
            ..TERMS
        };
        let record = draft(9999, Some(9999)).receive(UnixMillis::from_seconds(100), &terms);
        let latest = UnixMillis::from_seconds(160);
        assert_eq!(record.issued_at_or_before, Some(latest));
    }

    #[test]
    fn bytes_read_back_and_what_is_not_understood_is_an_error() {
        for draft in [draft(100, None), draft(100, Some(7))] {
            let record = received(draft, 100);
            assert_eq!(Revocation::decode(&record.encode()).unwrap(), record);
        }
        assert!(matches!(
            Revocation::decode(&[]),
            Err(Unreadable::Action(0))
        ));
        assert!(matches!(
            Revocation::decode(b"\xff"),
            Err(Unreadable::Wire(_))
        ));
    }

    fn moment() -> impl Strategy<Value = UnixMillis> {
        any::<u64>().prop_map(UnixMillis)
    }

    prop_compose! {
        fn record()(
            (id, issuer, source, cause) in (".*", ".*", ".*", ".*"),
            matches in btree_map(".{0,20}", ".{0,200}", 0..4),
            lifts in any::<bool>(),
            (issued, expires) in (option::of(moment()), option::of(moment())),
            (occurred_at, forget_after, received_at) in (moment(), moment(), moment()),
            bounds in option::of((any::<u64>(), any::<u64>())),
            turn in option::of((any::<u64>(), any::<u64>(), option::of(".*"))),
            note in option::of((".*", any::<u64>(), vec(".*", 0..3), option::of(".*"))),
        ) -> Revocation {
            Revocation {
                id,
                target: Target { issuer, matches },
                action: if lifts { Action::Lift } else { Action::Revoke },
                issued_at_or_before: issued,
                expires_at_or_before: expires,
                occurred_at,
                forget_after,
                source,
                cause,
                received_at,
                bounds: bounds.map(|(longest_life, leeway)| Bounds {
                    longest_life,
                    leeway,
                }),
                turn: turn.map(|(holder, term, cursor)| {
                    Box::new(Turn {
                        holder,
                        term,
                        cursor,
                    })
                }),
                note: note.map(|(key, version, names, text)| {
                    Box::new(Note {
                        key,
                        version,
                        names,
                        text,
                    })
                }),
                original: None,
            }
        }
    }

    proptest! {
        #[test]
        fn written_records_read_back(record in record()) {
            prop_assert_eq!(Revocation::decode(&record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn fields_of_a_later_version_are_stepped_over_and_unknown_actions_are_not() {
        let mut bytes = received(draft(100, None), 100).encode();
        // Field 100, a text.
        bytes.extend_from_slice(&[0xa2, 0x06, 3, b'n', b'e', b'w']);
        let read = Revocation::decode(&bytes).unwrap();
        assert_eq!(read.id, "1");
        assert_eq!(read.encode(), bytes, "a copy of it has the field");
        // A match whose field 9 this version does not know, and bounds likewise.
        for (field, known) in [(0x1a, &b"\x0a\x03sid"[..]), (0x62, b"\x08\x07")] {
            let mut later = received(draft(100, None), 100).encode();
            let message = [known, b"\x4a\x01x"].concat();
            later.extend_from_slice(&[field, u8::try_from(message.len()).unwrap()]);
            later.extend_from_slice(&message);
            assert_eq!(Revocation::decode(&later).unwrap().encode(), later);
        }
        // Field 11, the action, again.
        bytes.extend_from_slice(&[0x58, 3]);
        let unknown = Revocation::decode(&bytes).unwrap_err();
        assert!(matches!(unknown, Unreadable::Action(3)), "{unknown}");
        let without_action = Revocation::decode(&[]).unwrap_err();
        assert!(
            matches!(without_action, Unreadable::Action(0)),
            "{without_action}"
        );
    }
}
