//! How many connections a proxy needs to ask Portcullis. A refusal must not cost one: a flood of bad
//! tokens would exhaust the proxy's ports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Call, Nginx, Proxy, Running, World};

/// Hands connections on and counts them.
async fn counting(to: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                drop(copy_bidirectional(&mut near, &mut far).await);
            });
        }
    });
    (address, accepted)
}

#[tokio::test]
async fn nginx_keeps_its_connection_through_refusals() {
    let world = World::start().await;
    let (door, accepted) = counting(world.portcullis.forward_auth()).await;
    let home = tempfile::TempDir::new().unwrap();
    let nginx = Nginx::start(home.path(), door, world.backend.0.address).await;
    refusals_cost_no_connection(&world, nginx.edge, &accepted).await;
}

#[tokio::test]
async fn traefik_keeps_its_connection_through_refusals() {
    keeps_its_connection(Proxy::Traefik).await;
}

#[tokio::test]
async fn caddy_keeps_its_connection_through_refusals() {
    keeps_its_connection(Proxy::Caddy).await;
}

#[tokio::test]
async fn haproxy_keeps_its_connection_through_refusals() {
    keeps_its_connection(Proxy::Haproxy).await;
}

/// The proxy gets the configuration that is printed for it, and asks through the counter.
async fn keeps_its_connection(proxy: Proxy) {
    let world = World::start().await;
    let (door, accepted) = counting(world.portcullis.forward_auth()).await;
    let home = tempfile::TempDir::new().unwrap();
    let pinned = std::fs::read_to_string(world.portcullis.pinned()).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&pinned).unwrap();
    config["listen"]["forward_auth"] = door.to_string().into();
    let file = home.path().join("portcullis.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    let running = Running::start(proxy, home.path(), &file, world.backend.0.address).await;
    refusals_cost_no_connection(&world, running.edge, &accepted).await;
}

async fn refusals_cost_no_connection(world: &World, edge: SocketAddr, accepted: &AtomicUsize) {
    let good = world.idp.token("alice").sign();
    let orders = || Call::get("/orders");
    let spoofed = orders().header("x-portcullis-subject", "root");
    for (what, call, statuses) in [
        ("good", orders().bearer(&good), [200, 200]),
        ("bad", orders().bearer("bad"), [401, 401]),
        ("none", orders(), [401, 401]),
        // Caddy removes the header before it asks.
        ("spoofed", spoofed, [400, 401]),
    ] {
        let before = accepted.load(Ordering::Relaxed);
        for _ in 0..100 {
            let status = call.send(edge).await.status;
            assert!(statuses.contains(&status), "{what}: {status}");
        }
        // One after the other, they need one at a time.
        let more = accepted.load(Ordering::Relaxed) - before;
        assert!(more <= 5, "{what}: {more} connections for 100 requests");
    }
}
