//! One scenario through every real proxy, each on the configuration that `portcullis proxy-config`
//! prints for it.

mod answers;
mod assertions;
mod networks;
mod policies;
mod spellings;
mod tokens;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Backend, Call, Idp, Portcullis, Proxy, Reply, Running, fusionauth_event, proxy_config, tampered,
};

const IDENTITY: [&str; 4] = [
    "x-portcullis-subject",
    "x-portcullis-issuer",
    "x-portcullis-client",
    "x-portcullis-assertion",
];

/// Fields are dropped in this order: the proxy before what it talks to.
struct Site {
    proxy: Running,
    portcullis: Portcullis,
    _backend: Backend,
    idp: Idp,
    home: TempDir,
}

impl Site {
    async fn start(proxy: Proxy) -> Self {
        Self::configured(proxy, |_| {}).await
    }

    async fn with(proxy: Proxy, answer: Value) -> Self {
        Self::configured(proxy, |config| config["answer"] = answer).await
    }

    async fn configured(proxy: Proxy, change: impl FnOnce(&mut Value)) -> Self {
        Self::changed(proxy, change, &[]).await
    }

    async fn changed(
        proxy: Proxy,
        change: impl FnOnce(&mut Value),
        changes: &[(&str, &str)],
    ) -> Self {
        let (idp, home, backend) = (Idp::start(), TempDir::new().unwrap(), Backend::start());
        let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
        config["answer"]["assertion"] =
            json!({ "issuer": "https://gate.example.com", "audience": "internal" });
        change(&mut config);
        let portcullis = Portcullis::start(home.path(), config).await;
        portcullis.ready().await;
        let pinned = portcullis.pinned();
        let upstream = backend.0.address;
        let proxy = Running::changed(proxy, home.path(), &pinned, upstream, changes).await;
        Self {
            proxy,
            portcullis,
            _backend: backend,
            idp,
            home,
        }
    }

    async fn send(&self, call: Call) -> Reply {
        call.send(self.proxy.edge).await
    }

    async fn orders(&self, token: &str) -> u16 {
        self.send(Call::get("/orders").bearer(token)).await.status
    }
}

async fn scenario(proxy: Proxy) {
    play(proxy, Site::start(proxy).await).await;
}

async fn play(proxy: Proxy, mut site: Site) {
    let (alice, bob) = (site.idp.token("alice").sign(), site.idp.token("bob").sign());

    let reply = site
        .send(Call::post("/orders?a=b", "a body").bearer(&alice))
        .await;
    assert_eq!(reply.status, 200, "{proxy:?}: {}", reply.text());
    let echo = reply.echo();
    assert_eq!(
        (echo.method.as_str(), echo.target.as_str()),
        ("POST", "/orders?a=b")
    );
    assert_eq!(echo.all("x-portcullis-subject"), ["alice"], "{proxy:?}");
    assert_eq!(
        echo.all("x-portcullis-issuer"),
        [site.idp.issuer()],
        "{proxy:?}"
    );
    assert!(echo.all("x-portcullis-client").is_empty(), "{proxy:?}");

    let reply = site.send(Call::get("/orders")).await;
    assert_eq!(reply.status, 401, "{proxy:?}");
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer"),
        "{proxy:?}"
    );
    assert_eq!(site.orders(&tampered(&alice)).await, 401, "{proxy:?}");
    assert_eq!(
        site.send(Call::get("/healthz")).await.status,
        200,
        "{proxy:?}"
    );

    let socket = || {
        let call = Call::get("/socket").header("upgrade", "websocket");
        let call = call.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        call.header("connection", "upgrade")
            .header("sec-websocket-version", "13")
    };
    assert_eq!(site.send(socket()).await.status, 401, "{proxy:?}");
    assert_eq!(
        site.send(socket().bearer(&alice)).await.status,
        101,
        "{proxy:?}"
    );

    no_header_borrows_an_exempt_path(proxy, &site).await;
    nobody_names_himself(proxy, &site, &alice).await;
    nobody_goes_without_a_name(proxy, &site, &alice).await;

    let event = fusionauth_event("user.deactivate", json!({ "user": { "id": "alice" } }));
    assert_eq!(site.portcullis.webhook(&event).await.status / 100, 2);
    assert_eq!(site.orders(&alice).await, 401, "{proxy:?}");
    assert_eq!(site.orders(&bob).await, 200, "{proxy:?}");

    site.portcullis.kill_9();
    for call in [Call::get("/orders").bearer(&bob), Call::get("/healthz")] {
        let reply = site.send(call).await;
        assert!(reply.status >= 500, "{proxy:?}: {}", reply.status);
    }
    site.portcullis.restart().await;
    site.portcullis.ready().await;
    assert_eq!(site.orders(&alice).await, 401, "{proxy:?}");
    assert_eq!(site.orders(&bob).await, 200, "{proxy:?}");
}

async fn no_header_borrows_an_exempt_path(proxy: Proxy, site: &Site) {
    for name in [
        "x-forwarded-uri",
        "x-original-uri",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-prefix",
        "x_forwarded_uri",
    ] {
        for value in ["/healthz", "/public/x", "http://shop.example.com/healthz"] {
            let call = Call::get("/orders").header(name, value);
            let status = site.send(call).await.status;
            assert!(
                matches!(status, 400 | 401),
                "{proxy:?} {name}: {value}: {status}"
            );
        }
    }
}

/// RFC 9110 §7.6.1: a client can ask for any header to be dropped on the way.
async fn nobody_goes_without_a_name(proxy: Proxy, site: &Site, token: &str) {
    for named in [IDENTITY.join(", "), format!("close, {}", IDENTITY[0])] {
        let call = Call::get("/orders").bearer(token);
        let reply = site.send(call.header("connection", named.as_str())).await;
        assert!(
            matches!(reply.status, 200 | 400),
            "{proxy:?}: {}",
            reply.status
        );
        if reply.status == 200 {
            let echo = reply.echo();
            assert_eq!(echo.all(IDENTITY[0]), ["alice"], "{proxy:?} {named}");
            assert_eq!(
                echo.all(IDENTITY[1]),
                [site.idp.issuer()],
                "{proxy:?} {named}"
            );
        }
    }
}

async fn nobody_names_himself(proxy: Proxy, site: &Site, token: &str) {
    for name in IDENTITY {
        for spelling in [name.to_owned(), name.to_uppercase(), name.replace('-', "_")] {
            for call in [Call::get("/healthz"), Call::get("/orders").bearer(token)] {
                let reply = site.send(call.header(&spelling, "root")).await;
                assert!(
                    matches!(reply.status, 200 | 400),
                    "{proxy:?} {spelling}: {}",
                    reply.status
                );
                assert!(
                    !reply.text().contains("root"),
                    "{proxy:?} {spelling}: {}",
                    reply.text()
                );
            }
        }
    }
}

#[tokio::test]
async fn envoy_plays_the_scenario() {
    scenario(Proxy::Envoy).await;
}

#[tokio::test]
async fn envoy_plays_the_scenario_over_http() {
    scenario(Proxy::EnvoyHttp).await;
}

#[tokio::test]
async fn nginx_plays_the_scenario() {
    scenario(Proxy::Nginx).await;
}

#[tokio::test]
async fn caddy_plays_the_scenario() {
    scenario(Proxy::Caddy).await;
}

#[tokio::test]
async fn traefik_plays_the_scenario() {
    scenario(Proxy::Traefik).await;
}

#[tokio::test]
async fn haproxy_plays_the_scenario() {
    scenario(Proxy::Haproxy).await;
}

#[tokio::test]
async fn apache_plays_the_scenario() {
    scenario(Proxy::Apache).await;
}

/// ingress-nginx is nginx that asks with the whole URL in one header of its own, and nothing else.
#[tokio::test]
async fn a_request_with_an_absolute_url_is_understood() {
    let whole = (
        "proxy_set_header X-Original-URI $request_uri;",
        "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;",
    );
    let site = Site::changed(Proxy::Nginx, |_| {}, &[whole]).await;
    let token = site.idp.token("alice").sign();
    assert_eq!(site.orders(&token).await, 200);
    assert_eq!(site.orders(&tampered(&token)).await, 401);
    for (target, status) in [("/healthz", 200), ("/public/x?y=z", 200), ("/orders", 401)] {
        assert_eq!(
            site.send(Call::get(target)).await.status,
            status,
            "{target}"
        );
    }
    // The client's own headers go along and contradict the URL.
    for (name, value) in [
        ("x-original-uri", "/healthz"),
        ("x-forwarded-uri", "/healthz"),
        ("host", "shop.example.com/healthz?"),
    ] {
        let reply = site.send(Call::get("/orders").header(name, value)).await;
        assert!(
            matches!(reply.status, 400 | 401),
            "{name}: {}",
            reply.status
        );
    }
}

/// What was admitted before a revocation goes on, and not for ever.
#[tokio::test]
async fn a_stream_ends_after_the_longest_time_that_envoy_allows() {
    let short = ("max_stream_duration: 900s", "max_stream_duration: 1s");
    let site = Site::changed(Proxy::Envoy, |_| {}, &[short]).await;
    let token = site.idp.token("alice").sign();
    let stream = Call::get("/stream").bearer(&token);
    let cut = stream.try_send(site.proxy.edge).await.unwrap_err();
    assert!(cut.to_string().contains("data: first"), "{cut}");
}

/// The names are the operator's, and so is the claim's path.
#[tokio::test]
async fn configured_identity_headers_say_what_the_token_says_through_every_proxy() {
    for proxy in Proxy::ALL {
        let headers = json!({ "X-User": "sub", "x-realm-roles": "realm_access.roles" });
        let site = Site::with(proxy, json!({ "headers": headers })).await;
        let roles = json!({ "roles": ["buyer", "seller"] });
        let token = site.idp.token("alice").claim("realm_access", roles).sign();
        let orders = Call::get("/orders").bearer(&token);
        let echo = site.send(orders.clone()).await.echo();
        assert_eq!(echo.all("x-user"), ["alice"], "{proxy:?}");
        assert_eq!(echo.all("x-realm-roles"), ["buyer,seller"], "{proxy:?}");
        for name in [
            "X-UsEr",
            "x_user",
            "x.user",
            "x.realm~roles",
            "X_REALM-ROLES",
        ] {
            for call in [Call::get("/healthz"), orders.clone()] {
                let reply = site.send(call.header(name, "root")).await;
                assert!(matches!(reply.status, 200 | 400), "{proxy:?} {name}");
                assert!(!reply.text().contains("root"), "{proxy:?} {name}");
            }
        }
    }
}

/// The status of Portcullis' refusal reaches the client: a token above the limit is no 500.
#[tokio::test]
async fn a_token_above_the_limit_is_431_through_every_proxy() {
    for proxy in Proxy::ALL {
        let site = Site::start(proxy).await;
        let call = Call::get("/orders").bearer(&"a".repeat(20_000));
        let reply = site.send(call).await;
        assert_eq!(reply.status, 431, "{proxy:?}: {}", reply.text());
    }
}

/// What is shipped is what the program prints.
#[test]
fn shipped_files_of_proxies_are_printed_by_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = root.join("envoy/portcullis.yaml");
    let secrets = TempDir::new().unwrap();
    std::fs::write(
        secrets.path().join("hooks"),
        "a long enough password for this",
    )
    .unwrap();
    for (part, port, file) in [
        ("envoy", 8080, "envoy/envoy.yaml"),
        ("nginx", 8081, "envoy/nginx.conf"),
        ("caddy", 8082, "proxies/caddy/Caddyfile"),
        ("traefik", 8083, "proxies/traefik/dynamic.yaml"),
        ("traefik-static", 8083, "proxies/traefik/traefik.yaml"),
        ("haproxy", 8084, "proxies/haproxy/haproxy.cfg"),
        ("haproxy-lua", 8084, "proxies/haproxy/portcullis.lua"),
        ("apache", 8085, "proxies/apache/httpd.conf"),
        ("apache-lua", 8085, "proxies/apache/portcullis.lua"),
        ("envoy-http", 8080, "envoy/envoy-http.yaml"),
    ] {
        let printed = proxy_config(
            part,
            &config,
            secrets.path(),
            ([127, 0, 0, 1], port).into(),
            ([127, 0, 0, 1], 9000).into(),
        );
        let shipped = std::fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(
            printed, shipped,
            "{file}: run portcullis proxy-config {part} --config envoy/portcullis.yaml > {file}"
        );
    }
}

/// Both edges ask, clean requests and fail closed alike. Only what three replicas need is different.
#[test]
fn the_composed_envoy_asks_as_the_printed_one_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let edge = |file: &str| {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        let listener = &read["static_resources"]["listeners"][0];
        let manager = &listener["filter_chains"][0]["filters"][0];
        (
            manager.clone(),
            listener["per_connection_buffer_limit_bytes"].clone(),
        )
    };
    let (printed, composed) = (edge("envoy/envoy.yaml"), edge("deploy/compose/envoy.yaml"));
    let mut composed = composed;
    let ext_authz = &mut composed.0["typed_config"]["http_filters"][0]["typed_config"];
    let retries = ext_authz["grpc_service"]
        .as_object_mut()
        .unwrap()
        .remove("retry_policy");
    assert!(retries.is_some());
    assert_eq!(composed, printed);
}

/// `answer.headers` alone decides which headers a configuration names.
#[test]
fn every_configured_header_is_in_every_configuration() {
    let home = TempDir::new().unwrap();
    let mut config = Portcullis::config(
        home.path(),
        "https://id.example.com",
        "https://id.example.com/jwks",
    );
    config["listen"]["forward_auth"] = json!("127.0.0.1:9192");
    config["answer"] = json!({ "headers": { "X-User": "sub", "x-realm-roles": "roles" } });
    config["token"] = json!({ "sources": [{ "header": "x-token" }, { "cookie": "session" }] });
    let file = home.path().join("portcullis.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    let printed = |part| {
        proxy_config(
            part,
            &file,
            home.path(),
            ([127, 0, 0, 1], 1).into(),
            ([127, 0, 0, 1], 2).into(),
        )
    };
    for part in ["envoy", "traefik"] {
        let text = printed(part);
        for pattern in ["x[^a-z0-9]realm[^a-z0-9]roles", "x[^a-z0-9]user"] {
            assert!(text.contains(pattern), "{part} lacks {pattern}:\n{text}");
        }
    }
    let envoy = printed("envoy");
    assert!(
        envoy.contains("exact: \"x-token\"") && envoy.contains("exact: \"cookie\""),
        "{envoy}"
    );
    for name in ["x-user", "x-realm-roles"] {
        let variable = name.replace('-', "_");
        for (part, line) in [
            (
                "nginx",
                format!("proxy_set_header {name} $identity_{variable};"),
            ),
            (
                "nginx",
                format!("auth_request_set $identity_{variable} $upstream_http_{variable};"),
            ),
            ("caddy", format!("request_header -{name}\n")),
            ("caddy", format!("copy_headers {name}\n")),
            (
                "haproxy",
                format!("set-header {name} %[var(txn.identity_{variable})]"),
            ),
            (
                "haproxy-lua",
                format!("[\"{name}\"] = \"txn.identity_{variable}\""),
            ),
        ] {
            let text = printed(part);
            assert!(text.contains(&line), "{part} lacks {line:?}:\n{text}");
            assert!(!text.contains("x-portcullis-issuer"), "{part}:\n{text}");
        }
    }
}
