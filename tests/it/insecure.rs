//! Secrets and keys cross the network in the clear only where the configuration says so.

use serde_json::{Value, json};

use crate::support::{Call, Idp, Portcullis};

const READ: &str = "read-secret-0123456789";

fn config(idp: &Idp, home: &std::path::Path) -> Value {
    let mut config = Portcullis::config(home, &idp.issuer(), &idp.jwks_uri());
    let credential = json!({ "name": "viewer", "role": "read", "secret": READ });
    config["admin"] = json!({ "credentials": [credential] });
    config
}

#[tokio::test]
async fn plain_http_that_other_machines_reach_is_refused_at_start() {
    let idp = Idp::start();
    let tls = json!({ "cert": "tls.crt", "key": "tls.key" });
    for (setting, wrong, why) in [
        ("/listen/events", json!("0.0.0.0:0"), "over plain http"),
        ("/listen/admin", json!("[::]:0"), "over plain http"),
        (
            "/listen/admin",
            json!({ "address": "192.0.2.7:0", "insecure": false }),
            "over plain http",
        ),
        (
            "/listen/events",
            json!({ "address": "0.0.0.0:0", "insecure": true, "tls": tls }),
            "has tls, so remove insecure: true",
        ),
        (
            "/listen/forward_auth",
            json!({ "address": "0.0.0.0:0", "insecure": true }),
            "insecure is for events and admin",
        ),
        (
            "/issuers/0/jwks/uri",
            json!("http://192.0.2.7/jwks"),
            "must be https; insecure: true lifts this",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        let mut config = config(&idp, home.path());
        *config.pointer_mut(setting).unwrap() = wrong;
        let (_, output) = Portcullis::fails_to_start(home.path(), &config).await;
        assert!(output.contains(why), "{setting}: {output}");
    }
}

#[tokio::test]
async fn what_is_insecure_is_logged_at_each_start_and_shown_in_status_and_metrics() {
    let (idp, home) = (Idp::start(), tempfile::tempdir().unwrap());
    let mut config = config(&idp, home.path());
    config["listen"]["events"] = json!({ "address": "0.0.0.0:0", "insecure": true });
    config["issuers"][0]["jwks"]["insecure"] = json!(true);
    let mut portcullis = Portcullis::start(home.path(), config).await;
    portcullis.ready().await;
    for _ in 0..2 {
        let call = Call::get("/v1/status").bearer(READ);
        let status = call.send(portcullis.admin()).await.body_json();
        let shown = &status["configuration"]["insecure"];
        assert_eq!(*shown, json!(["issuers[0].jwks", "listen.events"]));
        for setting in ["listen.events", "issuers[0].jwks"] {
            let sample = format!("portcullis_config_insecure{{setting=\"{setting}\"}}");
            assert_eq!(portcullis.metric(&sample).await, Some(1.0));
            let warned = |line: &String| line.contains("insecure: true") && line.contains(setting);
            let lines = portcullis.process.lines();
            assert_eq!(lines.iter().filter(|line| warned(line)).count(), 1);
        }
        portcullis.restart().await;
        portcullis.ready().await;
    }
}
