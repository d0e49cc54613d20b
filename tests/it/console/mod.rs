//! The web console: its sessions over plain HTTP, and its page in a real Chromium.

mod browser;
mod login;
mod session;

use serde_json::{Value, json};

use crate::support::{Call, Reply, World};

const WRITE: &str = "write-secret-0123456789";
const READ: &str = "read-secret-0123456789";

fn credentials(config: &mut Value) {
    config["admin"] = json!({ "credentials": [
        { "name": "ops", "role": "write", "secret": WRITE },
        { "name": "viewer", "role": "read", "secret": READ },
    ]});
}

/// A world with a credential for each role.
async fn world() -> World {
    World::builder().config(credentials).start().await
}

/// Adds the header that the page adds.
fn from_page(call: Call) -> Call {
    call.header("x-portcullis-console", "1")
}

fn login(secret: &str) -> Call {
    from_page(Call::json("/console/session", &json!({ "secret": secret })))
}

/// Returns the cookie that a login set, without its attributes.
fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").unwrap_or_default();
    set.split(';').next().unwrap().to_owned()
}

/// Logs in and returns the cookie.
async fn session(world: &World, secret: &str) -> String {
    let reply = login(secret).send(world.portcullis.admin()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    cookie(&reply)
}

/// Sends a request of the page with a session.
async fn with_session(world: &World, cookie: &str, call: Call) -> Reply {
    let call = from_page(call).header("cookie", cookie);
    call.send(world.portcullis.admin()).await
}

async fn status(world: &World, cookie: &str) -> u16 {
    let reply = with_session(world, cookie, Call::get("/v1/status")).await;
    reply.status
}

/// A request to revoke the tokens of a user.
fn revoke(world: &World, subject: &str) -> Call {
    let body =
        json!({ "issuer": world.idp.issuer(), "matches": { "sub": subject }, "reason": "test" });
    Call::json("/v1/revocations", &body)
}
