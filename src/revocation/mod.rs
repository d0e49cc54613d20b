//! Revocations: the record, the durable log, the follower that tails it and the index that the
//! request path reads.

pub mod index;
pub mod log;
pub mod reader;
pub mod record;

pub use index::Index;
pub use reader::{Clear, Reader, Standing};
pub use record::{Action, Draft, Revocation, Target, Terms};
