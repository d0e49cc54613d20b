//! Sources whose senders prove themselves by a certificate, beside others on the same listener.

use std::path::Path;

use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Authority, HOOK_PASSWORD, HOOK_USER, Idp, Portcullis};

const SENDER: &str = "spiffe://example.org/identity-provider";

/// A client that shows the certificate `own`.
fn client(home: &Path, own: Option<&str>) -> Client {
    let read = |name: String| std::fs::read(home.join(name)).unwrap();
    let trusted = Certificate::from_pem(&read("ca.pem".to_owned())).unwrap();
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

async fn start(home: &Path) -> (Idp, Portcullis) {
    let idp = Idp::start();
    let authority = Authority::new(home, "ca");
    authority.issue("server", "subjectAltName=IP:127.0.0.1");
    authority.issue("sender", &format!("subjectAltName=URI:{SENDER}"));
    authority.issue("other", "subjectAltName=DNS:example.org");
    let strange = Authority::new(home, "ca2");
    strange.issue("stranger", &format!("subjectAltName=URI:{SENDER}"));
    let mut config = Portcullis::config(home, &idp.issuer(), &idp.jwks_uri());
    config["listen"]["events"] = json!({ "address": "127.0.0.1:0", "tls": {
        "cert": home.join("server.pem"), "key": home.join("server.key"),
        "client_ca": home.join("ca.pem"), "client_cert_optional": true,
    } });
    let rule = json!({ "when": { "type": "gone" }, "target": { "sub": "user" } });
    let issuer = config["issuers"][0]["issuer"].clone();
    config["events"].as_array_mut().unwrap().push(json!({
        "name": "certified",
        "format": { "mapped": { "type": "type", "rules": [rule] } },
        "issuer": issuer,
        "auth": { "client_certificate": { "names": SENDER } },
    }));
    let portcullis = Portcullis::start(home, config).await;
    portcullis.ready().await;
    (idp, portcullis)
}

#[tokio::test]
async fn a_sender_proves_itself_by_its_certificate_and_another_source_needs_none() {
    let home = TempDir::new().unwrap();
    let (_idp, portcullis) = start(home.path()).await;
    let event = json!({ "type": "gone", "user": "alice" });
    let post = async |own: Option<&str>, source: &str, body: &Value| {
        let url = format!("https://{}/events/{source}", portcullis.door("events"));
        let request = client(home.path(), own).post(url);
        let request = request.header("content-type", "application/json");
        let request = request.basic_auth(HOOK_USER, Some(HOOK_PASSWORD));
        let answer = request.body(body.to_string()).send().await;
        answer.map(|answer| answer.status().as_u16()).ok()
    };
    assert_eq!(post(Some("sender"), "certified", &event).await, Some(200));
    assert_eq!(
        post(Some("other"), "certified", &event).await,
        Some(401),
        "another name"
    );
    assert_eq!(
        post(None, "certified", &event).await,
        Some(401),
        "no certificate"
    );
    assert_eq!(
        post(Some("stranger"), "certified", &event).await,
        None,
        "another authority"
    );
    let test = json!({ "event": { "type": "test" } });
    assert_eq!(
        post(None, "fusionauth", &test).await,
        Some(200),
        "by its password"
    );
}
