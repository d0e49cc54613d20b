//! The pure parts that everything else is made of: no network, no async runtime.

pub(crate) mod client_ip;
pub mod clock;
pub(crate) mod config_error;
pub(crate) mod hex;
pub mod horizon;
pub(crate) mod issuer;
pub mod kv;
pub mod lifetime;
pub(crate) mod metrics;
pub mod network;
pub(crate) mod outline;
pub(crate) mod protobuf;
pub mod readiness;
pub(crate) mod reason;
pub mod request;
pub mod route;
pub mod secret;
pub(crate) mod shorthand;
pub(crate) mod stamp;
pub(crate) mod thread_priority;
pub mod token;
pub mod trace;
pub mod units;
pub(crate) mod version;
pub(crate) mod when_stale;
