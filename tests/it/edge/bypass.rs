//! No spelling of a path turns a protected one into an exempt one. The two proxies read paths in
//! their own ways, so what counts is what the back end got.

use serde_json::json;

use crate::support::{Call, Door, World};

/// Ways to write "the folder above", and what looks like it.
const DOTS: [&str; 16] = [
    "..",
    ".",
    "...",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "..;",
    "..;a=b",
    "..%00",
    "..%20",
    "..%09",
    "%c0%ae%c0%ae",
    "..%c0%af",
    "%u002e%u002e",
    "..%3b",
];

/// Ways to write a slash, and what looks like it.
const SLASHES: [&str; 12] = [
    "/", "//", "%2f", "%2F", "%252f", "\\", "%5c", "%5C", "/./", "/;/", "%c0%af", ";/",
];

/// Whether every server, however lenient, takes this for an exempt path.
fn exempt_in_every_reading(target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let one_reading = !["%", "\\", ";", "//", "/./", "/../"]
        .iter()
        .any(|trick| path.contains(trick))
        && !path.ends_with("/.")
        && !path.ends_with("/..");
    one_reading && (path == "/healthz" || path == "/nginx-health" || path.starts_with("/public/"))
}

fn tricks() -> Vec<String> {
    let mut targets: Vec<String> = [
        "/",
        "/orders",
        "/HEALTHZ",
        "/Healthz",
        "/healthz/",
        "/healthz//",
        "/healthz/.",
        "/healthz;",
        "/healthz;x=y",
        "/healthz%00",
        "/healthz%20",
        "/healthz%2f",
        "/healthz%3f",
        "/healthz%23",
        "/healthz%0d%0a",
        "/healthzz",
        "/healthz.json",
        "/health%7a",
        "//healthz",
        "/./healthz",
        "/x/../healthz",
        "/orders/../healthz",
        "/orders?/healthz",
        "/orders?x=/public/",
        "/orders;/healthz",
        "/orders#/public/",
        "/public",
        "/PUBLIC/x",
        "/Public/x",
        "/public;/x",
        "/public;a=b/x",
        "/public%2fx",
        "/publicity",
        "/public.html",
        "/%70ublic/x",
        "/public/%2e",
        "/public/x%00",
        "/public/x;y",
        "//public/x",
        "///public/x",
        "/.//public/x",
        "/orders/..;/public/x",
        "http://shop.example.com/orders",
        "http://shop.example.com/public/../orders",
        "http://shop.example.com/healthz/../orders",
        "http://other.example.com/public/..%2forders",
        "/orders/../nginx-health",
        "/orders/%2e%2e/nginx-health",
        "/orders//../../nginx-health",
        "/nginx-health/../orders",
        "/nginx-health%2f..%2forders",
        "/_portcullis",
        "/public/../_portcullis",
    ]
    .map(str::to_owned)
    .into();
    for slash in SLASHES {
        for dots in DOTS {
            targets.push(format!("/public{slash}{dots}{slash}orders"));
            targets.push(format!("/public/x{slash}{dots}/{dots}{slash}orders"));
            targets.push(format!("/healthz{slash}{dots}{slash}orders"));
            targets.push(format!("/orders{slash}{dots}{slash}public/x"));
            targets.push(format!("/orders/{dots}{slash}healthz"));
        }
    }
    targets
}

async fn try_all(door: Door) {
    let world = World::start().await;
    let mut passed = 0;
    for target in tricks() {
        let reply = world.send(door, Call::get(&target)).await;
        match reply.status {
            200 => {
                let got = reply.echo().target;
                assert!(
                    exempt_in_every_reading(&got),
                    "{door:?} let {target} through without a token, as {got}"
                );
                passed += 1;
            }
            400 | 401 | 404 => {}
            other => panic!("{door:?} answers {target} with {other}: {}", reply.text()),
        }
    }
    // What a proxy itself brings into an exempt form may pass; most cannot be brought there.
    assert!(passed < tricks().len() / 2, "{door:?}: {passed}");
    for target in ["/healthz", "/healthz?x=..%2f", "/public/", "/public/a/b.c"] {
        let reply = world.send(door, Call::get(target)).await;
        assert_eq!(reply.status, 200, "{door:?} {target}");
        assert_eq!(reply.echo().target, target, "{door:?}");
    }
}

#[tokio::test]
async fn no_spelling_gets_past_envoy() {
    try_all(Door::Envoy).await;
}

#[tokio::test]
async fn no_spelling_gets_past_nginx() {
    try_all(Door::Nginx).await;
}

/// A header that some servers take for the true target must not borrow an exempt one.
#[tokio::test]
async fn no_header_names_another_path() {
    let world = World::start().await;
    for door in Door::ALL {
        for name in [
            "x-original-uri",
            "x-original-url",
            "x-rewrite-url",
            "x-forwarded-uri",
            "x-envoy-original-path",
            "x-original-method",
            "x-forwarded-prefix",
        ] {
            for value in ["/healthz", "/public/x"] {
                let call = Call::get("/orders").header(name, value);
                let reply = world.send(door, call).await;
                assert_eq!(
                    reply.status,
                    refused(door, name),
                    "{door:?} {name}: {value}"
                );
            }
        }
        for name in ["x-original-url", "x-rewrite-url", "X-Original-URL"] {
            let call = Call::get("/public/x").header(name, "/orders");
            let reply = world.send(door, call).await;
            assert_eq!(reply.status, refused(door, name), "{door:?} {name}");
        }
    }
}

/// nginx names the target in a header, so one that contradicts it is the request's fault.
fn refused(door: Door, name: &str) -> u16 {
    match door {
        Door::Nginx if name.eq_ignore_ascii_case("x-original-url") => 400,
        Door::Envoy | Door::Nginx => 401,
    }
}

#[tokio::test]
async fn an_exempt_method_cannot_stand_for_another() {
    let world = World::builder()
        .config(|config| {
            config["bypass"] = json!([{ "prefix": "/catalogue", "methods": ["GET", "HEAD"] }]);
        })
        .start()
        .await;
    for door in Door::ALL {
        let get = || Call::get("/catalogue/1");
        assert_eq!(world.send(door, get()).await.status, 200, "{door:?}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let call = Call::new(method, "/catalogue/1");
            assert_eq!(
                world.send(door, call).await.status,
                401,
                "{door:?} {method}"
            );
        }
        for name in [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
        ] {
            let call = get().header(name, "DELETE");
            assert_eq!(world.send(door, call).await.status, 401, "{door:?} {name}");
        }
        for query in [
            "_method=DELETE",
            "a=b&%5FMethod=DELETE",
            "_method[]=DELETE",
            "_HttpMethod=DELETE",
            "X-HTTP-Method-Override=DELETE",
        ] {
            let call = Call::get(&format!("/catalogue/1?{query}"));
            assert_eq!(world.send(door, call).await.status, 401, "{door:?} {query}");
        }
        let harmless = Call::get("/catalogue/1?payment_method=card");
        assert_eq!(world.send(door, harmless).await.status, 200, "{door:?}");
        let named = Call::post("/catalogue/1", "x").header("x-original-method", "GET");
        assert_eq!(world.send(door, named).await.status, 401, "{door:?}");
    }
}

/// CORS preflights carry no token, whatever path they are about.
#[tokio::test]
async fn preflights_pass_everywhere_and_nothing_else_does() {
    let world = World::builder()
        .config(|config| config["bypass"] = json!([{ "prefix": "/", "methods": ["OPTIONS"] }]))
        .start()
        .await;
    for door in Door::ALL {
        for target in ["/", "/orders", "/a%20b?x=%2f", "/caf%C3%A9;v=1"] {
            let ask = |method| Call::new(method, target).header("origin", "https://a.example.com");
            let preflight = ask("OPTIONS").header("access-control-request-method", "DELETE");
            let reply = world.send(door, preflight).await;
            assert_eq!(reply.status, 200, "{door:?} {target}");
            for method in ["GET", "POST", "DELETE"] {
                let reply = world.send(door, ask(method)).await;
                assert_eq!(reply.status, 401, "{door:?} {method} {target}");
            }
            let overridden = ask("OPTIONS").header("x-http-method-override", "DELETE");
            let reply = world.send(door, overridden).await;
            assert_eq!(reply.status, 401, "{door:?} {target}");
        }
    }
}

#[tokio::test]
async fn an_optional_token_is_verified_and_its_absence_passes() {
    let world = World::builder()
        .config(|config| {
            config["bypass"] = json!([{ "prefix": "/shop", "token": "optional" }]);
        })
        .start()
        .await;
    let good = world.idp.token("alice").sign();
    let expired = world.idp.token("alice").shifted(-3600).sign();
    let revoked = world.idp.token("mallory").sign();
    world.deactivate("mallory").await;
    for door in Door::ALL {
        let shop = || Call::get("/shop/1");
        let nobody = world.send(door, shop()).await;
        assert_eq!(nobody.status, 200, "{door:?}");
        assert!(nobody.echo().all("x-portcullis-subject").is_empty());
        let alice = world.send(door, shop().bearer(&good)).await;
        assert_eq!(alice.status, 200, "{door:?}");
        assert_eq!(alice.echo().all("x-portcullis-subject"), ["alice"]);
        for token in [expired.as_str(), &revoked, "garbage"] {
            let reply = world.send(door, shop().bearer(token)).await;
            assert_eq!(reply.status, 401, "{door:?}");
        }
    }
}
