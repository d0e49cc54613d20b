use reqwest::{Client, Method};
use serde_json::json;

use super::*;
use crate::gate::testing;
use crate::proxy::testing::{Parts, Script, local, parts, places};
use crate::proxy::{Config, serve};
use crate::reason::Reason;

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
    let cases: [&[(&str, &str)]; 9] = [
        &[],
        &[uri],
        &[method],
        &[method, ("X-Original-URI", "")],
        &[method, ("X-Original-URI", "a")],
        &[method, ("X-Original-URI", "*")],
        &[("X-Original-Method", ""), uri],
        &[method, uri, ("X-Original-URI", "/public")],
        &[method, uri, method],
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
    let line = "{door=\"forward_auth\",failure=\"unreadable\"} 10\n";
    assert!(door.parts.metrics().contains(line));
}

#[tokio::test]
async fn a_permit_carries_safe_headers_and_never_the_clients() {
    let door = open("drop_authorization: true").await;
    let verified = testing::verified(&full());
    door.script
        .set(move || testing::permit(Arc::clone(&verified)));
    let mut headers = NGINX_HEADERS.to_vec();
    headers.push(("x-portcullis-subject", "root"));
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
    assert!(remove.contains(&"x_portcullis_subject"));
    assert!(!remove.contains(&"x-portcullis-subject"));
    assert_eq!(door.script.last().authorization, ["Bearer x"]);
}

#[tokio::test]
async fn what_is_not_known_has_no_header_and_envoy_is_told_to_remove_it() {
    let door = open("{}").await;
    let verified = testing::verified(&json!({ "iss": "https://id.example.com" }));
    let permit: crate::proxy::testing::Answer =
        Box::new(move || testing::permit(Arc::clone(&verified)));
    let bypass: crate::proxy::testing::Answer = Box::new(testing::bypass);
    for (answer, known) in [(permit, true), (bypass, false)] {
        door.script.set(answer);
        let spoofed = [
            ("x-portcullis-subject", "root"),
            ("x-portcullis-client", "x"),
        ];
        let response = door.call("GET", "/authz/ext-authz/a", &spoofed).await;
        assert_eq!(response.status(), 200);
        let got = response.headers();
        let remove = got["x-envoy-auth-headers-to-remove"].to_str().unwrap();
        for name in ["x-portcullis-subject", "x-portcullis-client"] {
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
        let (status, challenge) = match reason {
            Reason::MissingToken => (401, Some("Bearer realm=\"shop\"")),
            Reason::InsufficientScope => (
                403,
                Some("Bearer realm=\"shop\", error=\"insufficient_scope\""),
            ),
            Reason::Forbidden => (403, None),
            Reason::NotReady | Reason::Stale => (503, None),
            _ => (401, Some("Bearer realm=\"shop\", error=\"invalid_token\"")),
        };
        assert_eq!(response.status(), status, "{reason}");
        let headers = response.headers();
        let got = headers.get("www-authenticate").map(|v| v.to_str().unwrap());
        assert_eq!(got, challenge, "{reason}");
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
