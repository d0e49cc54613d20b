//! Messages as real providers sent them, with their keys.

use super::super::provider::{door_at, recorded};
use super::*;

#[tokio::test]
async fn recorded_messages_of_real_providers_end_what_they_are_about() {
    struct Recording {
        http: &'static str,
        jwks: &'static str,
        issuer: &'static str,
        at: u64,
        options: Value,
        line: &'static str,
    }
    let keycloak = include_str!("../../../../tests/recorded/keycloak.jwks.json");
    let acme = "http://127.0.0.1:23080/realms/acme";
    let oidc_provider = include_str!("../../../../tests/recorded/oidc-provider.jwks.json");
    for recording in [
        Recording {
            http: include_str!("../../../../tests/recorded/keycloak-bcl.http"),
            jwks: keycloak,
            issuer: acme,
            at: 1_795_702_820,
            options: json!({}),
            line: "Revoke sid=CRcgf34c3XbpVHXaMOBIsKBG until 1795702819000 backchannel-logout",
        },
        Recording {
            http: include_str!("../../../../tests/recorded/keycloak-bcl-revoke-offline.http"),
            jwks: keycloak,
            issuer: acme,
            at: 1_795_702_820,
            options: json!({ "grace": "2s" }),
            line: "Revoke sid=CRcgf34c3XbpVHXaMOBIsKBG until 1795702821000 backchannel-logout",
        },
        Recording {
            http: include_str!("../../../../tests/recorded/hydra-bcl.http"),
            jwks: include_str!("../../../../tests/recorded/hydra.jwks.json"),
            issuer: "http://127.0.0.1:23200",
            at: 1_795_702_682,
            options: json!({ "require_exp": false, "session_claim": "ext.sid" }),
            line: "Revoke ext.sid=c654f6dd-15ce-48dd-b15b-911431376a90 until 1795702681000 \
                   backchannel-logout",
        },
        Recording {
            http: include_str!("../../../../tests/recorded/oidc-provider-bcl.http"),
            jwks: oidc_provider,
            issuer: "http://127.0.0.1:23100",
            at: 1_795_703_350,
            options: json!({ "sid_fallback": "subject" }),
            line: "Revoke sub=alice until 1795703349000 backchannel-logout",
        },
        Recording {
            http: include_str!("../../../../tests/recorded/oidc-provider-bcl-es256.http"),
            jwks: oidc_provider,
            issuer: "http://127.0.0.1:23100",
            at: 1_795_703_350,
            options: json!({}),
            line: "Revoke sid=RMHNLdqr952ouYB6wW3vtuaGPmuZpCdbSEQEDx9PI9W until 1795703349000 \
                   backchannel-logout",
        },
    ] {
        let mut config = config(recording.options);
        config["issuer"] = json!(recording.issuer);
        let jwks = serde_json::from_str(recording.jwks).unwrap();
        let door = door_at(&config, recording.issuer, &jwks, recording.at);
        let response = door.send(recorded(recording.http, PATH)).await;
        assert_eq!(response.status(), StatusCode::OK, "{}", recording.line);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(lines(&door), [recording.line]);
        // Half an hour later nobody takes it any more.
        let door = door_at(&config, recording.issuer, &jwks, recording.at + 1800);
        let stale = door.send(recorded(recording.http, PATH)).await;
        assert_eq!(
            stale.status(),
            StatusCode::BAD_REQUEST,
            "{}",
            recording.line
        );
        assert_eq!(door.recorded(), 0);
    }
}
