//! How many connections a proxy needs to ask Portcullis. A refusal must not cost one: a flood of bad
//! tokens would exhaust the proxy's ports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Call, Nginx, World};

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
    let good = world.idp.token("alice").sign();
    let orders = || Call::get("/orders");
    for (what, call, status) in [
        ("good", orders().bearer(&good), 200),
        ("bad", orders().bearer("bad"), 401),
        ("none", orders(), 401),
        (
            "spoofed",
            orders().header("x-portcullis-subject", "root"),
            400,
        ),
    ] {
        let before = accepted.load(Ordering::Relaxed);
        for _ in 0..100 {
            assert_eq!(call.send(nginx.edge).await.status, status, "{what}");
        }
        // One after the other, they need one at a time.
        let more = accepted.load(Ordering::Relaxed) - before;
        assert!(more <= 5, "{what}: {more} connections for 100 requests");
    }
}
