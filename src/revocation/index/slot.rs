//! A slot: one entry of the index, in forty bytes.

use crate::core::clock::UnixMillis;
use crate::verify::claims::Claims;

use super::super::record::{Action, Revocation};

/// The cut-off of a revocation of every token.
const EVERY_TOKEN: u32 = u32::MAX;

/// Marks a slot that holds a lift.
const LIFT: u16 = 1 << 15;

/// Marks a slot that refuses nothing.
const SHADOW: u16 = 1 << 14;

/// The number that all sources and causes share once the others are taken. Their revocations cannot be
/// lifted, because a lift could not tell them apart.
pub(super) const NAMELESS_CAUSE: u16 = SHADOW - 1;

/// A keyed hash of issuer, claim names and values.
pub(super) type Key = [u64; 2];

/// Seconds fit into 32 bits until 2106. Later ones saturate, and then more tokens are revoked for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) key: Key,
    /// Milliseconds since the epoch.
    occurred_at: u64,
    /// Revokes tokens issued in this second or before; [`EVERY_TOKEN`] if there is no cut-off.
    issued_by: u32,
    /// Revokes tokens without `iat` that expire **before** this second; 0 if `issued_by` decides.
    expires_before: u32,
    /// The last second in which a matching token can be valid.
    forget_after: u32,
    /// See [`super::Causes`].
    cause: u16,
    pub(super) shape: u16,
}

const _: () = assert!(
    size_of::<Slot>() == 40,
    "the memory budget counts on this size"
);

impl Slot {
    pub(super) fn new(
        key: Key,
        shape: u16,
        cause: u16,
        record: &Revocation,
        forget_after: UnixMillis,
    ) -> Self {
        let lift = match record.action {
            Action::Revoke => 0,
            Action::Lift => LIFT,
        };
        let shadow = if record.is_in_shadow() { SHADOW } else { 0 };
        let expires_by = record.expires_at_or_before;
        Self {
            key,
            occurred_at: record.occurred_at.0,
            issued_by: record.issued_at_or_before.map_or(EVERY_TOKEN, seconds),
            expires_before: expires_by.map_or(0, |at| seconds(at).saturating_add(1)),
            forget_after: seconds_up(forget_after),
            cause: cause | lift | shadow,
            shape,
        }
    }

    pub(super) const fn is_lift(&self) -> bool {
        self.cause & LIFT != 0
    }

    pub(super) const fn is_in_shadow(&self) -> bool {
        self.cause & SHADOW != 0
    }

    pub(super) const fn refuses(&self) -> bool {
        self.cause & (LIFT | SHADOW) == 0
    }

    pub(super) const fn cause_number(&self) -> u16 {
        self.cause & !(LIFT | SHADOW)
    }

    pub(super) const fn occurred_at(&self) -> UnixMillis {
        UnixMillis(self.occurred_at)
    }

    /// Returns whether both are of the same source, target and cause.
    pub(super) fn is_about(&self, other: &Self) -> bool {
        self.key == other.key && (self.cause ^ other.cause) & !LIFT == 0
    }

    /// Returns whether this lift takes `revoked` back.
    pub(super) fn lifts(&self, revoked: &Self) -> bool {
        self.is_lift()
            && !revoked.is_lift()
            && self.is_about(revoked)
            && self.occurred_at >= revoked.occurred_at
    }

    /// Returns whether this slot replaces `other`, if it is remembered for as long.
    pub(super) fn stands_for(&self, other: &Self) -> bool {
        if self.is_lift() != other.is_lift() || !self.is_about(other) {
            return false;
        }
        // A cut-off by `iat` and one by `exp` differ for a token without `iat`.
        let same_measure = (self.expires_before == 0) == (other.expires_before == 0);
        let covers = self.issued_by == EVERY_TOKEN
            || (same_measure
                && self.issued_by >= other.issued_by
                && self.expires_before >= other.expires_before);
        self.occurred_at >= other.occurred_at && (self.is_lift() || covers)
    }

    /// Remembers this slot for at least as long as `other`.
    pub(super) fn remember_like(&mut self, other: &Self) {
        self.forget_after = self.forget_after.max(other.forget_after);
    }

    /// Remembers this slot for so many seconds more.
    pub(super) fn remember_longer(&mut self, seconds: u32) {
        self.forget_after = self.forget_after.saturating_add(seconds);
    }

    /// Returns whether this revokes `token`, which is one of its target.
    pub(super) fn covers(&self, token: &Claims) -> bool {
        if self.is_lift() {
            return false;
        }
        match (self.issued_by, self.expires_before) {
            (EVERY_TOKEN, _) => true,
            (_, u32::MAX) if token.issued_at.is_none() => true,
            (_, before @ 1..) if token.issued_at.is_none() => token.expires_at < before.into(),
            (issued_by, _) => token.counts_as_issued_at <= issued_by.into(),
        }
    }

    /// Returns whether no matching token can be valid any more in second `now`.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.forget_after != u32::MAX && u64::from(self.forget_after) < now
    }

    pub(super) fn forget_after(&self) -> UnixMillis {
        UnixMillis::from_seconds(self.forget_after.into())
    }
}

fn seconds(at: UnixMillis) -> u32 {
    u32::try_from(at.seconds()).unwrap_or(u32::MAX)
}

fn seconds_up(at: UnixMillis) -> u32 {
    u32::try_from(at.0.div_ceil(1000)).unwrap_or(u32::MAX)
}
