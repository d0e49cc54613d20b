//! What may come over the wire in place of a key set, and what is made of it.

use serde_json::json;

use super::keys::{Answer, Provider, name, reached, refusal, run, token};
use super::*;

/// The complaint about the first fetch.
async fn complaint(provider: &Provider, keys: KeysConfig) -> String {
    let mut world = World::new();
    world.keys = keys;
    let verifier = world.verifier(&[provider.config()]);
    run(&verifier);
    let mut states = world.readiness.watch();
    let state = states.wait_for(|state| !state.degraded.is_empty()).await;
    state.unwrap().degraded[&name()].clone()
}

#[tokio::test]
async fn redirects_stay_on_the_host_and_end() {
    let provider = Provider::start().await;
    provider.publish(&[P256.jwk("a")]);
    let elsewhere = Provider::start().await;
    elsewhere.publish(&[P256.jwk("a")]);
    let keys = KeysConfig::default();
    provider.on(
        "/keys",
        Answer::Redirect(format!("{}/keys", elsewhere.base)),
    );
    let why = complaint(&provider, keys.clone()).await;
    assert!(why.contains("another host"), "{why}");
    assert_eq!(elsewhere.asked(), 0);
    provider.on("/keys", Answer::Redirect("/keys".to_owned()));
    let why = complaint(&provider, keys).await;
    assert!(why.contains("too many redirects"), "{why}");

    provider.on("/keys", Answer::Redirect("/moved".to_owned()));
    let set = json!({"keys": [P256.jwk("a")]}).to_string();
    provider.on("/moved", Answer::Text(set));
    let mut world = World::new();
    let verifier = world.verifier(&[provider.config()]);
    run(&verifier);
    reached(&world.readiness).await;
    assert_eq!(refusal(&verifier, &token(&P256, "a")).await, None);
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_is_cut_off() {
    let provider = Provider::start().await;
    let mut keys = KeysConfig::default();
    provider.on("/keys", Answer::Flood);
    let why = complaint(&provider, keys.clone()).await;
    assert!(why.contains("larger than 1MiB"), "{why}");
    provider.on("/keys", Answer::Silence);
    keys.timeout = crate::core::units::Span(Duration::from_millis(50));
    let why = complaint(&provider, keys).await;
    assert!(why.contains("no answer within"), "{why}");
}

/// Compresses a text as a server would.
fn compressed(how: &str, text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let code = format!(
        "import sys,gzip,zlib;i,o=sys.stdin.buffer,sys.stdout.buffer;o.write({how}.compress(i.read()))"
    );
    let mut python = std::process::Command::new("python3")
        .args(["-c", &code])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text).unwrap();
    python.wait_with_output().unwrap().stdout
}

#[tokio::test]
async fn a_compressed_set_is_read_within_the_limit_of_its_size() {
    let provider = Provider::start().await;
    let set = json!({"keys": [P256.jwk("a")]}).to_string();
    for (name, how) in [("gzip", "gzip"), ("deflate", "zlib")] {
        provider.on(
            "/keys",
            Answer::Encoded(name, compressed(how, set.as_bytes())),
        );
        let mut world = World::new();
        let verifier = world.verifier(&[provider.config()]);
        run(&verifier);
        reached(&world.readiness).await;
        assert_eq!(refusal(&verifier, &token(&P256, "a")).await, None, "{name}");

        let bomb = compressed(how, &vec![b' '; 8 << 20]);
        assert!(bomb.len() < 64 << 10);
        provider.on("/keys", Answer::Encoded(name, bomb));
        let why = complaint(&provider, KeysConfig::default()).await;
        assert!(why.contains("larger than 1MiB"), "{name}: {why}");
    }
    provider.on("/keys", Answer::Encoded("br", set.into_bytes()));
    let why = complaint(&provider, KeysConfig::default()).await;
    assert!(why.contains("encoding"), "{why}");
}

#[tokio::test]
async fn an_error_about_a_key_set_names_its_cause() {
    let provider = Provider::start().await;
    for (text, cause) in [
        ("<html>", "is not JSON (line 1, column 1)"),
        ("{\"keys\":[1,}", "is not JSON (line 1, column 12)"),
        ("[]", "is JSON, but not an object"),
        ("{\"keys\":[],\"keys\":[]}", "names a member twice"),
        ("{}", "has no list `keys`"),
    ] {
        provider.on("/keys", Answer::Text(text.to_owned()));
        let why = complaint(&provider, KeysConfig::default()).await;
        assert!(
            why.contains(cause) && why.contains(&provider.base),
            "{text}: {why}"
        );
    }
}

#[tokio::test]
async fn the_age_header_counts_and_a_missing_key_bypasses_caches() {
    let provider = Provider::start().await;
    provider.publish(&[P256.jwk("a")]);
    let mut world = World::new();
    let verifier = world.verifier(&[provider.config()]);
    run(&verifier);
    reached(&world.readiness).await;
    refusal(&verifier, &token(&P256, "unknown")).await;
    assert_eq!(*provider.no_cache.lock().unwrap(), [false, true]);

    let set = json!({"keys": [P256.jwk("a")]}).to_string();
    let url = url::Url::parse(&format!("{}/aged", provider.base)).unwrap();
    provider.on("/aged", Answer::With("age", "50", set));
    let clients = crate::net::Clients::new().unwrap();
    let access = crate::net::Access::new(crate::net::Files::default(), &url, clients);
    let get = || {
        fetch::fetch(
            &access,
            url.clone(),
            crate::core::units::Bytes::mib(1),
            false,
        )
    };
    assert_eq!(get().await.unwrap().fresh_for, None);
    for (max_age, left) in [("max-age=60", 10), ("max-age=20", 0)] {
        let aged =
            axum::Router::new().fallback(async move || [("age", "50"), ("cache-control", max_age)]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, aged).await });
        let url = url::Url::parse(&url).unwrap();
        let got = fetch::fetch(&access, url, crate::core::units::Bytes::mib(1), false).await;
        let expected = Some(Duration::from_secs(left));
        assert_eq!(got.unwrap().fresh_for, expected, "{max_age}");
    }
}
