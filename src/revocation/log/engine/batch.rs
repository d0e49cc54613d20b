//! Records as one message or entry of an engine.

use std::sync::Arc;

use prost::Message;

use crate::core::protobuf::Messages;
use crate::revocation::record::{Revocation, Unreadable};

#[expect(unreachable_pub, reason = "generated from proto/portcullis/v1")]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/portcullis.v1.batch.rs"));
}

/// The number of `Batch.revocations`.
const REVOCATIONS: u32 = 1;

pub(in crate::revocation::log) fn encode(records: &[Arc<Revocation>]) -> Vec<u8> {
    let revocations = records.iter().map(|record| record.encode()).collect();
    wire::Batch { revocations }.encode_to_vec()
}

/// Returns the records of a message. An empty message has none: a server may put such a marker
/// where a message expired.
pub(in crate::revocation::log) fn decode(bytes: &[u8]) -> Result<Vec<Arc<Revocation>>, Unreadable> {
    Messages::of(bytes, REVOCATIONS)
        .map(|record| Revocation::decode(record?).map(Arc::new))
        .collect()
}

#[cfg(test)]
pub(in crate::revocation::log) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::clock::UnixMillis;
    use crate::revocation::record::{Action, Target};

    pub(in crate::revocation::log) fn record(id: &str) -> Arc<Revocation> {
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
    fn what_is_no_batch_is_an_error_and_not_nothing() {
        assert!(decode(b"{}").is_err());
        assert!(decode(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
        let mut cut = encode(&[record("a")]);
        cut.pop();
        assert!(decode(&cut).is_err());
    }
}
