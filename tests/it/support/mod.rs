//! The harness: everything around Portcullis, started for one test and gone with it.
//!
//! ```ignore
//! let world = World::start().await;
//! let token = world.idp.token("alice").sign();
//! let reply = world.send(Door::Envoy, Call::get("/orders").bearer(&token)).await;
//! assert_eq!(reply.status, 200);
//! ```
//!
//! Nothing here sleeps for a fixed time: [`until`] waits for a condition, with a bound.

#![allow(
    dead_code,
    unused_imports,
    reason = "a harness offers more than the tests of any one day use"
)]

mod backend;
mod certificates;
mod envoy;
mod http;
mod idp;
pub(crate) mod keys;
mod mint;
pub(crate) mod nats;
mod nginx;
mod port;
mod portcullis;
mod process;
mod proxy;
pub(crate) mod redis;
mod serve;
mod tools;
mod wait;
mod world;

pub(crate) use backend::{Backend, Echo};
pub(crate) use certificates::Authority;
pub(crate) use envoy::Envoy;
pub(crate) use http::{Call, Reply};
pub(crate) use idp::{Behaviour, Idp};
pub(crate) use keys::{Kind, SigningKey};
pub(crate) use mint::{Mint, tampered};
pub(crate) use nginx::Nginx;
pub(crate) use port::reserved_port;
pub(crate) use portcullis::{HOOK_PASSWORD, HOOK_USER, Portcullis, fusionauth_event};
pub(crate) use process::Process;
pub(crate) use proxy::{Proxy, Running, proxy_config};
pub(crate) use serve::{Hosted, Served};
pub(crate) use tools::tool;
pub(crate) use wait::{PATIENCE, try_until, until};
pub(crate) use world::{Door, World, WorldBuilder};
