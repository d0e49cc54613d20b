//! A multi-tenant provider: one entry of `issuers:`, and an issuer for each tenant.

use serde_json::{Value, json};

use super::{denials, logged, nothing_broke};
use crate::support::{Door, World};

/// A world whose provider serves many tenants, and whose events are about `acme`.
async fn start(tenants: Value) -> World {
    let builder = World::builder().config(|config| {
        let provider = config["issuers"][0]["issuer"].as_str().unwrap().to_owned();
        config["issuers"][0]["issuer"] = json!(format!("{provider}/{{tenant}}/v2.0"));
        config["issuers"][0]["tenants"] = tenants;
        config["events"][0]["issuer"] = json!(format!("{provider}/acme/v2.0"));
    });
    builder.start().await
}

fn token(world: &World, tenant: &str, subject: &str) -> String {
    let issuer = format!("{}/{tenant}/v2.0", world.idp.issuer());
    world.idp.token(subject).claim("iss", issuer).sign()
}

async fn status(world: &World, door: Door, tenant: &str, subject: &str) -> u16 {
    let token = token(world, tenant, subject);
    world.orders(door, &token).await.status
}

#[tokio::test]
async fn listed_tenants_pass_and_a_revocation_stays_within_its_tenant() {
    let world = start(json!(["acme", "globex"])).await;
    let before = denials(&world, "unknown_issuer").await;
    for door in Door::ALL {
        assert_eq!(status(&world, door, "acme", "alice").await, 200);
        assert_eq!(status(&world, door, "globex", "alice").await, 200);
        for other in ["initech", "ACME", "acme/..", ".", ""] {
            assert_eq!(status(&world, door, other, "alice").await, 401, "{other}");
        }
    }
    let refused = denials(&world, "unknown_issuer").await - before;
    assert!((refused - 10.0).abs() < 0.5, "{refused}");
    let (of_acme, of_globex) = (
        token(&world, "acme", "alice"),
        token(&world, "globex", "alice"),
    );
    world.deactivate("alice").await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &of_acme).await.status, 401);
        assert_eq!(world.orders(door, &of_globex).await.status, 200);
        assert_eq!(status(&world, door, "acme", "bob").await, 200);
    }
    nothing_broke(&world).await;
}

#[tokio::test]
async fn any_tenant_passes_through_a_restart_and_strangers_leave_no_trace() {
    let mut world = start(json!("any")).await;
    assert_eq!(
        status(&world, Door::Envoy, "never-seen", "alice").await,
        200
    );
    assert_eq!(status(&world, Door::Envoy, "acme", "alice").await, 200);
    let (of_acme, of_other) = (
        token(&world, "acme", "alice"),
        token(&world, "other", "alice"),
    );
    world.deactivate("alice").await;
    world.portcullis.kill_9();
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &of_acme).await.status, 401);
        assert_eq!(world.orders(door, &of_other).await.status, 200);
        for hostile in ["..", "%2e%2e", "a/b", "x?", "{tenant}"] {
            assert_eq!(
                status(&world, door, hostile, "alice").await,
                401,
                "{hostile}"
            );
        }
    }
    let metrics = world.portcullis.metrics().await;
    assert!(!metrics.contains("never-seen") && !metrics.contains("other/v2.0"));
    assert!(metrics.contains("/{tenant}/v2.0\""), "{metrics}");
    nothing_broke(&world).await;
}

/// The provider has a key that signs for one tenant only.
#[tokio::test]
async fn a_key_of_one_tenant_opens_no_other() {
    let world = start(json!(["acme", "globex"])).await;
    let own = world.idp.key();
    world.idp.withdraw(&own.kid);
    let mut jwk = own.jwk();
    jwk["kid"] = json!("of-acme");
    jwk["issuer"] = json!(format!("{}/acme/v2.0", world.idp.issuer()));
    world.idp.publish(jwk);
    let signed = |tenant: &str| {
        let issuer = format!("{}/{tenant}/v2.0", world.idp.issuer());
        let mint = world.idp.token("alice").claim("iss", issuer);
        mint.header("kid", "of-acme").sign()
    };
    assert_eq!(world.orders(Door::Envoy, &signed("acme")).await.status, 200);
    let path = "/of-globex";
    let call = crate::support::Call::get(path).bearer(&signed("globex"));
    let reply = world.send(Door::Envoy, call).await;
    assert_eq!(reply.status, 401);
    assert_eq!(logged(&world, path).await["reason"], "unknown_key");
}
