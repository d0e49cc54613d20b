//! Events: what identity providers tell about users, sessions and tokens that are no longer good.
//!
//! A delivery comes in as raw bytes ([`Delivery<Unverified>`]); once every configured proof of the
//! sender holds it is a [`Delivery<Verified>`], and only then its body can be read. Its format maps
//! it to an [`Outcome`]; the records in it are made durable; then the sender gets its 200.
//!
//! A new format is one file with its `Config`, its signature check and its mapping, one line in
//! the enum [`Format`], and the arms that the compiler then asks for.

mod answer;
mod credentials;
mod delivery;
mod format;
pub mod fusionauth;
mod json;
mod keys;
mod later;
mod metrics;
mod outcome;
mod receiver;
mod serve;
mod signature;
mod source;
#[cfg(test)]
mod tests;

pub use credentials::{BasicConfig, Config as CredentialsConfig, HeaderConfig};
pub use delivery::{Delivery, Unproven, Unverified, Verified};
pub use format::{Format, Origin};
pub use keys::{Keys, Record, SignatureError};
pub use later::Later;
pub use metrics::Metrics;
pub use outcome::{Effect, Outcome, Rejection};
pub use receiver::Receiver;
pub use serve::{Current, router, serve};
pub use signature::Config as SignatureConfig;
pub use source::{ListenerConfig, Source, SourceConfig, check};
