//! Operators with certificates: the admin listener over TLS, as a client library sees it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;

use super::access::verbs;
use super::grpc_access::{self, SERVICE, code_by};
use super::{WRITE, configured};
use crate::support::{Authority, Call, Reply, World, reserved_port, until};

/// A world whose admin listener asks for certificates on one of its two addresses.
struct Certified {
    world: World,
    tls: SocketAddr,
}

const OPS: &str = "spiffe://example.org/ops";

async fn certified(change: impl FnOnce(&mut Value)) -> Certified {
    let [plain, tls] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], reserved_port())));
    let builder = configured(|_| ());
    let home = builder.home().to_owned();
    let authority = Authority::new(&home, "ca");
    authority.issue("server", "subjectAltName=IP:127.0.0.1");
    authority.issue(
        "ops",
        &format!("subjectAltName=URI:{OPS},DNS:both.example.org"),
    );
    authority.issue("viewer", "subjectAltName=DNS:viewer.example.org");
    authority.issue("chief", "subjectAltName=DNS:chief.example.org");
    authority.issue("other", &format!("subjectAltName=URI:{OPS}/more"));
    authority.issue("nameless", "extendedKeyUsage=clientAuth");
    authority.issue_expired("expired", &format!("subjectAltName=URI:{OPS}"));
    Authority::new(&home, "ca2").issue("stranger", &format!("subjectAltName=URI:{OPS}"));
    let file = |name: &str| home.join(name);
    let builder = builder.config(|config| {
        config["listen"]["admin"] = json!([plain, { "address": tls, "tls": {
            "cert": file("server.pem"), "key": file("server.key"), "client_ca": file("ca.pem"),
            "client_cert_optional": true,
        }}]);
        config["audit"] = json!({ "file": file("audit.log") });
        let credentials = config["admin"]["credentials"].as_array_mut().unwrap();
        credentials.extend([
            json!({ "name": "machines", "role": "write", "certificates": ["x.example.org", OPS] }),
            json!({ "name": "leads", "role": "approve", "certificates": ["chief.example.org"] }),
            json!({ "name": "eyes", "role": "read", "certificates": ["viewer.example.org", "both.example.org"] }),
        ]);
        change(config);
    });
    let world = builder.unready().start().await;
    until("it is ready", async || {
        let reply = Call::get("/readyz").try_send(plain).await.ok()?;
        (reply.status == 200).then_some(())
    })
    .await;
    Certified { world, tls }
}

impl Certified {
    fn home(&self) -> &Path {
        self.world.home.path()
    }

    /// Sends a call with a certificate; `None` if the handshake fails.
    async fn send(&self, own: Option<&str>, call: &Call) -> Option<Reply> {
        let file = |name: String| self.home().join(name);
        let certificate = |name: &str| CertificateDer::from_pem_file(file(format!("{name}.pem")));
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca").unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let client = match own {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(file(format!("{name}.key"))).unwrap();
                let chain = vec![certificate(name).unwrap()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.tls).await.unwrap();
        let name = ServerName::from(self.tls.ip());
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, stream).await.ok()?;
        call.on(&mut stream).await.ok()
    }

    async fn status(&self, own: Option<&str>, call: &Call) -> Option<u16> {
        self.send(own, call).await.map(|reply| reply.status)
    }
}

#[tokio::test]
async fn a_certificate_has_the_role_of_its_name_and_only_a_good_one_counts() {
    let certified = certified(|_| ()).await;
    for (call, read, write, approve) in verbs(&certified.world.idp.issuer()) {
        for (own, expected) in [
            (Some("ops"), Some(write)),
            (Some("viewer"), Some(read)),
            (Some("chief"), Some(approve)),
            (Some("other"), Some(401)),
            (Some("nameless"), Some(401)),
            (None, Some(401)),
            (Some("expired"), None),
            (Some("stranger"), None),
        ] {
            let status = certified.status(own, &call).await;
            assert_eq!(status, expected, "{own:?} {call:?}");
        }
        // What a request says of itself counts, and not the certificate of its connection.
        let wrong = call.clone().bearer("wrong-secret-0123456789");
        assert_eq!(certified.status(Some("ops"), &wrong).await, Some(401));
        let secret = call.clone().bearer(WRITE);
        for own in [None, Some("viewer")] {
            assert_eq!(certified.status(own, &secret).await, Some(write));
        }
        // A browser shows its certificate for every page.
        for (header, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let foreign = call.clone().header(header, value);
            let status = certified.status(Some("ops"), &foreign).await;
            assert_eq!(status, Some(403), "{header}: {value}");
        }
    }
    assert_eq!(
        certified.status(None, &Call::get("/readyz")).await,
        Some(200)
    );
}

/// A client of gRPC with a certificate.
fn client(home: &Path, own: Option<&str>) -> reqwest::Client {
    let file = |name: String| std::fs::read(home.join(name)).unwrap();
    let ca = reqwest::Certificate::from_pem(&file("ca.pem".to_owned())).unwrap();
    let builder = reqwest::Client::builder().http2_prior_knowledge();
    let builder = builder.tls_certs_only([ca]);
    let builder = match own {
        None => builder,
        Some(name) => {
            let pem = [file(format!("{name}.pem")), file(format!("{name}.key"))].concat();
            builder.identity(reqwest::Identity::from_pem(&pem).unwrap())
        }
    };
    builder.build().unwrap()
}

#[tokio::test]
async fn over_grpc_too_a_certificate_has_the_role_of_its_name_and_only_a_good_one_counts() {
    let certified = certified(|_| ()).await;
    for (own, is_served) in [
        (Some("viewer"), true),
        (Some("ops"), true),
        (Some("chief"), true),
        (Some("other"), true),
        (Some("nameless"), true),
        (None, true),
        (Some("expired"), false),
        (Some("stranger"), false),
    ] {
        let client = client(certified.home(), own);
        for (verb, message, codes) in grpc_access::verbs(&certified.world.idp.issuer()) {
            let url = format!("https://{}{SERVICE}{verb}", certified.tls);
            let code = match own {
                Some("viewer") => codes[0],
                Some("ops") => codes[1],
                Some("chief") => codes[2],
                _ => Code::Unauthenticated,
            };
            let expected = is_served.then_some(code as u16);
            let code = code_by(&client, &url, &message, None).await;
            assert_eq!(code, expected, "{own:?} {verb}");
            if is_served {
                let wrong = Some("wrong-secret-0123456789");
                let code = code_by(&client, &url, &message, wrong).await;
                assert_eq!(code, Some(Code::Unauthenticated as u16), "{own:?} {verb}");
            }
        }
    }
}

#[tokio::test]
async fn a_command_shows_a_certificate_and_the_trail_its_name() {
    let certified = certified(|_| ()).await;
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .env_clear()
            .current_dir(certified.home())
            .env("PORTCULLIS_ADMIN", format!("https://{}", certified.tls))
            .env("PORTCULLIS_CA_FILE", "ca.pem")
            .output()
            .unwrap()
    };
    let issuer = certified.world.idp.issuer();
    let order = [
        "revoke", "--issuer", &issuer, "--match", "sub=eve", "--reason", "ticket 7",
    ];
    let own = ["--client-cert", "ops.pem", "--client-key", "ops.key"];
    let output = run(&[&order[..], &own].concat());
    assert!(output.status.success(), "{output:?}");
    let trail = std::fs::read_to_string(certified.home().join("audit.log")).unwrap();
    let line: Value = serde_json::from_str(trail.lines().next_back().unwrap()).unwrap();
    assert_eq!(line["credential"], "machines", "{line}");
    assert_eq!(line["subject"], OPS);
    assert_eq!(line["cause"], "machines: ticket 7");

    let profile = certified.home().join("profile.yaml");
    std::fs::write(&profile, "client_cert: ops.pem\nclient_key: ops.key\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&profile, mode).unwrap();
    let output = run(&["list", "--profile", "profile.yaml"]);
    assert!(output.status.success(), "{output:?}");
    let output = run(&["list"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("no credential is given"),
        "{said}"
    );
}
