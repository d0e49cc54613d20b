//! What the servers must allow, and what is refused.

use async_nats::jetstream::stream::{Config as StreamConfig, StorageType};
use portcullis::core::clock::Clock;
use portcullis::core::horizon::Horizon;
use portcullis::core::secret::Secret;
use portcullis::revocation::Retention;
use portcullis::revocation::log::nats::{Auth, Config, Nats};
use portcullis::revocation::log::{AppendError, Log};
use tempfile::TempDir;

use super::{Reader, STREAM, append, config, lasting, operator};
use crate::support::nats::{Server, Settings};

use super::open as connect;

pub(super) fn refusal(config: &Config) -> String {
    let opened = Nats::connect(
        config,
        &Clock::system(),
        &Retention::default(),
        &Horizon::default(),
    );
    opened.unwrap_err().to_string()
}

/// The reason of a loss that is not only that the connection is still being made.
async fn reason(reader: &mut Reader) -> String {
    loop {
        let why = reader.lost().await;
        if why != "not connected to NATS" {
            return why;
        }
    }
}

pub(super) async fn refused(config: &Config) -> String {
    let log = connect(config);
    let mut reader = Reader::new(&log, None);
    let why = reason(&mut reader).await;
    let error = log.append(vec![lasting("a")]).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    why
}

const USERS: &str = "authorization { users: [\
    { user: portcullis, password: right },\
] }";

#[tokio::test]
async fn wrong_credentials_are_named_and_right_ones_work() {
    let server = Server::start(&Settings {
        more: USERS.to_owned(),
        ..Settings::default()
    });
    let mut config = config(&[server.url()]);
    let why = refused(&config).await.to_lowercase();
    assert!(why.contains("authorization"), "{why}");
    config.auth = Auth {
        user: Some("portcullis".to_owned()),
        password: Some(Secret::new("hunter2").into()),
        ..Auth::default()
    };
    let why = refused(&config).await;
    assert!(why.to_lowercase().contains("authorization"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
    let home = TempDir::new().unwrap();
    let file = home.path().join("password");
    std::fs::write(&file, "right\n").unwrap();
    config.auth.password = None;
    config.auth.password_file = Some(file);
    append(&connect(&config), vec![lasting("a")]).await;
}

#[tokio::test]
async fn credentials_that_become_right_are_taken_without_a_restart() {
    let mut server = Server::start(&Settings {
        more: USERS.to_owned(),
        ..Settings::default()
    });
    let mut config = config(&[server.url()]);
    config.auth = Auth {
        user: Some("portcullis".to_owned()),
        password: Some(Secret::new("new").into()),
        ..Auth::default()
    };
    let log = connect(&config);
    let mut reader = Reader::new(&log, None);
    reason(&mut reader).await;
    server.kill();
    server.configure(|text| text.replace("right", "new"));
    server.restart();
    reader.in_sync().await;
    append(&log, vec![lasting("a")]).await;
}

#[tokio::test]
async fn a_token_is_enough() {
    let server = Server::start(&Settings {
        more: "authorization { token: open-sesame }".to_owned(),
        ..Settings::default()
    });
    let mut config = config(&[server.url()]);
    config.auth.token = Some(Secret::new("open-sesame").into());
    append(&connect(&config), vec![lasting("a")]).await;
}

#[tokio::test]
async fn files_that_are_missing_are_an_error_at_the_start() {
    let mut config = config(&["nats://127.0.0.1:1".to_owned()]);
    config.auth.creds_file = Some("/nowhere/portcullis.creds".into());
    let error = refusal(&config);
    assert!(error.contains("/nowhere/portcullis.creds"), "{error}");
    config.auth.creds_file = None;
    config.tls.ca = Some("/nowhere/ca.pem".into());
    let error = refusal(&config);
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
}

/// A stream that someone else made, as weak as possible.
async fn weak_stream(server: &Server) {
    let weak = StreamConfig {
        name: STREAM.to_owned(),
        subjects: vec!["portcullis.revocations.>".to_owned()],
        storage: StorageType::Memory,
        allow_message_ttl: true,
        ..StreamConfig::default()
    };
    operator(server).await.create_stream(weak).await.unwrap();
}

#[tokio::test]
async fn a_weaker_stream_is_refused_with_the_fix() {
    let server = Server::start(&Settings::default());
    weak_stream(&server).await;
    let why = refused(&config(&[server.url()])).await;
    for fix in ["--storage file", "--discard new", "--deny-purge"] {
        assert!(why.contains(fix), "{fix}: {why}");
    }
}

#[tokio::test]
async fn a_weaker_stream_can_be_accepted_explicitly() {
    let server = Server::start(&Settings::default());
    weak_stream(&server).await;
    let mut config = config(&[server.url()]);
    config.accept_weaker_stream = true;
    append(&connect(&config), vec![lasting("a")]).await;
}

#[tokio::test]
async fn a_stream_that_loses_durability_is_left() {
    let server = Server::start(&Settings::default());
    let log = connect(&config(&[server.url()]));
    append(&log, vec![lasting("a")]).await;
    let mut reader = Reader::new(&log, None);
    reader.in_sync().await;
    let operator = operator(&server).await;
    let stream = operator.get_stream(STREAM).await.unwrap();
    let mut weaker = stream.cached_info().config.clone();
    weaker.discard = async_nats::jetstream::stream::DiscardPolicy::Old;
    operator.update_stream(weaker.clone()).await.unwrap();
    reader
        .until(|reader, _| {
            reader
                .losses
                .iter()
                .any(|why| why.contains("--discard new"))
        })
        .await;
    let error = log.append(vec![lasting("b")]).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    weaker.discard = async_nats::jetstream::stream::DiscardPolicy::New;
    operator.update_stream(weaker).await.unwrap();
    reader.in_sync().await;
    append(&log, vec![lasting("c")]).await;
    reader.sees("c").await;
    assert_eq!((reader.seen.len(), reader.resets), (2, 0));
}

#[tokio::test]
async fn more_copies_than_servers_are_refused() {
    let server = Server::start(&Settings::default());
    let mut config = config(&[server.url()]);
    config.replicas = 3;
    let why = refused(&config).await;
    assert!(why.contains("cannot be made"), "{why}");
}

const ACCOUNTS: &str = "system_account: SYS\n\
    accounts {\n\
      SYS { users: [{ user: sys, password: secret }] }\n\
      APP { jetstream: enabled, users: [{ user: app, password: secret }] }\n\
    }";

fn with_system(server: &Server) -> Config {
    let user = |name: &str| Auth {
        user: Some(name.to_owned()),
        password: Some(Secret::new("secret").into()),
        ..Auth::default()
    };
    let mut config = config(&[server.url()]);
    config.auth = user("app");
    config.system_auth = Some(user("sys"));
    config
}

#[tokio::test]
async fn a_server_that_syncs_late_is_refused_where_it_can_be_seen() {
    let server = Server::start(&Settings {
        sync_interval: "2m",
        more: ACCOUNTS.to_owned(),
    });
    let mut config = with_system(&server);
    let why = refused(&config).await;
    assert!(why.contains("single"), "{why}");
    assert!(why.contains("sync_interval: always"), "{why}");
    config.require_sync_always = false;
    append(&connect(&config), vec![lasting("a")]).await;
}

#[tokio::test]
async fn a_server_that_syncs_every_write_is_accepted() {
    let server = Server::start(&Settings {
        more: ACCOUNTS.to_owned(),
        ..Settings::default()
    });
    append(&connect(&with_system(&server)), vec![lasting("a")]).await;
}

#[tokio::test]
async fn a_system_user_that_is_none_is_named() {
    let server = Server::start(&Settings {
        more: ACCOUNTS.to_owned(),
        ..Settings::default()
    });
    let mut config = with_system(&server);
    config.system_auth = Some(config.auth.clone());
    let why = refused(&config).await;
    assert!(why.contains("system account"), "{why}");
}

/// All that the documentation says a replica needs, and nothing else.
const LEAST: &str = r#"authorization { users: [{
  user: portcullis, password: secret
  permissions: {
    publish: [
      "portcullis.revocations.v1"
      "$JS.API.STREAM.INFO.portcullis-revocations"
      "$JS.API.STREAM.CREATE.portcullis-revocations"
      "$JS.API.STREAM.MSG.GET.portcullis-revocations"
      "$JS.API.CONSUMER.CREATE.portcullis-revocations"
      "$JS.FC.portcullis-revocations.>"
    ]
    subscribe: ["_INBOX.>"]
  }
}] }"#;

#[tokio::test]
async fn the_documented_permissions_are_enough() {
    let server = Server::start(&Settings {
        more: LEAST.to_owned(),
        ..Settings::default()
    });
    let mut config = config(&[server.url()]);
    config.auth.user = Some("portcullis".to_owned());
    config.auth.password = Some(Secret::new("secret").into());
    let log = connect(&config);
    let place = append(&log, vec![lasting("a")]).await;
    append(&log, vec![lasting("b")]).await;
    let mut reader = Reader::new(&log, Some(place));
    reader.in_sync().await;
    assert_eq!(reader.seen, ["b"]);
    // Enough for the server to ask whether the reader keeps pace.
    for n in 0..20 {
        let ids = (0..500).map(|m| lasting(&format!("{n}-{m}")));
        append(&log, ids.collect()).await;
    }
    reader.sees("19-499").await;
    assert!(reader.losses.is_empty(), "{reader:?}");
}
