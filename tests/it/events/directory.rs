//! An event names an e-mail address that no token carries: the directory says whose it is.

use serde_json::json;

use super::{STREAM, on_every_door};
use crate::support::{Call, Mint, World};

#[tokio::test]
async fn an_address_that_no_token_carries_ends_all_tokens_of_its_users() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("people.json");
    let people = json!({ "email": { "Alice@example.com": ["alice-1", "alice-2"] } });
    std::fs::write(&file, people.to_string()).unwrap();
    let world = World::builder()
        .config(|config| {
            let issuer = config["issuers"][0]["issuer"].clone();
            config["events"].as_array_mut().unwrap().push(json!({
                "name": "universal-logout",
                "format": { "global-token-revocation": { "audience": [STREAM] } },
                "issuer": issuer,
                "directory": { "file": file },
            }));
        })
        .start()
        .await;
    let asked = async |email: &str| {
        let token = Mint::new(world.idp.key(), &world.idp.issuer(), STREAM, "app-1")
            .header("typ", "global-token-revocation+jwt");
        let subject = json!({ "sub_id": { "format": "email", "email": email } });
        let call = Call::json("/events/universal-logout", &subject).bearer(&token.sign());
        call.send(world.portcullis.door("events")).await.status
    };
    let users = ["alice-1", "alice-2", "bob"];
    let [first, second, other] = users.map(|user| world.idp.token(user).sign());
    for token in [&first, &second, &other] {
        on_every_door(&world, token, 200, "before").await;
    }
    assert_eq!(
        asked("bob@example.com").await,
        422,
        "nobody has this address"
    );
    on_every_door(&world, &other, 200, "whom the directory does not have").await;
    assert_eq!(asked("alice@example.com").await, 204);
    for token in [&first, &second] {
        on_every_door(&world, token, 401, "after").await;
    }
    on_every_door(&world, &other, 200, "somebody else").await;
    let sample = "portcullis_events_total{source=\"universal-logout\",result=\"unresolved\"}";
    assert_eq!(world.portcullis.metric(sample).await, Some(1.0));
    for line in world.portcullis.process.lines() {
        assert!(!line.to_lowercase().contains("alice@example.com"), "{line}");
    }
}
