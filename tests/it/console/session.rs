//! Who gets a session, what it permits, and when it ends.

use serde_json::{Value, json};

use super::{
    READ, WRITE, cookie, credentials, from_page, login, revoke, session, status, with_session,
    world,
};
use crate::support::{Call, World};

#[tokio::test]
async fn only_a_good_secret_from_the_page_opens_a_session() {
    let world = world().await;
    let admin = world.portcullis.admin();
    let of_page = |body: &str| from_page(Call::post("/console/session", body));
    for (call, expected) in [
        (
            Call::json("/console/session", &json!({ "secret": WRITE })),
            403,
        ),
        (login(WRITE).header("origin", "https://evil.example"), 403),
        (
            login(WRITE).header("origin", "http://shop.example.com:3000"),
            403,
        ),
        (login(WRITE).header("sec-fetch-site", "same-site"), 403),
        (login(WRITE).header("sec-fetch-site", "cross-site"), 403),
        (login(""), 401),
        (login(&WRITE[1..]), 401),
        (of_page("secret=write-secret-0123456789"), 400),
        (of_page("{\"secret\": 1}"), 400),
        (of_page("{\"secret\": \"x\", \"role\": \"write\"}"), 400),
        (of_page(&"x".repeat(100_000)), 413),
    ] {
        let reply = call.send(admin).await;
        assert_eq!(reply.status, expected, "{call:?}: {}", reply.text());
        assert_eq!(reply.header("set-cookie"), None, "{call:?}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
    }
    let reply = login(WRITE)
        .header("origin", "http://shop.example.com")
        .send(admin)
        .await;
    assert_eq!(reply.body_json(), json!({ "name": "ops", "role": "write" }));
    let set = reply.header("set-cookie").unwrap();
    let (id, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
    assert_eq!(id.len(), "portcullis-session=".len() + 64, "{id}");
    assert_ne!(cookie(&login(WRITE).send(admin).await), id);
    let secure = login(WRITE)
        .header("origin", "https://shop.example.com")
        .send(admin)
        .await;
    let set = secure.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-portcullis-session="), "{set}");
    assert!(
        set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"),
        "{set}"
    );
    assert_eq!(status(&world, &cookie(&secure)).await, 200);
    for secret in [WRITE, READ, id] {
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn a_session_has_the_role_of_its_credential_and_serves_the_page_alone() {
    let world = world().await;
    let admin = world.portcullis.admin();
    for (secret, role, revoked, lifted) in [(READ, "read", 403, 403), (WRITE, "write", 201, 404)] {
        let cookie = session(&world, secret).await;
        let who = with_session(&world, &cookie, Call::get("/console/session")).await;
        assert_eq!(who.body_json()["role"], role);
        let verbs = [
            (Call::get("/v1/status"), 200),
            (Call::get("/v1/revocations"), 200),
            (Call::json("/v1/explain", &json!({ "token": "x" })), 200),
            (revoke(&world, "eve"), revoked),
            (Call::new("DELETE", "/v1/revocations/absent"), lifted),
        ];
        for (call, expected) in verbs {
            let reply = with_session(&world, &cookie, call.clone()).await;
            assert_eq!(reply.status, expected, "{role} {call:?}: {}", reply.text());
            let with_cookie = call.clone().header("cookie", cookie.clone());
            let of_page = from_page(with_cookie.clone());
            let foreign = [
                with_cookie,
                of_page.clone().header("origin", "https://evil.example"),
                of_page.clone().header("origin", "null"),
                of_page
                    .clone()
                    .header("origin", "http://shop.example.com:3000"),
                of_page.clone().header("sec-fetch-site", "same-site"),
            ];
            for call in foreign {
                assert_eq!(call.send(admin).await.status, 403, "{call:?}");
            }
            // What a request says of itself counts, not what its browser adds.
            let wrong = of_page.bearer("wrong-secret-0123456789");
            assert_eq!(wrong.send(admin).await.status, 401);
        }
        for wrong in [
            "portcullis-session=".to_owned(),
            format!("portcullis-session={}", "0".repeat(64)),
            format!("portcullis-session={secret}"),
            format!("{cookie}; {cookie}"),
            cookie.replace("portcullis", "other"),
        ] {
            assert_eq!(status(&world, &wrong).await, 401, "{wrong}");
        }
    }
}

#[tokio::test]
async fn failed_logins_are_limited_and_the_api_is_not() {
    let world = world().await;
    let admin = world.portcullis.admin();
    for _ in 0..10 {
        assert_eq!(
            login("wrong-secret-0123456789").send(admin).await.status,
            401
        );
    }
    for secret in ["wrong-secret-0123456789", WRITE] {
        let reply = login(secret).send(admin).await;
        assert_eq!(reply.status, 429, "{}", reply.text());
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    let call = Call::get("/v1/status").bearer(WRITE);
    assert_eq!(call.send(admin).await.status, 200);
}

#[tokio::test]
async fn a_session_ends_with_its_logout_its_secret_its_credential_and_the_process() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("secret");
    std::fs::write(&file, WRITE).unwrap();
    let builder = World::builder().config(|config| {
        credentials(config);
        config["admin"]["credentials"][0]["secret"] = json!({ "file": file });
    });
    let mut world = builder.start().await;
    let (left, stays) = (session(&world, WRITE).await, session(&world, WRITE).await);
    let viewer = session(&world, READ).await;
    let reply = with_session(&world, &left, Call::new("DELETE", "/console/session")).await;
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .all("set-cookie")
            .all(|cookie| cookie.ends_with("; Max-Age=0"))
    );
    assert_eq!(status(&world, &left).await, 401);
    assert_eq!(status(&world, &stays).await, 200);

    let next = home.path().join("next");
    std::fs::write(&next, "another-secret-0123456789").unwrap();
    std::fs::rename(&next, &file).unwrap();
    assert_eq!(status(&world, &stays).await, 401);
    // The session is gone for good.
    std::fs::write(&next, WRITE).unwrap();
    std::fs::rename(&next, &file).unwrap();
    assert_eq!(status(&world, &stays).await, 401);
    assert_eq!(status(&world, &viewer).await, 200);

    change(&world, |config| {
        config["admin"]["credentials"].as_array_mut().unwrap().pop();
    })
    .await;
    assert_eq!(status(&world, &viewer).await, 401);

    let last = session(&world, WRITE).await;
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    assert_eq!(status(&world, &last).await, 401);
}

/// Changes the configuration file and waits until it is in use.
pub(super) async fn change(world: &World, change: impl FnOnce(&mut Value)) {
    let file = world.home.path().join("portcullis.yaml");
    let mut config = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut config);
    let next = world.home.path().join("next.yaml");
    std::fs::write(&next, config.to_string()).unwrap();
    std::fs::rename(&next, &file).unwrap();
    let call = Call::post("/v1/reload", "").bearer(WRITE);
    let reply = call.send(world.portcullis.admin()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

const PATHS: [&str; 5] = [
    "/console",
    "/console/",
    "/console/app.js",
    "/console/style.css",
    "/console/session",
];

#[tokio::test]
async fn the_console_is_on_the_admin_listener_alone_and_can_be_off() {
    let world = World::start().await;
    for path in PATHS {
        let reply = Call::get(path).send(world.portcullis.admin()).await;
        assert_eq!(reply.status, 404, "{path} without credentials");
    }
    let world = super::world().await;
    let cookie = session(&world, WRITE).await;
    for (path, expected) in PATHS.into_iter().zip([308, 200, 200, 200, 200]) {
        let reply = with_session(&world, &cookie, Call::get(path)).await;
        assert_eq!(reply.status, expected, "{path}");
        for listener in [
            world.portcullis.forward_auth(),
            world.portcullis.door("events"),
        ] {
            assert_eq!(Call::get(path).send(listener).await.status, 404, "{path}");
        }
        assert_eq!(
            Call::get(path).send(world.envoy.edge).await.status,
            401,
            "{path}"
        );
    }
    change(&world, |config| config["admin"]["console"] = json!("off")).await;
    for path in PATHS {
        let reply = with_session(&world, &cookie, Call::get(path)).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    assert_eq!(
        login(WRITE).send(world.portcullis.admin()).await.status,
        404
    );
    assert_eq!(status(&world, &cookie).await, 401);
}

#[tokio::test]
async fn the_page_is_confined_and_the_data_is_cached_nowhere() {
    let world = world().await;
    let admin = world.portcullis.admin();
    for path in [
        "/console/",
        "/console/app.js",
        "/console/style.css",
        "/console/session",
    ] {
        let reply = Call::get(path).send(admin).await;
        let policy = reply.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none';",
            "script-src 'self';",
            "style-src 'self';",
            "connect-src 'self';",
            "frame-ancestors 'none';",
            "base-uri 'none';",
            "form-action 'self';",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
    }
    let page = Call::get("/console/").send(admin).await.text();
    for outside in [
        "http:",
        "https:",
        "src=\"/",
        "href=\"/",
        " style=",
        "<style",
        " onclick=",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
}
