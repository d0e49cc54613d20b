//! Policies through every real proxy: the host and the name of a policy are what the proxy says, never
//! what the client says.

use serde_json::{Value, json};

use super::Site;
use crate::support::{Call, Proxy};

const HEADER: &str = "x-portcullis-policy";

fn policies(config: &mut Value) {
    config["policy_header"] = json!(HEADER);
    config["policies"] = json!([
        { "name": "admin", "hosts": ["admin.example.com"], "scopes": ["admin"] },
        { "name": "other-tenants", "hosts": ["*.tenants.example.com"], "roles": [{ "claim": "roles", "is": "tenant" }] },
        { "name": "open", "token": "none" },
        { "name": "gold", "claims": [{ "claim": "tier", "is": "gold" }] },
    ]);
}

/// Names under which a client may try to say which host it means, or which policy.
const SPOOFS: [(&str, &str); 8] = [
    ("x-forwarded-host", "shop.example.com"),
    ("x-original-host", "shop.example.com"),
    ("x-host", "shop.example.com"),
    ("forwarded", "host=shop.example.com"),
    ("X-Forwarded-Host", "shop.example.com, admin.example.com"),
    (HEADER, "open"),
    ("X-Portcullis-Policy", "open"),
    ("x_portcullis_policy", "open"),
];

async fn hosts_and_names_are_the_proxys(proxy: Proxy) {
    let site = Site::configured(proxy, policies).await;
    let alice = site.idp.token("alice").sign();
    let admin = site.idp.token("root").claim("scope", "admin").sign();
    let at = |host: &str| Call::get("/orders").header("host", host);
    for (host, token, status) in [
        ("shop.example.com", &alice, 200),
        ("admin.example.com", &alice, 403),
        ("Admin.Example.com:8080", &alice, 403),
        ("admin.example.com", &admin, 200),
        ("a.tenants.example.com", &admin, 403),
        ("tenants.example.com", &alice, 200),
    ] {
        let reply = site.send(at(host).bearer(token)).await;
        assert_eq!(reply.status, status, "{proxy:?} {host}: {}", reply.text());
    }
    let reply = site.send(at("admin.example.com").bearer(&alice)).await;
    assert_eq!(
        reply.header("www-authenticate"),
        Some("Bearer realm=\"portcullis\", error=\"insufficient_scope\", scope=\"admin\""),
        "{proxy:?}"
    );
    for (name, value) in SPOOFS {
        let spoofed = |call: Call| call.header(name, value);
        let call = spoofed(at("admin.example.com").bearer(&alice));
        let status = site.send(call).await.status;
        assert!(
            matches!(status, 400 | 403),
            "{proxy:?} {name}: {value}: {status}"
        );
        let status = site.send(spoofed(at("shop.example.com"))).await.status;
        assert!(
            matches!(status, 400 | 401),
            "{proxy:?} {name}: {value}: {status}"
        );
    }
}

#[tokio::test]
async fn policies_by_host_hold_through_envoy() {
    hosts_and_names_are_the_proxys(Proxy::Envoy).await;
}

#[tokio::test]
async fn policies_by_host_hold_through_nginx() {
    hosts_and_names_are_the_proxys(Proxy::Nginx).await;
}

#[tokio::test]
async fn policies_by_host_hold_through_caddy() {
    hosts_and_names_are_the_proxys(Proxy::Caddy).await;
}

#[tokio::test]
async fn policies_by_host_hold_through_traefik() {
    hosts_and_names_are_the_proxys(Proxy::Traefik).await;
}

#[tokio::test]
async fn policies_by_host_hold_through_haproxy() {
    hosts_and_names_are_the_proxys(Proxy::Haproxy).await;
}

#[tokio::test]
async fn policies_by_host_hold_through_envoy_over_http() {
    hosts_and_names_are_the_proxys(Proxy::EnvoyHttp).await;
}

#[tokio::test]
async fn policies_by_host_hold_through_apache() {
    hosts_and_names_are_the_proxys(Proxy::Apache).await;
}

/// The route of the shipped Envoy, with a policy of its own.
const ROUTE: &str = "route: { cluster: legacy, timeout: 60s }";

fn route(policy: &str) -> String {
    format!(
        "{ROUTE}
                          typed_per_filter_config:
                            envoy.filters.http.ext_authz:
                              \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                              check_settings:
                                context_extensions: {{ portcullis-policy: {policy} }}"
    )
}

#[tokio::test]
async fn a_policy_that_the_proxy_names_holds_whatever_the_host() {
    for (proxy, old, named) in [
        (Proxy::Envoy, ROUTE, &route as &dyn Fn(&str) -> String),
        (Proxy::Nginx, "set $portcullis_policy default;", &|name| {
            format!("set $portcullis_policy {name};")
        }),
        (
            Proxy::Caddy,
            "header_up x-portcullis-policy default",
            &|name| format!("header_up x-portcullis-policy {name}"),
        ),
    ] {
        for (policy, alice_gets, gold_gets, anybody_gets) in [
            ("gold", 403, 200, 401),
            ("open", 200, 200, 200),
            ("admin", 503, 503, 503),
        ] {
            let change = [(old, &*named(policy))];
            let site = Site::changed(proxy, policies, &change).await;
            let alice = site.idp.token("alice").sign();
            let gold = site.idp.token("alice").claim("tier", "gold").sign();
            for host in ["shop.example.com", "admin.example.com"] {
                let call = || {
                    Call::get("/orders")
                        .header("host", host)
                        .header(HEADER, "open")
                };
                for (call, status) in [
                    (call().bearer(&alice), alice_gets),
                    (call().bearer(&gold), gold_gets),
                    (call(), anybody_gets),
                ] {
                    let reply = site.send(call).await;
                    assert_eq!(reply.status, status, "{proxy:?} {policy} {host}");
                }
            }
        }
    }
}

/// What `docs/policy.md` tells to write, so that `/partner` has the policy `gold` and the rest has `default`.
const NAMED: [(Proxy, &[(&str, &str)]); 3] = [
    (
        Proxy::Haproxy,
        &[(
            "    http-request lua.portcullis",
            "    http-request set-var(txn.portcullis_policy) str(gold) if { path,url_dec -m beg /partner }
    http-request lua.portcullis",
        )],
    ),
    (
        Proxy::Apache,
        &[
            (
                "LoadModule lua_module ",
                "LoadModule setenvif_module ${MODULES}/mod_setenvif.so
LoadModule lua_module ",
            ),
            (
                "ProxyRequests Off",
                "<Location /partner>
SetEnvIf Request_URI ^ portcullis_policy=gold
</Location>
ProxyRequests Off",
            ),
        ],
    ),
    (
        Proxy::Traefik,
        &[
            (
                "    all:\n",
                "    partner:
      entryPoints: [edge]
      rule: PathPrefix(`/partner`)
      middlewares: [portcullis-gold, portcullis]
      service: legacy
    all:\n",
            ),
            (
                "    portcullis-policy: {",
                "    portcullis-gold: { headers: { customRequestHeaders: { x-portcullis-policy: gold } } }
    portcullis-policy: {",
            ),
        ],
    ),
];

async fn a_path_has_the_policy_that_the_proxy_names(proxy: Proxy) {
    let (_, changes) = NAMED.iter().find(|(named, _)| *named == proxy).unwrap();
    let site = Site::changed(proxy, policies, changes).await;
    let alice = site.idp.token("alice").sign();
    let gold = site.idp.token("alice").claim("tier", "gold").sign();
    let nobody: [(&str, &str); 0] = [];
    for (path, alice_gets) in [("/partner/a", 403), ("/%70artner/a", 403), ("/orders", 200)] {
        for named in [
            &nobody[..],
            &[(HEADER, "open")],
            &[(HEADER, "default")],
            &[(HEADER, "gold"), (HEADER, "open")],
            &[("X-Portcullis-Policy", "open")],
            &[("x_portcullis_policy", "open")],
            &[("portcullis-policy", "open"), ("portcullis_policy", "open")],
        ] {
            let call = || {
                let call = Call::get(path).header("host", "shop.example.com");
                named
                    .iter()
                    .fold(call, |call, (name, value)| call.header(name, *value))
            };
            for (call, status) in [
                (call().bearer(&alice), alice_gets),
                (call().bearer(&gold), 200),
                (call(), 401),
            ] {
                let reply = site.send(call).await;
                assert_eq!(
                    reply.status,
                    status,
                    "{proxy:?} {path} {named:?}: {}",
                    reply.text()
                );
            }
        }
        // Nor can a client take the name away.
        let call = Call::get(path).header("connection", format!("close, {HEADER}"));
        let status = site.send(call.bearer(&alice)).await.status;
        assert!(
            status == alice_gets || status == 503,
            "{proxy:?} {path}: {status}"
        );
    }
}

#[tokio::test]
async fn a_policy_that_haproxy_names_holds_whatever_the_client_names() {
    a_path_has_the_policy_that_the_proxy_names(Proxy::Haproxy).await;
}

#[tokio::test]
async fn a_policy_that_apache_names_holds_whatever_the_client_names() {
    a_path_has_the_policy_that_the_proxy_names(Proxy::Apache).await;
}

#[tokio::test]
async fn a_policy_that_traefik_names_holds_whatever_the_client_names() {
    a_path_has_the_policy_that_the_proxy_names(Proxy::Traefik).await;
}

/// A proxy that forgets the header passes nothing, not even what the client names.
#[tokio::test]
async fn a_question_over_http_without_the_header_is_refused() {
    let site = Site::configured(Proxy::Nginx, policies).await;
    let good = site.idp.token("alice").sign();
    let question = || {
        let call = Call::get("/authz/forward-auth").bearer(&good);
        let call = call.header("x-forwarded-method", "GET");
        let call = call.header("x-forwarded-host", "shop.example.com");
        call.header("x-forwarded-uri", "/orders")
    };
    let door = site.portcullis.forward_auth();
    assert_eq!(
        question().header(HEADER, "default").send(door).await.status,
        200
    );
    let twice = question().header(HEADER, "default").header(HEADER, "open");
    for call in [question(), twice, question().header(HEADER, "nobody")] {
        assert_eq!(call.send(door).await.status, 503, "{call:?}");
    }
}
