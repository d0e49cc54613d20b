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
        turn: None,
        note: None,
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
fn bytes_that_are_no_batch_are_an_error() {
    assert!(decode(b"{}").is_err());
    assert!(decode(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
    let mut cut = encode(&[record("a")]);
    cut.pop();
    assert!(decode(&cut).is_err());
}
