//! The official packages `standardwebhooks` and `svix` sign webhooks, and the tokens that these are about
//! are refused.

use std::process::Command;

use portcullis::core::clock::Clock;
use serde_json::{Value, json};

use super::{on_every_door, path, session};
use crate::support::{Call, World, tool};

const OLD: &str = "whsec_b2xkIHNlY3JldCBvZiB0aGUgc2VuZGVyIDAx";
const NEW: &str = "whsec_bmV3IHNlY3JldCBvZiB0aGUgc2VuZGVyIDAy";
const UNKNOWN: &str = "whsec_bm8gc2VjcmV0IG9mIHRoaXMgc291cmNlIDAz";

/// Has a package sign the end of a user's session.
fn ended(package: &str, secret: &str, user: &str) -> Call {
    let body = json!({ "type": "session.ended", "session": session(user) }).to_string();
    let (id, at) = (format!("msg_{user}"), Clock::system().now().seconds());
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/events/webhook_signers.mjs"
    );
    let mut command = Command::new(tool("node"));
    command.arg(script).arg(tool("webhook_signers"));
    command.args([secret, &id, &at.to_string(), &body]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let signed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let signature = signed[package].as_str().unwrap();
    let prefix = match package {
        "svix" => "svix",
        _ => "webhook",
    };
    Call::post(&path("hooks"), body)
        .header("content-type", "application/json")
        .header(&format!("{prefix}-id"), id)
        .header(&format!("{prefix}-timestamp"), at.to_string())
        .header(&format!("{prefix}-signature"), signature)
}

#[tokio::test]
async fn events_signed_by_the_official_packages_are_accepted_during_a_rotation() {
    let world = World::builder()
        .config(|config| {
            let issuer = config["issuers"][0]["issuer"].clone();
            let sources = config["events"].as_array_mut().unwrap();
            sources.push(json!({
                "name": "hooks",
                "format": { "mapped": {
                    "type": "type",
                    "rules": [{
                        "when": { "type": "session.ended" },
                        "target": { "sid": "session" },
                        "cut_off": "none",
                    }],
                } },
                "issuer": issuer,
                "auth": { "standard_webhooks": { "secret": [OLD, NEW] } },
            }));
        })
        .start()
        .await;
    let events = world.portcullis.door("events");
    for (package, secret) in [
        ("standardwebhooks", OLD),
        ("standardwebhooks", NEW),
        ("svix", OLD),
        ("svix", NEW),
    ] {
        let user = format!("{package}-{}", if secret == OLD { "old" } else { "new" });
        let token = world.idp.token(&user).claim("sid", session(&user)).sign();
        let forged = ended(package, UNKNOWN, &user).send(events).await;
        assert_eq!(forged.status, 401, "{user}");
        on_every_door(&world, &token, 200, &user).await;
        let reply = ended(package, secret, &user).send(events).await;
        assert_eq!(reply.status, 200, "{user}: {}", reply.text());
        on_every_door(&world, &token, 401, &user).await;
    }
}
