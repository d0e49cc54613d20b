//! One event, one message, or several if it is long: how records lie in the stream, and where in it they are.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use prost::Message;

use crate::core::clock::UnixMillis;
use crate::core::protobuf::Messages;
use crate::revocation::record::{Revocation, Unreadable};

#[expect(unreachable_pub, reason = "generated from proto/portcullis/v1")]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/portcullis.v1.batch.rs"));
}

use wire::Batch;

/// The number of `Batch.revocations`.
const REVOCATIONS: u32 = 1;

/// A record that stands in the batch twice is written once.
pub(super) fn encode(records: &[Arc<Revocation>]) -> Vec<u8> {
    let mut seen = HashSet::new();
    let encoded = records.iter().map(|record| record.encode());
    let revocations = encoded
        .filter(|record| seen.insert(record.clone()))
        .collect();
    Batch { revocations }.encode_to_vec()
}

/// The records as messages of at most `most` bytes, each with the records in it. Only a record that
/// is too long on its own makes a longer one. The same records are always cut in the same places,
/// so that the stream knows the messages again.
pub(super) fn messages(
    records: &[Arc<Revocation>],
    most: usize,
) -> Vec<(Bytes, &[Arc<Revocation>])> {
    let payload = encode(records);
    if payload.len() <= most || records.len() < 2 {
        return vec![(payload.into(), records)];
    }
    let (first, second) = records.split_at(records.len() / 2);
    [messages(first, most), messages(second, most)].concat()
}

/// The records of a message. An empty message holds none: such are the markers that a server
/// may put where a message expired.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Arc<Revocation>>, Unreadable> {
    Messages::of(bytes, REVOCATIONS)
        .map(|record| Revocation::decode(record?).map(Arc::new))
        .collect()
}

/// The message's name for the duplicate check. It is made of all the bytes and not of the event's
/// id alone: two events that share an id by mistake are both kept.
pub(super) fn name(payload: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, payload);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// How long the server keeps the message: whole seconds, rounded up, at least one; longer than
/// anybody can wait is `never`.
pub(super) fn time_to_live(until: UnixMillis, now: UnixMillis, longer: Duration) -> String {
    const CENTURY: u64 = 100 * 365 * 24 * 3600;
    let left = until.since(now).saturating_add(longer);
    let seconds = left.as_millis().div_ceil(1000).max(1);
    match u64::try_from(seconds) {
        Ok(seconds) if seconds <= CENTURY => seconds.to_string(),
        _ => "never".to_owned(),
    }
}

/// A place in the stream: behind a message, known by its sequence number and a mark of what it
/// says. The mark shows a stream that was put back to an older state (a restored backup, a lost
/// tail) and has grown past the place again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: u64,
    pub(super) mark: u64,
}

/// The message at this place was not seen: there is none, or it was over before it was delivered.
const UNSEEN: u64 = u64::MAX;

impl Place {
    pub(super) const START: Self = Self {
        sequence: 0,
        mark: UNSEEN,
    };

    pub(super) fn behind(sequence: u64, payload: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, payload);
        let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
        let mark = u64::from_be_bytes(first);
        Self { sequence, mark }
    }

    pub(super) fn unseen(sequence: u64) -> Self {
        Self {
            sequence,
            mark: UNSEEN,
        }
    }

    /// Whether the message that was read at this place had this payload.
    pub(super) fn confirms(&self, payload: &[u8]) -> bool {
        self.mark != UNSEEN && Self::behind(self.sequence, payload).mark == self.mark
    }

    /// As the position of a cursor: the sequence number leads, so positions rise with it.
    pub(super) fn position(self) -> u128 {
        (u128::from(self.sequence) << 64) | u128::from(self.mark)
    }

    pub(super) fn of_position(position: u128) -> Self {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        Self {
            sequence: half(position >> 64),
            mark: half(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::revocation::record::{Action, Target};

    fn record(id: &str) -> Arc<Revocation> {
        Arc::new(Revocation {
            id: id.to_owned(),
            target: Target {
                issuer: "https://id.example.com".to_owned(),
                matches: BTreeMap::from([("sub".to_owned(), "joe".to_owned())]),
            },
            action: Action::Revoke,
            issued_at_or_before: Some(UnixMillis(1000)),
            expires_at_or_before: None,
            occurred_at: UnixMillis(1000),
            forget_after: UnixMillis(9000),
            source: "test".to_owned(),
            cause: "user.deactivate".to_owned(),
            received_at: UnixMillis(1001),
            bounds: None,
            original: None,
        })
    }

    #[test]
    fn a_batch_reads_back_as_written() {
        let records = vec![record("a"), record("b")];
        assert_eq!(decode(&encode(&records)).unwrap(), records);
        assert!(decode(b"").unwrap().is_empty());
    }

    #[test]
    fn a_record_that_is_there_twice_is_written_once() {
        let read = decode(&encode(&[record("a"), record("b"), record("a")]));
        assert_eq!(read.unwrap(), [record("a"), record("b")]);
    }

    #[test]
    fn what_is_too_long_is_cut_in_order_and_always_in_the_same_places() {
        let records: Vec<_> = (0..100).map(|n| record(&n.to_string())).collect();
        assert_eq!(messages(&records, usize::MAX).len(), 1);
        let cut = messages(&records, 1000);
        assert!(cut.len() > 10);
        assert!(cut.iter().all(|(payload, _)| payload.len() <= 1000));
        let read = cut.iter().map(|(payload, _)| decode(payload).unwrap());
        assert_eq!(read.collect::<Vec<_>>().concat(), records);
        assert_eq!(messages(&records, 1000), cut);
        assert_eq!(
            messages(&records[..1], 10).len(),
            1,
            "that is for the server to refuse"
        );
    }

    #[test]
    fn what_is_no_batch_is_an_error_and_not_nothing() {
        assert!(decode(b"{}").is_err());
        let mut cut = encode(&[record("a")]);
        cut.pop();
        assert!(decode(&cut).is_err());
    }

    #[test]
    fn time_to_live_is_never_too_short() {
        let ttl = |until: u64, now: u64, longer: u64| {
            let longer = Duration::from_millis(longer);
            time_to_live(UnixMillis(until), UnixMillis(now), longer)
        };
        assert_eq!(ttl(2000, 1000, 0), "1");
        assert_eq!(ttl(2001, 1000, 0), "2");
        assert_eq!(ttl(2001, 1000, 999), "2");
        assert_eq!(ttl(2001, 1000, 1000), "3");
        assert_eq!(ttl(0, 1000, 0), "1");
        assert_eq!(ttl(u64::MAX, 0, 0), "never");
        assert_eq!(ttl(u64::MAX, 0, u64::MAX), "never");
    }

    #[test]
    fn places_rise_with_their_sequence_and_survive_as_positions() {
        let first = Place::behind(1, b"x");
        let second = Place::behind(2, b"y");
        assert!(Place::START.position() < first.position());
        assert!(Place::unseen(1).position() < second.position());
        assert_eq!(Place::of_position(second.position()), second);
        assert_eq!(Place::of_position(Place::START.position()), Place::START);
    }

    #[test]
    fn only_the_message_that_was_read_confirms_a_place() {
        assert!(Place::behind(7, b"x").confirms(b"x"));
        assert!(!Place::behind(7, b"x").confirms(b"y"));
        assert!(
            !Place::unseen(7).confirms(b"y"),
            "what was there is not known"
        );
    }
}
