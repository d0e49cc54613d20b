//! What is said about a token that none of the known keys signed: a fetch settles it, and without
//! one nobody is blamed.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::keys::{Answer, Provider, name, reached, refusal, run, token, until};
use super::*;

async fn start(
    keys: &[Value],
    change: impl FnOnce(&mut World),
) -> (Provider, World, Arc<Verifier>) {
    let provider = Provider::start().await;
    provider.publish(keys);
    let mut world = World::new();
    change(&mut world);
    let verifier = world.verifier(&[provider.config()]);
    run(&verifier);
    reached(&world.readiness).await;
    (provider, world, verifier)
}

/// Tokens that newer keys might explain: an unknown name, a known name with another key's
/// signature, a known name with another algorithm, no name.
fn doubtful() -> [String; 4] {
    let nameless = br#"{"alg":"ES256"}"#;
    [
        P256_2.token("ES256", "new", &claims_of_now()),
        P256_2.token("ES256", "a", &claims_of_now()),
        RSA.token("RS256", "a", &claims_of_now()),
        P256_2.seal("ES256", nameless, claims_of_now().to_string().as_bytes()),
    ]
}

/// Issued after the keys were fetched.
fn claims_of_now() -> Value {
    with("iat", NOW)
}

#[tokio::test]
async fn a_new_key_is_found_whatever_name_it_has() {
    for (i, token) in doubtful().into_iter().enumerate() {
        let (provider, _world, verifier) = start(&[P256.jwk("a")], |_| {}).await;
        let known_as = ["new", "a", "a", "b"][i];
        let signer = if i == 2 { &*RSA } else { &*P256_2 };
        provider.publish(&[signer.jwk(known_as)]);
        assert_eq!(refusal(&verifier, &token).await, None, "{i}");
    }
}

#[tokio::test]
async fn without_an_answer_of_the_provider_a_doubtful_token_is_503() {
    for (i, token) in doubtful().into_iter().enumerate() {
        for silent in [false, true] {
            let short = |world: &mut World| {
                world.keys.timeout = crate::core::units::Span(Duration::from_millis(200));
            };
            let (provider, _world, verifier) = start(&[P256.jwk("a")], short).await;
            if silent {
                provider.on("/keys", Answer::Silence);
            } else {
                provider.fail();
            }
            let reason = refusal(&verifier, &token).await;
            assert_eq!(
                reason,
                Some(Reason::KeysUnavailable),
                "{i}, silent: {silent}"
            );
            provider.publish(&[P256.jwk("a")]);
            let known = async || refusal(&verifier, &token).await != Some(Reason::KeysUnavailable);
            if !silent {
                until(known).await;
            }
        }
    }
}

#[tokio::test]
async fn a_flood_of_unknown_kids_costs_few_fetches() {
    let (provider, _world, verifier) = start(&[P256.jwk("a")], |_| {}).await;
    let before = provider.asked();
    let mut tasks = JoinSet::new();
    for i in 0..1000 {
        let verifier = Arc::clone(&verifier);
        let token = token(&P256, &format!("random-{i}"));
        tasks.spawn(async move { refusal(&verifier, &token).await });
    }
    for reason in tasks.join_all().await {
        let reason = reason.unwrap();
        let is_honest = matches!(
            reason,
            Reason::UnknownKey | Reason::KeysUnavailable | Reason::Overloaded
        );
        assert!(is_honest, "{reason}");
    }
    let fetches = provider.asked() - before;
    assert!(fetches <= 5, "{fetches}");
    assert_eq!(refusal(&verifier, &token(&P256, "a")).await, None);

    // The names' budget is used up; signatures have their own.
    while refusal(&verifier, &token(&P256, "more")).await == Some(Reason::UnknownKey) {}
    provider.publish(&[P256_2.jwk("a")]);
    assert_eq!(refusal(&verifier, &token(&P256_2, "a")).await, None);
}

/// With the budget used up, only a token that is older than the keys is known to be forged.
#[tokio::test]
async fn a_bad_signature_is_known_to_be_bad_on_a_token_older_than_the_keys() {
    let (_provider, world, verifier) = start(&[P256.jwk("a")], |_| {}).await;
    world.clock.advance(Duration::from_secs(100));
    let forged = |iat: u64| P256_2.token("ES256", "a", &with("iat", iat));
    let mut asked = 0;
    let reason = loop {
        asked += 1;
        let reason = refusal(&verifier, &forged(NOW + 90 + asked)).await;
        if reason != Some(Reason::BadSignature) {
            break reason;
        }
    };
    assert_eq!(reason, Some(Reason::KeysUnavailable));
    assert!(asked > 4, "{asked}");
    let old = refusal(&verifier, &forged(NOW - 60)).await;
    assert_eq!(old, Some(Reason::BadSignature));
    let timeless = P256_2.token("ES256", "a", &without("iat"));
    let reason = refusal(&verifier, &timeless).await;
    assert_eq!(reason, Some(Reason::KeysUnavailable));
}

#[tokio::test]
async fn a_set_without_usable_keys_withdraws_the_old_ones_at_once() {
    for empty in ["{\"keys\":[]}", "{\"keys\":[{\"kty\":\"RSA\"}]}"] {
        let no_cooldown =
            |world: &mut World| world.keys.cooldown = crate::core::units::Span::secs(0);
        let (provider, world, verifier) = start(&[P256.jwk("a")], no_cooldown).await;
        let good = token(&P256, "a");
        assert_eq!(refusal(&verifier, &good).await, None);
        provider.on("/keys", Answer::Text(empty.to_owned()));
        refusal(&verifier, &token(&P256, "unknown")).await;
        assert_eq!(refusal(&verifier, &good).await, Some(Reason::UnknownKey));
        assert!(world.readiness.state().degraded.contains_key(&name()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &world.registry).unwrap();
        let counted = "key_fetches_total{issuer=\"https://id.example.com\",result=\"empty\"}";
        assert!(text.contains(&format!("{counted} 2")), "{text}");

        provider.publish(&[P256.jwk("a")]);
        assert_eq!(refusal(&verifier, &good).await, None);
        provider.on("/keys", Answer::Text("{".to_owned()));
        refusal(&verifier, &token(&P256, "unknown")).await;
        assert_eq!(refusal(&verifier, &good).await, None);
    }
}

#[tokio::test]
async fn a_file_without_usable_keys_withdraws_the_old_ones_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(&json!({"keys": [P256.jwk("a")]}).to_string());
    let mut config = issuer(&[]);
    config["jwks"] = json!({"file": path});
    let mut world = World::new();
    world.keys.cooldown = crate::core::units::Span::secs(0);
    let verifier = world.verifier(&[config]);
    run(&verifier);
    reached(&world.readiness).await;
    let good = token(&P256, "a");
    assert_eq!(refusal(&verifier, &good).await, None);
    write("{\"keys\":[]}");
    refusal(&verifier, &token(&P256, "unknown")).await;
    assert_eq!(refusal(&verifier, &good).await, Some(Reason::UnknownKey));
}
