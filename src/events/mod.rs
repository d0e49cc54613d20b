//! Events: what identity providers say about users, sessions and tokens that are no longer good.
//!
//! [`auth`] admits the sender by the headers. A [`Delivery<Unverified>`] holds the raw bytes; once
//! every configured proof holds it is a [`Delivery<Verified>`], and only then its body can be read.
//! The format of the source maps it to an [`Outcome`]; the receiver makes the records in it durable;
//! then the sender gets its answer.
//!
//! A format is a folder in [`formats`] with its options, the members that it reads and its mapping,
//! and one line in the table of [`formats`]. It returns what it needs as data ([`dialect`]).

mod answer;
mod auth;
mod body;
mod delivery;
mod dialect;
mod directory;
pub mod formats;
mod keys;
mod later;
mod metrics;
mod noted;
mod notes;
mod outcome;
mod payload;
mod provision;
pub(crate) mod pull;
mod rate;
mod receiver;
mod renewal;
mod replay;
mod resources;
mod serve;
mod shared;
mod source;
mod subject;
#[cfg(test)]
mod tests;
mod trial;

pub use auth::{
    BasicConfig, BodySecretConfig, ClientCertificateConfig, Config as CredentialsConfig,
    HeaderConfig, HmacConfig, JwtConfig, SignatureConfig, StandardWebhooksConfig,
};
pub use delivery::{Delivery, Unverified, Verified};
pub use dialect::Origin;
pub use directory::{Config as DirectoryConfig, Unknown};
pub use formats::Format;
pub use keys::{Keys, Record, SignatureError};
pub use later::Later;
pub use metrics::Metrics;
pub use notes::Notes;
pub use outcome::{Effect, Outcome, Rejection};
pub use receiver::Receiver;
pub use renewal::renew;
pub use serve::{Current, serve};
pub use shared::Shared;
pub use source::{ListenerConfig, Source, SourceConfig, check};
pub use trial::try_event;
