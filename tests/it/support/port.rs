//! Ports for servers that must be told theirs before they run, and that keep it while they are
//! dead.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that the system hands out for port 0 and for outgoing connections, so that
/// neither takes one between its choice and its use, or while its server is dead.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// Test processes that run side by side begin at different places.
static NEXT: LazyLock<AtomicU32> =
    LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(331)));

/// A port of 127.0.0.1 that nobody listens on. No other test of this process is given the same.
pub(crate) fn reserved_port() -> u16 {
    let candidates = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
    let mut ports = candidates
        .take(COUNT as usize)
        .map(|turn| u16::try_from(FIRST + turn % COUNT).expect("a port below 30000"));
    let free = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.expect("a free port")
}
