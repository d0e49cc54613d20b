//! The pure parts that everything else is made of: no network, no async runtime.

pub mod clock;
pub mod config_error;
pub mod horizon;
pub mod issuer;
pub mod kv;
pub mod lifetime;
pub mod protobuf;
pub mod readiness;
pub mod reason;
pub mod request;
pub mod secret;
pub mod shorthand;
pub mod stamp;
pub mod thread_priority;
pub mod token;
pub mod units;
