//! The OAuth endpoints for applications: token revocation (RFC 7009) and introspection (RFC 7662).

mod api;
mod assertion;
mod clients;
mod config;
mod endpoints;
mod form;
mod refused;
mod routes;

pub use api::{Api, Current};
pub use assertion::Used;
pub use clients::Clients;
pub use config::{Config, SOURCE};
