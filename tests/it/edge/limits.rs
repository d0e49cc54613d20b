//! What is allowed passes on both doors, however large; what is larger is refused on both.

use crate::support::{Door, World};

/// A good token of about this many bytes.
fn large(world: &World, bytes: usize) -> String {
    // Base64 makes four letters of three bytes.
    let filler = "x".repeat(bytes * 3 / 4 - 400);
    world.idp.token("alice").claim("filler", filler).sign()
}

#[tokio::test]
async fn a_token_below_the_limit_passes_and_one_above_does_not() {
    let world = World::start().await;
    for door in Door::ALL {
        for kib in [4, 9, 15] {
            let reply = world.orders(door, &large(&world, kib << 10)).await;
            assert_eq!(reply.status, 200, "{door:?}, {kib} KiB: {}", reply.text());
        }
        let reply = world.orders(door, &large(&world, 18 << 10)).await;
        assert_eq!(reply.status, 431, "{door:?}: {}", reply.text());
    }
}

/// The longest identity that the upstream can be told.
#[tokio::test]
async fn long_names_pass() {
    let world = World::start().await;
    let long = "n".repeat(4000);
    let token = world.idp.token(&long).claim("client_id", long.as_str());
    let token = token.sign();
    for door in Door::ALL {
        let reply = world.orders(door, &token).await;
        assert_eq!(reply.status, 200, "{door:?}: {}", reply.text());
        let echo = reply.echo();
        assert_eq!(echo.all("x-portcullis-subject"), [&long], "{door:?}");
        assert_eq!(echo.all("x-portcullis-client"), [&long], "{door:?}");
    }
}
