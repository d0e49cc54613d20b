//! Whether the servers write to disk before they acknowledge. Only a user of their system account can
//! see it.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;

use super::config::{Auth, Config};
use super::link;

const QUESTION: &str = "$SYS.REQ.SERVER.PING.JSZ";

/// Every server answers on its own. After this much silence all of them have answered.
const SILENCE: Duration = Duration::from_millis(500);

/// Returns the names of the servers that acknowledge before they write to disk.
pub(super) async fn late_writers(config: &Config, auth: &Auth) -> Result<Vec<String>, String> {
    let options = link::options(config, auth).map_err(|error| error.to_string())?;
    let servers = link::addresses(config).map_err(|error| error.to_string())?;
    let client = options
        .connect(servers)
        .await
        .map_err(|error| format!("system_auth: {error}"))?;
    let inbox = client.new_inbox();
    let unasked = |error: String| format!("the servers' settings cannot be asked for: {error}");
    let mut answers = client
        .subscribe(inbox.clone())
        .await
        .map_err(|error| unasked(error.to_string()))?;
    client
        .publish_with_reply(QUESTION, inbox, r#"{"config":true}"#.into())
        .await
        .map_err(|error| unasked(error.to_string()))?;
    let mut late = Vec::new();
    let mut heard = 0_usize;
    while let Ok(Some(message)) = timeout(SILENCE, answers.next()).await {
        let Ok(answer) = serde_json::from_slice::<Value>(&message.payload) else {
            continue;
        };
        heard += 1;
        let settings = answer.pointer("/data/config").and_then(Value::as_object);
        if settings.is_some_and(|settings| settings.get("sync_always") != Some(&Value::Bool(true)))
        {
            let name = answer.pointer("/server/name").and_then(Value::as_str);
            late.push(name.unwrap_or("a server without a name").to_owned());
        }
    }
    if heard == 0 {
        return Err(
            "no server tells its settings: is system_auth a user of the system account?".to_owned(),
        );
    }
    late.sort();
    Ok(late)
}
