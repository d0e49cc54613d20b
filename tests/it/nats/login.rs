//! Every way to show a server who we are, and to see who it is: the right one works, and of a
//! wrong one the message says what is wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use portcullis::core::clock::Clock;
use portcullis::revocation::log::nats::Config;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::config::{refusal, refused};
use super::{append, config, lasting, open};
use crate::support::nats::{Server, Settings};

fn server(more: String) -> Server {
    Server::start(&Settings {
        more,
        ..Settings::default()
    })
}

async fn works(config: &Config) {
    append(&open(config), vec![lasting("a")]).await;
}

/// The client is turned away, and the message names the reason and no secret.
async fn is_turned_away(config: &Config, secret: &str) {
    let why = refused(config).await;
    assert!(why.to_lowercase().contains("authorization"), "{why}");
    assert!(!why.contains(secret), "{why}");
}

fn write(home: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = home.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_wrong_token_is_turned_away() {
    let server = server("authorization { token: open-sesame }".to_owned());
    let mut config = config(&[server.url()]);
    config.auth.token = Some(portcullis::core::secret::Secret::new("close-sesame").into());
    is_turned_away(&config, "close-sesame").await;
}

#[tokio::test]
async fn an_nkey_is_enough_and_a_strangers_is_turned_away() {
    let (ours, strangers) = (KeyPair::new_user(), KeyPair::new_user());
    let users = format!("users: [{{ nkey: {} }}]", ours.public_key());
    let server = server(format!("authorization {{ {users} }}"));
    let home = TempDir::new().unwrap();
    let mut config = config(&[server.url()]);
    let seed = strangers.seed().unwrap();
    config.auth.nkey_file = Some(write(&home, "stranger.nk", &seed));
    is_turned_away(&config, &seed).await;
    let seed = format!("{}\n", ours.seed().unwrap());
    config.auth.nkey_file = Some(write(&home, "ours.nk", &seed));
    works(&config).await;
    config.auth.nkey_file = Some(write(&home, "none.nk", &ours.public_key()));
    let why = refusal(&config);
    assert!(why.contains("none.nk is not a valid NKey seed"), "{why}");
}

/// A JWT as NATS has them, version 2.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let base64 = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = base64(json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let claims = base64(json!({
        "jti": subject.public_key(),
        "iat": Clock::system().now().seconds(),
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": "test",
        "nats": nats,
    }));
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

fn account_jwt(operator: &KeyPair, account: &KeyPair, storage: i64) -> String {
    let mut limits = json!({ "wildcards": true, "disk_storage": storage });
    for unlimited in [
        "subs", "data", "payload", "imports", "exports", "conn", "leaf", "streams", "consumer",
    ] {
        limits[unlimited] = json!(-1);
    }
    let nats = json!({ "type": "account", "version": 2, "limits": limits });
    jwt(operator, account, &nats)
}

fn creds(account: &KeyPair, user: &KeyPair) -> String {
    let nats = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let jwt = jwt(account, user, &nats);
    let seed = user.seed().unwrap();
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[tokio::test]
async fn a_credentials_file_is_enough_and_a_strangers_is_turned_away() {
    let operator = KeyPair::new_operator();
    let [system, account, strangers] = [(); 3].map(|()| KeyPair::new_account());
    let operator_jwt = jwt(
        &operator,
        &operator,
        &json!({ "type": "operator", "version": 2 }),
    );
    let server = server(format!(
        "operator: {operator_jwt}\n\
         system_account: {}\n\
         resolver: MEMORY\n\
         resolver_preload: {{\n{}: {}\n{}: {}\n}}",
        system.public_key(),
        system.public_key(),
        account_jwt(&operator, &system, 0),
        account.public_key(),
        account_jwt(&operator, &account, -1),
    ));
    let home = TempDir::new().unwrap();
    let user = KeyPair::new_user();
    let mut config = config(&[server.url()]);
    config.auth.creds_file = Some(write(&home, "stranger.creds", &creds(&strangers, &user)));
    is_turned_away(&config, &user.seed().unwrap()).await;
    config.auth.creds_file = Some(write(&home, "ours.creds", &creds(&account, &user)));
    works(&config).await;
    config.auth.creds_file = Some(write(&home, "none.creds", "hunter2"));
    let why = refusal(&config);
    assert!(
        why.contains("none.creds is not a valid credentials file"),
        "{why}"
    );
    assert!(!why.contains("hunter2"), "{why}");
}

/// A certificate authority and what it signed, made by openssl.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(TempDir::new().unwrap());
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
             -subj /CN=authority -days 2 -keyout ca.key -out ca.pem",
        );
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `NAME.pem` and `NAME.key`, for this machine.
    fn sign(&self, name: &str) {
        std::fs::write(self.path("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile extensions -out {name}.pem"
        ));
    }

    fn openssl(&self, words: &str) {
        let mut command = Command::new("openssl");
        command
            .args(words.split_whitespace())
            .current_dir(self.0.path());
        let output = command.output().expect("openssl can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}: {said}");
    }
}

fn tls(ours: &Authority, more: &str) -> String {
    let place = |path: &Path| path.display().to_string();
    format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", {more} }}",
        place(&ours.path("server.pem")),
        place(&ours.path("server.key")),
        place(&ours.path("ca.pem")),
    )
}

#[tokio::test]
async fn both_sides_show_certificates_and_a_wrong_one_is_named() {
    let (ours, strangers) = (Authority::new(), Authority::new());
    for name in ["server", "replica"] {
        ours.sign(name);
    }
    strangers.sign("replica");
    let server = server(tls(&ours, "verify: true"));
    let mut config = config(&[server.url()]);
    config.tls.required = true;
    config.tls.ca = Some(strangers.path("ca.pem"));
    let show = |config: &mut Config, authority: &Authority| {
        config.tls.cert = Some(authority.path("replica.pem"));
        config.tls.key = Some(authority.path("replica.key"));
    };
    show(&mut config, &ours);
    let why = refused(&config).await;
    assert!(why.contains("tls.ca"), "a strange server: {why}");
    config.tls.ca = Some(ours.path("ca.pem"));
    show(&mut config, &strangers);
    let why = refused(&config).await;
    assert!(why.contains("tls.cert"), "a strange client: {why}");
    (config.tls.cert, config.tls.key) = (None, None);
    let why = refused(&config).await;
    assert!(why.contains("tls.cert"), "a client without: {why}");
    show(&mut config, &ours);
    works(&config).await;
}

#[tokio::test]
async fn encryption_may_begin_before_the_first_word() {
    let ours = Authority::new();
    ours.sign("server");
    let server = server(tls(&ours, "handshake_first: true"));
    let mut config = config(&[server.url()]);
    config.tls.ca = Some(ours.path("ca.pem"));
    config.tls.handshake_first = true;
    works(&config).await;
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_is_left_where_that_is_required() {
    let server = Server::start(&Settings::default());
    let mut config = config(&[server.url()]);
    config.tls.required = true;
    let why = refused(&config).await;
    assert!(why.contains("wants TLS"), "{why}");
}
