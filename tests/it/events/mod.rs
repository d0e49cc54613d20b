//! Every event format through the real process and the real proxies: a token passes, its provider
//! sends an event, and the token is refused.

mod keycloak;
mod oidc_provider;

use portcullis::core::clock::Clock;
use serde_json::{Value, json};

use crate::support::{Call, Door, Idp, Mint, World};

const CLIENT: &str = "shop";
const STREAM: &str = "https://portcullis.example.com/events/shared-signals";

/// One format: what is configured, and the event that ends the session `session-of-USER` or all
/// tokens of a user.
struct Case {
    name: &'static str,
    options: Value,
    event: fn(&Idp, &str) -> Call,
    accepted: u16,
}

const CASES: fn() -> Vec<Case> = || {
    vec![
        Case {
            name: "oidc-backchannel-logout",
            options: json!({ "clients": [CLIENT] }),
            event: backchannel_logout,
            accepted: 200,
        },
        Case {
            name: "shared-signals",
            options: json!({ "audience": [STREAM] }),
            event: session_revoked,
            accepted: 202,
        },
        Case {
            name: "global-token-revocation",
            options: json!({ "audience": [STREAM] }),
            event: universal_logout,
            accepted: 204,
        },
    ]
};

fn path(format: &str) -> String {
    format!("/events/{format}")
}

fn session(user: &str) -> String {
    format!("session-of-{user}")
}

fn backchannel_logout(idp: &Idp, user: &str) -> Call {
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let token = Mint::new(idp.key(), &idp.issuer(), CLIENT, user)
        .header("typ", "logout+jwt")
        .claim("sid", session(user))
        .claim("events", json!({ event: {} }));
    let body = format!("logout_token={}", token.sign());
    let call = Call::post(&path("oidc-backchannel-logout"), body);
    call.header("content-type", "application/x-www-form-urlencoded")
}

fn session_revoked(idp: &Idp, user: &str) -> Call {
    let event = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let now = Clock::system().now().seconds();
    let token = Mint::new(idp.key(), &idp.issuer(), STREAM, user)
        .header("typ", "secevent+jwt")
        .without("sub")
        .without("exp")
        .claim(
            "sub_id",
            json!({
                "format": "complex",
                "user": { "format": "iss_sub", "iss": idp.issuer(), "sub": user },
                "session": { "format": "opaque", "id": session(user) },
            }),
        )
        .claim("events", json!({ event: { "event_timestamp": now } }));
    let call = Call::post(&path("shared-signals"), token.sign());
    call.header("content-type", "application/secevent+jwt")
}

fn universal_logout(idp: &Idp, user: &str) -> Call {
    let token = Mint::new(idp.key(), &idp.issuer(), STREAM, "app-1")
        .header("typ", "global-token-revocation+jwt");
    let subject = json!({ "format": "iss_sub", "iss": idp.issuer(), "sub": user });
    let call = Call::json(
        &path("global-token-revocation"),
        &json!({ "sub_id": subject }),
    );
    call.bearer(&token.sign())
}

async fn on_every_door(world: &World, token: &str, status: u16, what: &str) {
    for door in Door::ALL {
        let reply = world.orders(door, token).await;
        assert_eq!(reply.status, status, "{door:?}: {what}");
    }
}

#[tokio::test]
async fn an_event_of_any_format_ends_the_tokens_that_it_is_about_and_no_others() {
    let world = World::builder()
        .config(|config| {
            let issuer = config["issuers"][0]["issuer"].clone();
            let sources = config["events"].as_array_mut().unwrap();
            for case in CASES() {
                sources.push(json!({
                    "name": case.name,
                    "format": { case.name: case.options },
                    "issuer": issuer,
                }));
            }
        })
        .start()
        .await;
    let events = world.portcullis.door("events");
    for case in CASES() {
        let (user, other) = (format!("alice-{}", case.name), format!("bob-{}", case.name));
        let token = |user: &str| {
            let token = world.idp.token(user).claim("sid", session(user));
            token.sign()
        };
        let (lost, kept) = (token(&user), token(&other));
        on_every_door(&world, &lost, 200, case.name).await;
        // A stranger, with a key of its own under the same name.
        let stranger = Idp::start();
        let forged = (case.event)(&stranger, &user).send(events).await;
        assert!(matches!(forged.status, 400 | 401), "{}", case.name);
        on_every_door(&world, &lost, 200, case.name).await;
        let event = (case.event)(&world.idp, &user);
        for _delivery in 0..2 {
            let reply = event.clone().send(events).await;
            assert_eq!(
                reply.status,
                case.accepted,
                "{}: {}",
                case.name,
                reply.text()
            );
        }
        on_every_door(&world, &lost, 401, case.name).await;
        on_every_door(&world, &kept, 200, case.name).await;
        for (result, count) in [
            ("accepted", 1.0),
            ("duplicate", 1.0),
            ("unauthenticated", 1.0),
        ] {
            let name = case.name;
            let sample =
                format!("portcullis_events_total{{source=\"{name}\",result=\"{result}\"}}");
            let counted = world.portcullis.metric(&sample).await;
            assert_eq!(counted, Some(count), "{sample}");
        }
        world.portcullis.assert_never_logged(&lost);
    }
}
