//! Key sets behind a private authority, a client certificate and a bearer token: a TLS server that
//! asks for all three, and files that change while Portcullis runs.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Authority, Door, Process, World, until};

/// Serves `keys.json`, and `metadata.json` for discovery, to those who show a certificate of the authority and the
/// bearer token in `expected`.
const SERVER: &str = r#"
import http.server, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.headers.get("authorization") == "Bearer " + open("expected").read()
        name = "metadata.json" if "well-known" in self.path else "keys.json"
        body = open(name, "rb").read() if good else b""
        self.send_response(200 if good else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
context.load_verify_locations("ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_port, flush=True)
server.serve_forever()
"#;

/// The server's base address, and the `jwks` that reaches it.
async fn start(home: &Path) -> (Process, String, Value) {
    let authority = Authority::new(home, "ca");
    authority.issue("server", "subjectAltName=IP:127.0.0.1");
    authority.issue("client", "extendedKeyUsage=clientAuth");
    std::fs::write(home.join("expected"), "first-token").unwrap();
    std::fs::write(home.join("bearer"), "first-token\n").unwrap();
    let mut command = Command::new("python3");
    let server = Process::spawn("key server", command.current_dir(home).args(["-c", SERVER]));
    let base = format!("https://127.0.0.1:{}", port(&server).await);
    let jwks = json!({
        "uri": format!("{base}/keys"),
        "ca_file": home.join("ca.pem"),
        "client_cert_file": home.join("client.pem"),
        "client_key_file": home.join("client.key"),
        "bearer_token_file": home.join("bearer"),
    });
    (server, base, jwks)
}

async fn port(server: &Process) -> u16 {
    until("the server listens", async || {
        let lines = server.lines();
        lines
            .iter()
            .find_map(|line| line.strip_prefix("port ")?.parse().ok())
    })
    .await
}

async fn degraded(world: &World) -> Value {
    world.portcullis.readiness().await.body_json()["degraded"].clone()
}

async fn until_degraded(world: &World, why: &str) {
    until(why, async || {
        degraded(world)
            .await
            .to_string()
            .contains(why)
            .then_some(())
    })
    .await;
}

async fn until_well(world: &World) {
    until("the keys can be fetched", async || {
        (degraded(world).await == json!({})).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_are_fetched_with_a_private_authority_a_certificate_and_a_bearer_token() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let write = |name: &str, text: &str| std::fs::write(home.join(name), text).unwrap();
    let (_server, _base, jwks) = start(home).await;

    let mut world = World::builder()
        .idp(|idp| {
            write("keys.json", &json!({"keys": [idp.key().jwk()]}).to_string());
        })
        .config(|config| {
            config["keys"] = json!({"refresh": "1s", "min_refresh": "1s", "max_refresh": "1s"});
            config["issuers"][0]["jwks"] = jwks;
        })
        .start()
        .await;
    let token = world.idp.token("alice").sign();
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);

    // The server wants another token now, and gets it once the file has it.
    write("expected", "second-token");
    until_degraded(&world, "401").await;
    write("bearer", "second-token\n");
    until_well(&world).await;

    // So with the certificate.
    let certificate = std::fs::read_to_string(home.join("client.pem")).unwrap();
    write("client.pem", "rubbish");
    until_degraded(&world, "client.pem").await;
    write("client.pem", &certificate);
    until_well(&world).await;
    for secret in ["first-token", "second-token"] {
        world.portcullis.assert_never_logged(secret);
    }
    world.portcullis.assert_never_logged("BEGIN PRIVATE KEY");

    // Without the authority the server is not believed, without a certificate it answers nothing.
    for missing in [&["ca_file"][..], &["client_cert_file", "client_key_file"]] {
        world.portcullis.reconfigure(|config| {
            for name in missing {
                config["issuers"][0]["jwks"]
                    .as_object_mut()
                    .unwrap()
                    .remove(*name);
            }
        });
        world.portcullis.restart().await;
        until_degraded(&world, "https://127.0.0.1").await;
        world.portcullis.reconfigure(|config| {
            config["issuers"][0]["jwks"]["ca_file"] = json!(home.join("ca.pem"));
        });
    }
}

#[tokio::test]
async fn discovery_over_https_leads_to_no_plain_http_on_this_machine() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let (_server, base, mut jwks) = start(home).await;
    let point_to = |jwks_uri: &str| {
        let metadata = json!({"issuer": base, "jwks_uri": jwks_uri});
        std::fs::write(home.join("metadata.json"), metadata.to_string()).unwrap();
    };
    jwks.as_object_mut().unwrap().remove("uri");
    jwks["discovery"] = json!(true);
    let world = World::builder()
        .idp(|idp| {
            let keys = json!({"keys": [idp.key().jwk()]}).to_string();
            std::fs::write(home.join("keys.json"), keys).unwrap();
            point_to(&idp.jwks_uri());
        })
        .config(|config| {
            config["issuers"][0]["issuer"] = json!(base);
            config["issuers"][0]["jwks"] = jwks;
            config["events"][0]["issuer"] = json!(base);
        })
        .unready()
        .start()
        .await;
    until_degraded(&world, "must be https").await;
    assert_eq!(world.idp.key_fetches(), 0);
    point_to(&format!("{base}/keys"));
    until_well(&world).await;
    let token = world.idp.token("alice").claim("iss", base).sign();
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
}
