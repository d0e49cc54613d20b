//! Portcullis: one enforcement point for JWTs at the edge.
//!
//! A proxy asks about every request. Portcullis finds the token, verifies it, looks it up in an
//! in-memory set of revocations and answers. Identity providers fill that set through webhooks,
//! so a token that was handed out stops working the moment its user is locked.
//!
//! # Life of a request
//! [`doors`] turns the wire message into a [`core::request::Request`] → [`core::token`] finds the token →
//! [`verify`] checks it → [`revocation::Index`] looks it up → [`gate`] decides → [`doors`] writes
//! the decision back. [`gate`] tells the whole story in one short function.
//!
//! # Life of an event
//! [`events`] authenticates the bytes and maps them to [`revocation::Revocation`] records →
//! [`revocation::log`] makes them durable → [`revocation::follow`] tails the log and is the only
//! writer of the index → the sender gets its 2xx.
//!
//! Dependencies point inward only; `tests/it/architecture.rs` fails on a `use` that does not.

// Level 0: pure. No async runtime, no network.
pub mod core;

// Level 1: state, and what every level above needs to run. `verify` and `revocation` do not know
// each other, but for the pure `verify::claims`.
pub mod assertion;
pub(crate) mod audit;
pub mod net;
pub mod revocation;
pub mod verify;

// Level 2: paths.
pub mod events;
pub mod gate;
pub mod policy;

// Level 3: edges.
mod admin;
pub mod doors;
mod oauth;
mod telemetry;

// Level 4: wiring.
mod app;
mod cli;
pub mod config;

pub use cli::Cli;
