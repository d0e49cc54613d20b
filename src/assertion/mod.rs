//! What Portcullis itself asserts to upstreams: a short-lived JWT about the bearer of a verified token, signed
//! with a key of its own (RFC 7515, RFC 7519), and the key set that verifies it (RFC 7517).

mod config;
mod key;
mod keys;
mod sign;

pub(crate) use config::Config;
pub use keys::Keys;
pub use sign::{Assertions, Signed};
