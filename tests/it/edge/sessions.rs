//! Sessions that last too long are refused on every door.

use portcullis::core::clock::Clock;
use serde_json::json;

use crate::support::{Door, World};

#[tokio::test]
async fn a_session_that_lasted_too_long_has_to_log_in_again_on_every_door() {
    let world = World::builder().config(|config| {
        config["issuers"][0]["session"] = json!({ "max_age": "1h", "idle_timeout": "30m" });
    });
    let world = world.start().await;
    let now = Clock::system().now().seconds();
    let token = |claims: &[(&str, u64)]| {
        let token = world.idp.token("alice");
        let with =
            |token: crate::support::Mint, (name, value): &(&str, u64)| token.claim(name, *value);
        claims.iter().fold(token, with).sign()
    };
    for door in Door::ALL {
        for (claims, status) in [
            (&[("auth_time", now - 600), ("sid", 1)][..], 200),
            (&[("auth_time", now - 600)], 200),
            (&[("auth_time", now - 3700), ("sid", 1)], 401),
            (&[("auth_time", now - 3700)], 401),
            (&[("sid", 1)], 401),
            // A service's own: nobody logged in.
            (&[], 200),
        ] {
            let reply = world.orders(door, &token(claims)).await;
            assert_eq!(reply.status, status, "{door:?} {claims:?}");
            if status == 401 {
                assert_eq!(
                    reply.header("www-authenticate"),
                    Some(
                        "Bearer realm=\"portcullis\", error=\"insufficient_user_authentication\", \
                         max_age=\"3600\""
                    ),
                    "{door:?}"
                );
            }
        }
    }
    let line = world.portcullis.logs("session.max_age").await;
    assert!(line.contains("auth_time: "), "{line}");
}
