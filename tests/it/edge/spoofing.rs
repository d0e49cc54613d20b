//! A client cannot say who it is: not with a good token, not without one.

use serde_json::json;

use super::denials;
use crate::support::{Call, Door, Reply, World};

const IDENTITY: [&str; 3] = [
    "x-portcullis-subject",
    "x-portcullis-issuer",
    "x-portcullis-client",
];

/// What may stand in a header's name besides letters, digits and dashes (RFC 9110 §5.6.2). CGI makes
/// one separator of all of them.
const SEPARATORS: &str = "!#$%&'*+.^_`|~";

/// Every header that may carry who the client is, spelt in every way that an upstream might read
/// as that name, some of them twice.
fn spoofed(mut call: Call) -> Call {
    for name in IDENTITY {
        let camel = name.replace("x-p", "X-P").replace("-s", "-S");
        for spelling in [
            name.to_owned(),
            name.to_owned(),
            name.to_uppercase(),
            camel,
            name.replace('-', "_"),
            name.to_uppercase().replace('-', "_"),
            name.replacen('-', "_", 1),
            name.replace("s-", "s_"),
        ] {
            call = call.header(&spelling, "root");
        }
        for separator in SEPARATORS.chars() {
            call = call.header(&name.replace('-', &separator.to_string()), "root");
        }
        call = call.header(&name.replacen('-', ".", 1), "root");
        call = call.header(name, "").header(name, "root, root");
    }
    call
}

/// A world whose proxies have to clean requests by themselves: over HTTP, nothing is refused.
async fn lenient() -> World {
    let builder = World::builder();
    let builder = builder.config(|config| config["answer"] = json!({ "refuse_spoofed": false }));
    builder.start().await
}

fn assert_identity(reply: &Reply, what: &str, expected: [&[&str]; 3]) {
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    let echo = reply.echo();
    for (name, values) in IDENTITY.into_iter().zip(expected) {
        assert_eq!(echo.all(name), values, "{what}: {name}");
    }
    let text = reply.text();
    assert!(!text.contains("root"), "{what}: {text}");
}

#[tokio::test]
async fn with_a_good_token_the_upstream_sees_its_claims_only() {
    let world = lenient().await;
    let issuer = world.idp.issuer();
    let full = world.idp.token("alice").claim("client_id", "web").sign();
    let no_client = world.idp.token("alice").sign();
    let nobody = world.idp.token("alice").without("sub").sign();
    for door in Door::ALL {
        // Twice: the second answer comes from the cache.
        for time in ["first", "again"] {
            for (token, subject, client) in [
                (&full, Some("alice"), Some("web")),
                (&no_client, Some("alice"), None),
                (&nobody, None, None),
            ] {
                let call = spoofed(Call::get("/orders")).bearer(token);
                let reply = world.send(door, call).await;
                let what = format!("{door:?} {time} {subject:?} {client:?}");
                let (subject, client) = (Vec::from_iter(subject), Vec::from_iter(client));
                assert_identity(&reply, &what, [&subject, &[&issuer], &client]);
            }
        }
    }
}

#[tokio::test]
async fn on_exempt_routes_the_upstream_sees_nobody() {
    let world = lenient().await;
    let token = world.idp.token("alice").claim("client_id", "web").sign();
    for door in Door::ALL {
        for path in ["/healthz", "/public/logo.png"] {
            for call in [
                Call::get(path),
                Call::get(path).bearer(&token),
                Call::get(path).bearer("garbage"),
                Call::post(path, "a body"),
            ] {
                let reply = world.send(door, spoofed(call)).await;
                assert_identity(&reply, &format!("{door:?} {path}"), [&[], &[], &[]]);
            }
        }
    }
    let unasked = world
        .send(Door::Nginx, spoofed(Call::get("/nginx-health")))
        .await;
    assert_identity(&unasked, "not even asked about", [&[], &[], &[]]);
}

/// The proxies of the HTTP doors send the client's headers along, so the lie is seen and refused,
/// whatever their configuration does about it. Envoy over gRPC removes it.
#[tokio::test]
async fn a_client_that_says_who_it_is_is_refused_over_http() {
    let world = World::start().await;
    let token = world.idp.token("alice").sign();
    let issuer = world.idp.issuer();
    for path in ["/orders", "/healthz", "/public/logo.png"] {
        for name in ["x-portcullis-subject", "X-Portcullis-Client"] {
            let call = Call::get(path).bearer(&token).header(name, "root");
            let before = denials(&world, "spoofed_identity").await;
            let reply = world.send(Door::Nginx, call.clone()).await;
            assert_eq!(reply.status, 400, "{path} {name}");
            let counted = denials(&world, "spoofed_identity").await - before;
            assert!((counted - 1.0).abs() < 0.5, "{path} {name}: {counted}");
            let reply = world.send(Door::Envoy, call).await;
            let (subject, issuer): (&[&str], &[&str]) = match path {
                "/orders" => (&["alice"], &[&issuer]),
                _ => (&[], &[]),
            };
            assert_identity(&reply, path, [subject, issuer, &[]]);
        }
        // Not ours, so not our business.
        for name in ["x-portcullis-subjects", "x--portcullis-subject"] {
            for door in Door::ALL {
                let call = Call::get(path).bearer(&token).header(name, "x");
                assert_eq!(world.send(door, call).await.status, 200, "{door:?} {name}");
            }
        }
    }
}

/// RFC 9110 §7.6.1: a client can ask for any header to be dropped on the way.
#[tokio::test]
async fn a_connection_header_cannot_take_the_identity_away() {
    let world = World::start().await;
    let token = world.idp.token("alice").sign();
    for door in Door::ALL {
        let call = Call::get("/orders").bearer(&token);
        let call = call.header("connection", IDENTITY.join(", "));
        let reply = world.send(door, call).await;
        if reply.status != 400 {
            let issuer = world.idp.issuer();
            assert_identity(&reply, "connection", [&["alice"], &[&issuer], &[]]);
        }
    }
}

#[tokio::test]
async fn what_a_user_chose_as_a_name_stays_within_its_header() {
    let world = World::builder()
        .config(|config| {
            config["answer"] = json!({ "headers": {
                "x-portcullis-subject": "sub",
                "x-roles": "roles",
                "x-realm-roles": "realm_access.roles",
                "x-tier": r"https://example\.com/tier",
            } });
        })
        .start()
        .await;
    let name = "eve\r\nx-roles: admin\u{0}\u{e9},root";
    let token = world
        .idp
        .token(name)
        .claim("roles", json!(["a,admin", "b"]))
        .claim("realm_access", json!({ "roles": ["user", "x,root"] }))
        .claim("https://example.com/tier", "gold");
    let token = token.sign();
    for door in Door::ALL {
        let call = Call::get("/orders").bearer(&token);
        let spoofed = call.clone().header("x-roles", "admin");
        let call = if door == Door::Envoy { spoofed } else { call };
        let echo = world.send(door, call).await.echo();
        let subject = echo.all("x-portcullis-subject");
        assert_eq!(subject, ["eve%0D%0Ax-roles: admin%00%C3%A9%2Croot"]);
        if door == Door::Envoy {
            assert_eq!(echo.all("x-roles"), ["a%2Cadmin,b"]);
            assert_eq!(echo.all("x-realm-roles"), ["user,x%2Croot"]);
            assert_eq!(echo.all("x-tier"), ["gold"]);
        }
    }
}

/// The other proxies of the HTTP door, by what they send and what they are told.
#[tokio::test]
async fn proxies_of_the_http_door_are_told_what_to_remove() {
    let world = lenient().await;
    let door = world.portcullis.forward_auth();
    let token = world.idp.token("alice").sign();
    let traefik = |target: &str| {
        Call::get("/authz/forward-auth")
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-uri", target)
    };
    let envoy = |target: &str| Call::get(&format!("/authz/ext-authz{target}"));
    for (what, call, subject) in [
        ("Traefik", traefik("/orders").bearer(&token), Some("alice")),
        ("Traefik, exempt", traefik("/public/x"), None),
        ("Envoy", envoy("/orders?a=b").bearer(&token), Some("alice")),
        ("Envoy, exempt", envoy("/healthz").bearer(&token), None),
    ] {
        let reply = spoofed(call).send(door).await;
        assert_eq!(reply.status, 200, "{what}");
        let told: Vec<_> = reply.all("x-portcullis-subject").collect();
        assert_eq!(told, Vec::from_iter(subject), "{what}");
        assert_eq!(reply.header("x-portcullis-client"), None, "{what}");
        let values = reply.headers.iter().map(|(_, value)| value);
        assert!(
            values.clone().all(|value| !value.contains("root")),
            "{what}"
        );
        let remove = reply.header("x-envoy-auth-headers-to-remove").unwrap();
        let remove: Vec<_> = remove.split(',').collect();
        assert!(remove.contains(&"x-portcullis-client"), "{what}");
        assert!(remove.contains(&"x_portcullis_subject"), "{what}");
        assert!(remove.contains(&"x.portcullis.subject"), "{what}");
        let own = remove.contains(&"x-portcullis-subject");
        assert_eq!(own, subject.is_none(), "{what}: {remove:?}");
    }
}

#[tokio::test]
async fn the_token_itself_stays_behind_when_told_so() {
    let world = World::builder()
        .config(|config| config["answer"] = json!({ "drop_token": true }))
        .start()
        .await;
    let token = world.idp.token("alice").sign();
    let reply = world.orders(Door::Envoy, &token).await;
    assert!(reply.echo().all("authorization").is_empty());
    let call = Call::get("/authz/ext-authz/orders").bearer(&token);
    let reply = call.send(world.portcullis.forward_auth()).await;
    let remove = reply.header("x-envoy-auth-headers-to-remove").unwrap();
    assert!(remove.split(',').any(|name| name == "authorization"));
}
