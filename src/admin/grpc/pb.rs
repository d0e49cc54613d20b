//! The messages and the service, generated from `proto/portcullis/admin/v1`.

#![expect(
    clippy::pedantic,
    unreachable_pub,
    reason = "generated from proto/portcullis/admin/v1"
)]

include!(concat!(env!("OUT_DIR"), "/portcullis.admin.v1.rs"));

/// What reflection tells of them.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin.bin"));
