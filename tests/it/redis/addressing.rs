//! TLS.

use std::process::Command;

use portcullis::revocation::log::redis::Tls;

use super::*;
use crate::support::redis::DURABLE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_an_authority_of_our_own() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let files = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .current_dir(files.path())
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '))
        .args("-keyout key.pem -out cert.pem -subj /CN=localhost".split(' '))
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{made:?}");
    let path = |name: &str| files.path().join(name).display().to_string();
    let (port, cert, key) = (free_port(), path("cert.pem"), path("key.pem"));
    let tls = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    let no_client_certificates = ["--tls-auth-clients", "no"];
    let arguments = [&DURABLE[..], &tls, &no_client_certificates].concat();
    let server = Server::start_with(&arguments).await;
    let mut config = config(server.socket());
    config.server = Some(at(&port));
    config.tls = Some(Tls {
        ca: Some(files.path().join("cert.pem")),
        ..Tls::default()
    });
    append(&connect(&config), "a").await.unwrap();
    // Who is not vouched for is not talked to.
    config.tls = Some(Tls::default());
    unavailable(append(&connect(&config), "b").await);
}

#[test]
fn files_that_are_missing_show_at_start() {
    let mut config = config("/nowhere".into());
    config.password_file = Some("/nowhere/password".into());
    let refused = Redis::connect(
        &config,
        &Clock::manual(NOW),
        &retention(),
        &portcullis::core::horizon::Horizon::default(),
    );
    let refused = refused.unwrap_err();
    assert!(
        refused.to_string().contains("/nowhere/password"),
        "{refused}"
    );
}
