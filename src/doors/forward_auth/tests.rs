use reqwest::{Client, Method};
use serde_json::json;

use super::*;
use crate::core::reason::Reason;
use crate::doors::testing::{Parts, Script, local, parts, places};
use crate::doors::{Config, serve};
use crate::gate::testing;

struct Door {
    script: Arc<Script>,
    parts: Parts<Script>,
    base: String,
    client: Client,
}

async fn open(config: &str) -> Door {
    let script = Script::new(testing::bypass);
    let config: Config = serde_saphyr::from_str(config).unwrap();
    let parts = parts(Arc::clone(&script), &config, &serve::Config::default());
    let (listener, address) = local().await;
    let doors = Arc::clone(&parts.doors);
    tokio::spawn(super::serve(
        listener,
        places(),
        doors,
        parts.shutdown.clone(),
    ));
    Door {
        script,
        parts,
        base: format!("http://{address}"),
        client: Client::builder().no_proxy().build().unwrap(),
    }
}

impl Door {
    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

const NGINX_HEADERS: [(&str, &str); 2] = [
    ("X-Original-Method", "DELETE"),
    ("X-Original-URI", "/orders/7?a=b&c"),
];

const TRAEFIK_HEADERS: [(&str, &str); 2] = [
    ("X-Forwarded-Method", "PUT"),
    ("X-Forwarded-Uri", "/orders/../x"),
];

fn full() -> serde_json::Value {
    json!({ "iss": "https://id.example.com", "sub": "eve\r\nx-role: admin", "client_id": "shop" })
}

#[tokio::test]
async fn each_proxy_names_the_original_request_in_its_own_way() {
    let door = open("{}").await;
    for (method, path, headers, expected) in [
        (
            "GET",
            NGINX,
            &NGINX_HEADERS[..],
            ("DELETE", "/orders/7?a=b&c"),
        ),
        (
            "GET",
            FORWARD,
            &TRAEFIK_HEADERS[..],
            ("PUT", "/orders/../x"),
        ),
        (
            "POST",
            FORWARD,
            &TRAEFIK_HEADERS[..],
            ("PUT", "/orders/../x"),
        ),
        (
            "PATCH",
            "/authz/ext-authz/a//b?c=d",
            &[][..],
            ("PATCH", "/a//b?c=d"),
        ),
        ("GET", "/authz/ext-authz/", &[][..], ("GET", "/")),
        (
            "GET",
            NGINX,
            &[
                ("X-Original-Method", "PUT"),
                (
                    "X-Original-URL",
                    "https://shop.example.com:8443/orders?a=/healthz",
                ),
            ][..],
            ("PUT", "/orders?a=/healthz"),
        ),
        (
            "GET",
            NGINX,
            &[
                ("X-Original-Method", "PUT"),
                ("X-Original-URL", "http://shop/orders"),
                ("X-Original-URI", "/orders"),
                ("X-Forwarded-Uri", "/orders"),
            ][..],
            ("PUT", "/orders"),
        ),
        (
            "GET",
            NGINX,
            &[
                ("X-Original-Method", "PUT"),
                ("X-Original-URL", "/orders"),
                ("X-Original-URI", "/orders"),
            ][..],
            ("PUT", "/orders"),
        ),
    ] {
        let response = door.call(method, path, headers).await;
        assert_eq!(response.status(), 200, "{path}");
        let seen = door.script.last();
        assert_eq!((&*seen.method, &*seen.target), expected, "{path}");
    }
}

#[tokio::test]
async fn a_request_without_its_original_is_refused_and_reaches_no_gate() {
    let door = open("{}").await;
    let uri = ("X-Original-URI", "/a");
    let method = ("X-Original-Method", "GET");
    let url = ("X-Original-URL", "http://shop/a");
    let cases: [&[(&str, &str)]; 20] = [
        &[],
        &[uri],
        &[method],
        &[method, ("X-Original-URI", "")],
        &[method, ("X-Original-URI", "a")],
        &[method, ("X-Original-URI", "*")],
        &[("X-Original-Method", ""), uri],
        &[method, uri, ("X-Original-URI", "/public")],
        &[method, uri, method],
        // ingress-nginx names the target, and the client names another one beside it.
        &[url],
        &[method, url, url],
        &[method, url, ("X-Original-URI", "/public")],
        &[method, url, ("X-Forwarded-Uri", "/public")],
        &[method, url, uri, ("X-Forwarded-Uri", "/public")],
        &[method, ("X-Original-URL", "/public"), uri],
        &[method, ("X-Original-URL", "/a")],
        &[method, ("X-Original-URL", "http://shop")],
        &[method, ("X-Original-URL", "http:///a")],
        &[method, ("X-Original-URL", "ftp://shop/a")],
        &[method, ("X-Original-URL", "http://shop?/public/@b/a")],
    ];
    for headers in cases {
        let response = door.call("GET", NGINX, headers).await;
        assert_eq!(response.status(), 400, "{headers:?}");
    }
    // The headers of one proxy mean nothing at the path of another.
    let response = door.call("GET", FORWARD, &NGINX_HEADERS).await;
    assert_eq!(response.status(), 400);
    for path in [
        "/",
        "/authz",
        "/authz/ext-authz",
        "/authz/ext-authzx",
        "/healthz",
    ] {
        let response = door.call("GET", path, &NGINX_HEADERS).await;
        assert_eq!(response.status(), 404, "{path}");
    }
    assert_eq!(door.script.count(), 0);
    assert_eq!(door.script.counted(), [Some(Reason::UnreadableRequest); 21]);
    let line = "{door=\"forward_auth\",failure=\"unreadable\"} 21\n";
    assert!(door.parts.metrics().contains(line));
}

#[tokio::test]
async fn a_permit_carries_safe_headers_and_never_the_clients() {
    let door = open("drop_token: true").await;
    let verified = testing::verified(&full());
    door.script
        .set(move || testing::permit(Arc::clone(&verified)));
    let mut headers = NGINX_HEADERS.to_vec();
    headers.push(("authorization", "Bearer x"));
    let response = door.call("GET", NGINX, &headers).await;
    assert_eq!(response.status(), 200);
    let got = response.headers();
    assert_eq!(got["x-portcullis-subject"], "eve%0D%0Ax-role: admin");
    assert_eq!(got["x-portcullis-issuer"], "https://id.example.com");
    assert_eq!(got["x-portcullis-client"], "shop");
    assert!(!got.contains_key("x-role"));
    let remove = got["x-envoy-auth-headers-to-remove"].to_str().unwrap();
    let remove: Vec<_> = remove.split(',').collect();
    assert!(remove.contains(&"authorization"));
    assert!(!remove.contains(&"x-portcullis-subject"));
    assert_eq!(door.script.last().authorization, ["Bearer x"]);
}

#[tokio::test]
async fn an_absent_claim_has_no_header_and_envoy_removes_it() {
    let door = open("refuse_spoofed: false").await;
    let verified = testing::verified(&json!({ "iss": "https://id.example.com" }));
    let permit: crate::doors::testing::Answer =
        Box::new(move || testing::permit(Arc::clone(&verified)));
    let bypass: crate::doors::testing::Answer = Box::new(testing::bypass);
    for (answer, known) in [(permit, true), (bypass, false)] {
        door.script.set(answer);
        let spoofed = [
            ("x-portcullis-subject", "root"),
            ("x-portcullis-client", "x"),
            ("x.portcullis~client", "x"),
        ];
        let response = door.call("GET", "/authz/ext-authz/a", &spoofed).await;
        assert_eq!(response.status(), 200);
        let got = response.headers();
        let remove = got["x-envoy-auth-headers-to-remove"].to_str().unwrap();
        for name in [
            "x-portcullis-subject",
            "x-portcullis-client",
            "x.portcullis~client",
        ] {
            assert!(!got.contains_key(name), "{name}");
            assert!(remove.split(',').any(|held| held == name), "{name}");
        }
        assert_eq!(got.contains_key("x-portcullis-issuer"), known);
        assert_eq!(remove.contains("x-portcullis-issuer"), !known);
        assert!(!remove.contains("authorization"));
    }
}

#[tokio::test]
async fn every_reason_has_its_refusal() {
    let door = open("realm: shop").await;
    for reason in Reason::ALL {
        door.script.set(move || testing::deny(reason));
        let response = door.call("GET", FORWARD, &TRAEFIK_HEADERS).await;
        let status = Refusal::of(reason).status.as_u16();
        assert_eq!(response.status(), status, "{reason}");
        let headers = response.headers();
        if let Some(challenge) = headers.get("www-authenticate") {
            let challenge = challenge.to_str().unwrap();
            assert!(challenge.starts_with("Bearer realm=\"shop\""), "{reason}");
        }
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers.contains_key("retry-after"), status == 503);
        assert!(!headers.contains_key("x-portcullis-subject"));
        let body: serde_json::Value =
            serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["status"], status);
        assert_eq!(body["decision_id"].as_str().unwrap().len(), 16);
    }
}

/// nginx closes the connection when a refusal has a body, since it throws that away unread.
#[tokio::test]
async fn at_the_path_of_nginx_no_refusal_has_a_body() {
    let door = open("{}").await;
    let mut refusals = vec![door.call("GET", NGINX, &[]).await];
    for reason in Reason::ALL {
        door.script.set(move || testing::deny(reason));
        refusals.push(door.call("GET", NGINX, &NGINX_HEADERS).await);
    }
    door.script.set(|| panic!("a bug"));
    refusals.push(door.call("GET", NGINX, &NGINX_HEADERS).await);
    for response in refusals {
        assert_eq!(response.headers()["content-length"], "0");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!response.headers().contains_key("content-type"));
        assert_ne!(response.status(), 200);
    }
}

#[tokio::test]
async fn a_spoofed_identity_is_refused_unless_another_gateway_may_set_it() {
    let cases = [
        (NGINX, &NGINX_HEADERS[..]),
        (FORWARD, &TRAEFIK_HEADERS[..]),
        ("/authz/ext-authz/healthz", &[][..]),
    ];
    let names = [
        "x-portcullis-subject",
        "X-Portcullis-Client",
        "x_portcullis_issuer",
        "x.portcullis!subject",
    ];
    for (config, status) in [("{}", 400), ("refuse_spoofed: false", 200)] {
        let door = open(config).await;
        for (path, headers) in cases {
            for name in names {
                let mut headers = headers.to_vec();
                headers.push((name, ""));
                let response = door.call("GET", path, &headers).await;
                assert_eq!(response.status(), status, "{config} {path} {name}");
            }
            let mut headers = headers.to_vec();
            headers.push(("x-portcullis-subjects", "root"));
            headers.push(("x--portcullis-subject", "root"));
            assert_eq!(door.call("GET", path, &headers).await.status(), 200);
        }
        let refused = door.script.counted().into_iter().flatten();
        let expected = if status == 400 { 12 } else { 0 };
        assert_eq!(
            refused.collect::<Vec<_>>(),
            vec![Reason::SpoofedIdentity; expected]
        );
    }
}

#[tokio::test]
async fn a_claim_that_does_not_fit_refuses_the_request_or_drops_its_header() {
    let groups = vec!["a group with a long name"; 400];
    let payload = json!({ "iss": "https://id.example.com", "sub": "alice", "groups": groups });
    for (choice, status, reason) in [
        ("refuse", 503, Some(Reason::IdentityTooLong)),
        ("drop", 200, None),
    ] {
        let config = "headers: { x-user: sub, x-groups: groups }";
        let door = open(&format!("{{ {config}, too_long: {choice} }}")).await;
        let verified = testing::verified(&payload);
        let permit = move || testing::permit(Arc::clone(&verified));
        door.script.set(permit);
        for _ in 0..2 {
            let response = door.call("GET", FORWARD, &TRAEFIK_HEADERS).await;
            assert_eq!(response.status(), status, "{choice}");
            let user = response.headers().contains_key("x-user");
            assert_eq!(user, status == 200, "{choice}");
            assert!(!response.headers().contains_key("x-groups"), "{choice}");
        }
        assert_eq!(door.script.counted(), [reason; 2], "{choice}");
        let metrics = door.parts.metrics();
        let line = "portcullis_identity_too_long_total 2\n";
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn a_panic_is_a_refusal() {
    let door = open("{}").await;
    door.script.set(|| panic!("a bug"));
    let response = door.call("GET", NGINX, &NGINX_HEADERS).await;
    assert_eq!(response.status(), 503);
    door.script.set(testing::bypass);
    let response = door.call("GET", NGINX, &NGINX_HEADERS).await;
    assert_eq!(response.status(), 200);
    let line = "{door=\"forward_auth\",failure=\"panicked\"} 1\n";
    assert!(door.parts.metrics().contains(line));
}
