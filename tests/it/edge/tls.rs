//! TLS on the listeners, as openssl, a client library and the real Envoy see it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    Authority, Backend, Call, Envoy, HOOK_PASSWORD, HOOK_USER, Idp, PATIENCE, Portcullis,
    fusionauth_event, until,
};

const SENDER: &str = "spiffe://example.org/identity-provider";

/// Portcullis with TLS on every listener. Senders of events must show a certificate with the name
/// [`SENDER`].
struct Secured {
    idp: Idp,
    home: TempDir,
    portcullis: Portcullis,
}

impl Secured {
    async fn start() -> Self {
        let (idp, home) = (Idp::start(), TempDir::new().unwrap());
        let authority = Authority::new(home.path(), "ca");
        authority.issue("server", "subjectAltName=IP:127.0.0.1");
        authority.issue("sender", &format!("subjectAltName=URI:{SENDER}"));
        let file = |name: &str| home.path().join(name);
        let tls = json!({ "cert": file("server.pem"), "key": file("server.key") });
        let mut mutual = tls.clone();
        mutual["client_ca"] = json!(file("ca.pem"));
        mutual["allowed_names"] = json!([SENDER]);
        let listen = |tls: &Value| json!({ "address": "127.0.0.1:0", "tls": tls });
        let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
        config["listen"]["ext_authz"] = listen(&tls);
        config["listen"]["forward_auth"] = listen(&tls);
        config["listen"]["events"] = listen(&mutual);
        let portcullis = Portcullis::start(home.path(), config).await;
        portcullis.ready().await;
        Self {
            idp,
            home,
            portcullis,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    /// A client that trusts `authority` and shows the certificate `own`.
    fn client(&self, authority: &str, own: Option<&str>) -> Client {
        let read = |name: String| std::fs::read(self.path(&name)).unwrap();
        let trusted = Certificate::from_pem(&read(format!("{authority}.pem"))).unwrap();
        let builder = Client::builder().tls_certs_only([trusted]);
        let builder = match own {
            None => builder,
            Some(name) => {
                let pem = [read(format!("{name}.key")), read(format!("{name}.pem"))].concat();
                builder.identity(Identity::from_pem(&pem).unwrap())
            }
        };
        builder.build().unwrap()
    }

    /// Asks whether a token passes: the status, or why there is none.
    async fn check(&self, client: &Client, token: &str) -> Result<u16, String> {
        let url = format!(
            "https://{}/authz/ext-authz/orders",
            self.portcullis.forward_auth()
        );
        let answer = client.get(url).bearer_auth(token).send().await;
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| format!("{error:?}"))
    }

    async fn lock(&self, client: &Client, subject: &str) -> Result<u16, String> {
        let url = format!(
            "https://{}/events/fusionauth",
            self.portcullis.door("events")
        );
        let event = fusionauth_event("user.deactivate", json!({ "user": { "id": subject } }));
        let request = client.post(url).basic_auth(HOOK_USER, Some(HOOK_PASSWORD));
        let answer = request
            .header("content-type", "application/json")
            .body(event.to_string())
            .send()
            .await;
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| format!("{error:?}"))
    }

    fn replace(&self, name: &str, with: &[u8]) {
        let next = self.path("next");
        std::fs::write(&next, with).unwrap();
        std::fs::rename(next, self.path(name)).unwrap();
    }
}

#[tokio::test]
async fn events_and_checks_come_over_tls() {
    let secured = Secured::start().await;
    let client = secured.client("ca", Some("sender"));
    let token = secured.idp.token("alice").sign();
    assert_eq!(secured.check(&client, &token).await, Ok(200));
    assert_eq!(secured.lock(&client, "alice").await, Ok(200));
    assert_eq!(secured.check(&client, &token).await, Ok(401));
}

#[tokio::test]
async fn a_client_without_the_right_certificate_is_refused() {
    let secured = Secured::start().await;
    let home = secured.home.path();
    let authority = Authority::new(home, "ca2");
    authority.issue("stranger", &format!("subjectAltName=URI:{SENDER}"));
    // What the trusted authority issued, with another name, without one, and too long ago.
    let trusted = Authority::existing(home, "ca");
    trusted.issue(
        "other",
        &format!("subjectAltName=URI:{SENDER}/more,DNS:example.org"),
    );
    trusted.issue("nameless", "extendedKeyUsage=clientAuth");
    let name = format!("subjectAltName=URI:{SENDER}");
    trusted.issue_expired("expired", &name);
    for name in ["stranger", "other", "nameless", "expired"] {
        let client = secured.client("ca", Some(name));
        let refused = secured.lock(&client, "alice").await;
        assert!(refused.is_err(), "{name}: {refused:?}");
    }
    let refused = secured.lock(&secured.client("ca", None), "alice").await;
    assert!(refused.is_err(), "no certificate: {refused:?}");
    let good = secured.client("ca", Some("sender"));
    assert_eq!(secured.lock(&good, "alice").await, Ok(200));
}

#[tokio::test]
async fn certificates_change_while_connections_are_open() {
    let secured = Secured::start().await;
    let (old, token) = (
        secured.client("ca", None),
        secured.idp.token("alice").sign(),
    );
    assert_eq!(secured.check(&old, &token).await, Ok(200));
    secured.replace("server.pem", b"rubbish");
    // Files are looked at when a connection comes, once a second.
    until("the bad file is reported", async || {
        let fresh = secured.client("ca", None);
        assert_eq!(secured.check(&fresh, &token).await, Ok(200));
        let lines = secured.portcullis.process.lines();
        let reported = lines.iter().any(|line| line.contains("the old ones stay"));
        reported.then_some(())
    })
    .await;

    let authority = Authority::new(secured.home.path(), "ca2");
    authority.issue("server2", "subjectAltName=IP:127.0.0.1");
    for end in ["key", "pem"] {
        let content = std::fs::read(secured.path(&format!("server2.{end}"))).unwrap();
        secured.replace(&format!("server.{end}"), &content);
    }
    until("new connections get the new certificate", async || {
        let new = secured.client("ca2", None);
        (secured.check(&new, &token).await == Ok(200)).then_some(())
    })
    .await;
    assert_eq!(
        secured.check(&old, &token).await,
        Ok(200),
        "an open connection goes on"
    );
    let fresh = secured.check(&secured.client("ca", None), &token).await;
    assert!(fresh.is_err(), "{fresh:?}");
}

/// Runs `openssl s_client` against a listener; what it prints, if the handshake succeeded.
fn handshake(home: &Path, to: SocketAddr, arguments: &[&str]) -> Option<String> {
    let output = Command::new("openssl")
        .current_dir(home)
        .args(["s_client", "-connect", &to.to_string(), "-CAfile", "ca.pem"])
        .args(["-verify_return_error", "-brief"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(said)
}

#[tokio::test]
async fn old_versions_and_weak_ciphers_are_refused() {
    let secured = Secured::start().await;
    let (home, to) = (secured.home.path(), secured.portcullis.forward_auth());
    for good in [&["-tls1_2"][..], &["-tls1_3"], &["-alpn", "http/1.1"]] {
        assert!(handshake(home, to, good).is_some(), "{good:?}");
    }
    for bad in [
        &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"][..],
        &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-SHA@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "eNULL:aNULL@SECLEVEL=0"],
        &["-alpn", "h2"],
    ] {
        assert!(handshake(home, to, bad).is_none(), "{bad:?}");
    }
}

/// The ciphers of TLS 1.2 and earlier that the openssl here can speak, weak ones too.
fn all_ciphers() -> Vec<String> {
    let output = Command::new("openssl")
        .args(["ciphers", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"])
        .output()
        .unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let names = names.trim().split(':');
    let old = names.filter(|name| !name.starts_with("TLS_"));
    old.map(str::to_owned).collect()
}

/// Each cipher is offered alone. With a key for ECDSA, three remain (RFC 9325 section 4.2).
#[tokio::test]
async fn of_all_ciphers_only_those_with_forward_secrecy_and_aead_are_accepted() {
    let secured = Secured::start().await;
    let ciphers = all_ciphers();
    assert!(ciphers.len() > 30, "{ciphers:?}");
    for (door, protocol) in [("ext_authz", "h2"), ("forward_auth", "http/1.1")] {
        let to = secured.portcullis.door(door);
        let takes = |cipher: &&String| {
            let alone = format!("{cipher}@SECLEVEL=0");
            let offer = ["-tls1_2", "-alpn", protocol, "-cipher", &*alone];
            handshake(secured.home.path(), to, &offer).is_some()
        };
        let mut accepted: Vec<_> = ciphers.iter().filter(takes).collect();
        accepted.sort();
        let expected = [
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ];
        assert_eq!(accepted, expected, "{door}");
    }
}

#[tokio::test]
async fn another_authority_of_clients_takes_over_while_connections_are_open() {
    let secured = Secured::start().await;
    let (home, name) = (secured.home.path(), format!("subjectAltName=URI:{SENDER}"));
    std::fs::copy(secured.path("ca.pem"), secured.path("server-ca.pem")).unwrap();
    let old = secured.client("server-ca", Some("sender"));
    assert_eq!(secured.lock(&old, "alice").await, Ok(200));
    Authority::new(home, "ca2").issue("sender2", &name);
    secured.replace("ca.pem", &std::fs::read(secured.path("ca2.pem")).unwrap());
    until("the new authority's client is let in", async || {
        let new = secured.client("server-ca", Some("sender2"));
        (secured.lock(&new, "bob").await == Ok(200)).then_some(())
    })
    .await;
    assert_eq!(
        secured.lock(&old, "carol").await,
        Ok(200),
        "an open connection"
    );
    let fresh = secured.client("server-ca", Some("sender"));
    let refused = secured.lock(&fresh, "carol").await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn plain_http_gets_no_answer_from_a_tls_listener_nor_tls_from_a_plain_one() {
    let secured = Secured::start().await;
    let mut stream = TcpStream::connect(secured.portcullis.forward_auth())
        .await
        .unwrap();
    let request = b"GET /authz/ext-authz/healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection was not closed");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let admin = secured.portcullis.admin();
    assert!(handshake(secured.home.path(), admin, &[]).is_none());
    assert_eq!(Call::get("/healthz").send(admin).await.status, 200);
}

#[tokio::test]
async fn a_thousand_half_open_handshakes_keep_nobody_out() {
    let secured = Secured::start().await;
    let (client, token) = (
        secured.client("ca", None),
        secured.idp.token("alice").sign(),
    );
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(secured.portcullis.forward_auth())
            .await
            .unwrap();
        // The beginning of a ClientHello (RFC 8446 §5.1); one that was pushed out may be reset.
        let _ = stream.write_all(&[22, 3, 1, 2, 0, 1]).await;
        open.push(stream);
    }
    assert_eq!(secured.check(&client, &token).await, Ok(200));
    let fresh = secured.client("ca", None);
    assert_eq!(secured.check(&fresh, &token).await, Ok(200));
}

#[tokio::test]
async fn envoy_asks_over_tls() {
    let secured = Secured::start().await;
    let backend = Backend::start();
    let (home, to) = (secured.home.path(), secured.portcullis.door("ext_authz"));
    let envoy = Envoy::start_over_tls(home, to, &secured.path("ca.pem"), backend.0.address).await;
    let token = secured.idp.token("alice").sign();
    let ask = Call::get("/orders").bearer(&token);
    assert_eq!(ask.send(envoy.edge).await.status, 200);
    let client = secured.client("ca", Some("sender"));
    assert_eq!(secured.lock(&client, "alice").await, Ok(200));
    assert_eq!(ask.send(envoy.edge).await.status, 401);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_an_error_at_the_start() {
    let (idp, home) = (Idp::start(), TempDir::new().unwrap());
    let authority = Authority::new(home.path(), "ca");
    authority.issue("server", "subjectAltName=IP:127.0.0.1");
    authority.issue("other", "subjectAltName=IP:127.0.0.1");
    let file = |name: &str| home.path().join(name);
    for (cert, key, client_ca, names) in [
        ("absent.pem", "server.key", None, "absent.pem"),
        ("server.pem", "server.pem", None, "server.pem"),
        ("server.pem", "other.key", None, "server.pem"),
        ("server.pem", "server.key", Some("ca.key"), "ca.key"),
    ] {
        let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
        config["listen"]["events"] = json!({
            "address": "127.0.0.1:0",
            "tls": { "cert": file(cert), "key": file(key), "client_ca": client_ca.map(file) },
        });
        let (_, output) = Portcullis::fails_to_start(home.path(), &config).await;
        assert!(output.contains(names), "{cert} {key}: {output}");
    }
}
