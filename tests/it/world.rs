//! The whole world once: every door says the same, before a revocation, after it, and after a
//! crash.

use crate::support::{Call, Door, World, tampered};

#[tokio::test]
async fn a_locked_user_stays_locked_on_every_door_through_a_crash() {
    let mut world = World::start().await;
    let (alice, bob) = (
        world.idp.token("alice").sign(),
        world.idp.token("bob").sign(),
    );
    for door in Door::ALL {
        let mut call = Call::get("/orders").bearer(&alice);
        // Envoy removes what a client says about itself. Over HTTP it is refused.
        if door == Door::Envoy {
            call = call.header("x-portcullis-subject", "root");
        }
        let reply = world.send(door, call).await;
        assert_eq!(reply.status, 200, "{door:?}: {}", reply.text());
        assert_eq!(
            reply.echo().all("x-portcullis-subject"),
            ["alice"],
            "{door:?}"
        );
        assert_eq!(
            world.orders(door, &tampered(&alice)).await.status,
            401,
            "{door:?}"
        );
        assert_eq!(
            world.send(door, Call::get("/orders")).await.status,
            401,
            "{door:?}"
        );
    }

    world.deactivate("alice").await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &alice).await.status, 401, "{door:?}");
        assert_eq!(world.orders(door, &bob).await.status, 200, "{door:?}");
    }

    world.portcullis.kill_9();
    for door in Door::ALL {
        assert_eq!(world.orders(door, &bob).await.status, 503, "{door:?}");
    }
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &alice).await.status, 401, "{door:?}");
        assert_eq!(world.orders(door, &bob).await.status, 200, "{door:?}");
    }

    for secret in [&alice, &bob] {
        world.portcullis.assert_never_logged(secret);
    }
    assert!(world.portcullis.terminate().await.success());
}
