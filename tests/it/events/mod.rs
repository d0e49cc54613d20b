//! Every event format through the real process and the real proxies: a token passes, its provider
//! sends an event, and the token is refused.

mod client_certificate;
mod directory;
mod keycloak;
pub(crate) mod oidc_provider;
mod reconcile;
mod scim;
mod ssf_poll;
mod ssf_stream;
mod webhook_signers;

use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
    /// The proof beside the body, for those who know the issuer's address as a secret.
    auth: fn(&str) -> Value,
    event: fn(&Idp, &str) -> Call,
    accepted: u16,
}

const CASES: fn() -> Vec<Case> = || {
    vec![
        Case {
            name: "oidc-backchannel-logout",
            options: json!({ "clients": [CLIENT] }),
            auth: no_auth,
            event: backchannel_logout,
            accepted: 200,
        },
        Case {
            name: "shared-signals",
            options: json!({ "audience": [STREAM] }),
            auth: no_auth,
            event: session_revoked,
            accepted: 202,
        },
        Case {
            name: "global-token-revocation",
            options: json!({ "audience": [STREAM] }),
            auth: no_auth,
            event: universal_logout,
            accepted: 204,
        },
        Case {
            name: "mapped",
            options: json!({
                "type": "type",
                "rules": [{
                    "when": { "type": "session.ended" },
                    "target": { "sid": "session" },
                    "cut_off": "none",
                }],
            }),
            auth: |issuer| json!({ "standard_webhooks": { "secret": webhook_secret(issuer) } }),
            event: signed_webhook,
            accepted: 200,
        },
        Case {
            name: "keycloak",
            options: json!({ "clients": [CLIENT] }),
            auth: no_auth,
            event: adapter_action,
            accepted: 200,
        },
        Case {
            name: "okta",
            options: json!({ "claim": "sub" }),
            auth: header,
            event: event_hook,
            accepted: 200,
        },
        Case {
            name: "auth0",
            options: json!({}),
            auth: header,
            event: event_stream,
            accepted: 200,
        },
    ]
};

fn no_auth(_issuer: &str) -> Value {
    json!({})
}

fn header(issuer: &str) -> Value {
    json!({ "header": { "name": "Authorization", "value": issuer } })
}

fn webhook_secret(issuer: &str) -> String {
    format!("whsec_{}", STANDARD.encode(format!("{issuer:-<32}")))
}

/// The current time by RFC 3339.
fn timestamp() -> String {
    let now = UNIX_EPOCH + Duration::from_millis(Clock::system().now().0);
    humantime::format_rfc3339_millis(now).to_string()
}

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
    let call = Call::post(&path("shared-signals"), session_revoked_token(idp, user));
    call.header("content-type", "application/secevent+jwt")
}

fn session_revoked_token(idp: &Idp, user: &str) -> String {
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
    token.sign()
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

fn signed_webhook(idp: &Idp, user: &str) -> Call {
    let body = json!({ "type": "session.ended", "session": session(user) }).to_string();
    let (id, at) = ("msg_1", Clock::system().now().seconds());
    let secret = webhook_secret(&idp.issuer());
    let key = STANDARD.decode(&secret["whsec_".len()..]).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
    let call = Call::post(&path("mapped"), body).header("content-type", "application/json");
    let call = call
        .header("webhook-id", id)
        .header("webhook-timestamp", at.to_string());
    call.header("webhook-signature", format!("v1,{}", STANDARD.encode(tag)))
}

fn adapter_action(idp: &Idp, user: &str) -> Call {
    let expiration = Clock::system().now().seconds() + 30;
    let token = Mint::new(idp.key(), &idp.issuer(), CLIENT, user).header("typ", "JWT");
    let token = ["iss", "sub", "aud", "iat", "exp", "jti"]
        .into_iter()
        .fold(token, Mint::without)
        .claim("id", "action-1")
        .claim("expiration", expiration)
        .claim("resource", CLIENT)
        .claim("action", "LOGOUT")
        .claim("notBefore", 0)
        .claim("adapterSessionIds", json!(["http-session"]))
        .claim("keycloakSessionIds", json!([session(user)]));
    let call = Call::post(&path("keycloak/k_logout"), token.sign());
    call.header("content-type", "text/plain; charset=ISO-8859-1")
}

fn event_hook(idp: &Idp, user: &str) -> Call {
    let event = json!({
        "uuid": "1", "eventType": "user.lifecycle.suspend", "published": timestamp(),
        "outcome": { "result": "SUCCESS" }, "target": [{ "id": user, "type": "User" }],
    });
    let call = Call::json(
        &path("okta"),
        &json!({ "eventId": "1", "data": { "events": [event] } }),
    );
    call.header("authorization", idp.issuer())
}

fn event_stream(idp: &Idp, user: &str) -> Call {
    let event = json!({
        "id": "evt_1", "type": "user.deleted", "time": timestamp(),
        "data": { "object": { "user_id": user } },
    });
    let call = Call::json(&path("auth0"), &event);
    call.header("authorization", idp.issuer())
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
                    "auth": (case.auth)(issuer.as_str().unwrap()),
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
