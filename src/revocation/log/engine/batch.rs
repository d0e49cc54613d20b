//! Records as one message or entry of an engine.

use std::sync::Arc;

use prost::Message;

use crate::revocation::record::{Revocation, Unreadable};

#[cfg(test)]
pub(in crate::revocation::log) mod tests;

#[expect(unreachable_pub, reason = "generated from proto/portcullis/v1")]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/portcullis.v1.batch.rs"));
}

pub(in crate::revocation::log) fn encode(records: &[Arc<Revocation>]) -> Vec<u8> {
    let revocations = records.iter().map(|record| record.encode()).collect();
    wire::Batch { revocations }.encode_to_vec()
}

/// Returns the records of a message. An empty message has none: a server may put such a marker
/// where a message expired.
pub(in crate::revocation::log) fn decode(bytes: &[u8]) -> Result<Vec<Arc<Revocation>>, Unreadable> {
    let batch = wire::Batch::decode(bytes)?;
    let records = batch.revocations.iter();
    records
        .map(|record| Revocation::decode(record).map(Arc::new))
        .collect()
}
