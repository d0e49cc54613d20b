//! Login at an issuer, as a hostile browser or a hostile issuer would have it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{cookie, credentials, status, with_session};
use crate::support::{Call, Idp, Kind, Mint, Reply, SigningKey, World};

const CLIENT: &str = "console";

/// A world whose operators log in at its issuer.
async fn world() -> World {
    let builder = World::builder();
    let file = builder.home().join("audit.log");
    let configure = |config: &mut Value| {
        credentials(config);
        config["audit"] = json!({ "file": file });
        let issuer = config["issuers"][0]["issuer"].clone();
        let staff = json!({
            "name": "staff", "role": "write", "issuer": issuer, "scopes": ["portcullis:write"],
        });
        config["admin"]["login"] = json!({
            "issuer": issuer,
            "client_id": CLIENT,
            "client_secret": "the secret of the client",
            "redirect_uri": "https://portcullis.example/console/login/done",
            "scopes": ["portcullis:write"],
            "parameters": { "resource": "urn:portcullis" },
        });
        let all = config["admin"]["credentials"].as_array_mut().unwrap();
        all.push(staff);
    };
    builder.config(configure).start().await
}

/// A login under way: the browser's cookie, and what the issuer was asked.
struct Begun {
    cookie: String,
    asked: Vec<(String, String)>,
}

impl Begun {
    fn asked(&self, name: &str) -> &str {
        let mut pairs = self.asked.iter().filter(|(own, _)| own == name);
        let (Some((_, value)), None) = (pairs.next(), pairs.next()) else {
            panic!("{name} does not stand once in {:?}", self.asked)
        };
        value
    }
}

async fn begin(world: &World) -> Begun {
    let reply = Call::get("/console/login")
        .send(world.portcullis.admin())
        .await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    let to = url::Url::parse(reply.header("location").unwrap()).unwrap();
    assert_eq!(to.path(), "/authorize");
    let set = reply.header("set-cookie").unwrap();
    assert!(
        set.ends_with("; Path=/console/login; HttpOnly; SameSite=Lax; Max-Age=600; Secure"),
        "{set}"
    );
    Begun {
        cookie: cookie(&reply),
        asked: to.query_pairs().into_owned().collect(),
    }
}

fn access_token(idp: &Idp) -> Mint {
    idp.token("carol").claim("scope", "portcullis:write")
}

fn id_token(idp: &Idp, begun: &Begun) -> Mint {
    let token = Mint::new(idp.key(), &idp.issuer(), CLIENT, "carol");
    token.claim("nonce", begun.asked("nonce"))
}

/// Comes back from the issuer with a code.
async fn end(world: &World, begun: &Begun, more: &str) -> Reply {
    let target = format!(
        "/console/login/done?code=c-1&state={}{more}",
        begun.asked("state")
    );
    let call = Call::get(&target).header("cookie", begun.cookie.clone());
    let call = call.header("sec-fetch-site", "cross-site");
    call.send(world.portcullis.admin()).await
}

fn assert_failed(reply: &Reply, status: u16) {
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(
        reply.header("location"),
        Some(&*format!("/console/#/login/{status}"))
    );
    assert_eq!(reply.header("set-cookie"), None);
}

fn trail(world: &World) -> Vec<Value> {
    let text = std::fs::read_to_string(world.home.path().join("audit.log")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_login_asks_with_pkce_and_opens_a_session_that_ends_with_its_token() {
    let world = world().await;
    let begun = begin(&world).await;
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        (
            "redirect_uri",
            "https://portcullis.example/console/login/done",
        ),
        ("scope", "openid portcullis:write"),
        ("code_challenge_method", "S256"),
        ("resource", "urn:portcullis"),
    ] {
        assert_eq!(begun.asked(name), value);
    }
    let (access, id) = (access_token(&world.idp), id_token(&world.idp, &begun));
    world
        .idp
        .issue(json!({ "access_token": access.sign(), "id_token": id.sign() }));
    let reply = end(&world, &begun, &format!("&iss={}", world.idp.issuer())).await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, Some("/console/"))
    );
    let set = reply.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-portcullis-session="), "{set}");
    assert!(
        set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"),
        "{set}"
    );
    let session = cookie(&reply);
    let who = with_session(&world, &session, Call::get("/console/session")).await;
    assert_eq!(who.body_json(), json!({ "name": "staff", "role": "write" }));
    let forms = world.idp.forms();
    let form: Vec<_> = url::form_urlencoded::parse(forms[0].as_bytes()).collect();
    let of = |name: &str| {
        form.iter()
            .find(|(own, _)| own == name)
            .unwrap()
            .1
            .to_string()
    };
    assert_eq!(of("code"), "c-1");
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, of("code_verifier").as_bytes()));
    assert_eq!(begun.asked("code_challenge"), challenge);
    let line = trail(&world).pop().unwrap();
    assert_eq!(line["action"], "GET /console/login/done", "{line}");
    assert_eq!(
        (&line["credential"], &line["subject"]),
        (&json!("staff"), &json!("carol"))
    );
    assert_failed(&end(&world, &begun, "").await, 400);

    let revoke = super::revoke(&world, "carol").bearer(super::WRITE);
    assert_eq!(revoke.send(world.portcullis.admin()).await.status, 201);
    assert_eq!(status(&world, &session).await, 401);
    for secret in [
        &*access.sign(),
        &*id.sign(),
        "the secret of the client",
        &*begun.cookie,
    ] {
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn no_login_succeeds_that_this_browser_did_not_begin() {
    let world = world().await;
    let admin = world.portcullis.admin();
    let (mine, theirs) = (begin(&world).await, begin(&world).await);
    assert_ne!(mine.asked("state"), theirs.asked("state"));
    assert_ne!(mine.asked("nonce"), theirs.asked("nonce"));
    let id = id_token(&world.idp, &mine);
    world
        .idp
        .issue(json!({ "access_token": access_token(&world.idp).sign(), "id_token": id.sign() }));
    let back = |query: &str| Call::get(&format!("/console/login/done{query}"));
    let state = mine.asked("state");
    for call in [
        back(""),
        back(&format!("?code=c&state={state}")),
        back("?code=c").header("cookie", mine.cookie.clone()),
        back(&format!("?code=c&state={state}")).header("cookie", theirs.cookie.clone()),
        back(&format!("?code=c&state={state}"))
            .header("cookie", format!("{}; {}", mine.cookie, theirs.cookie)),
    ] {
        assert_failed(&call.send(admin).await, 400);
    }
    assert_failed(&end(&world, &mine, "&iss=https://evil.example").await, 400);
    assert_failed(&end(&world, &mine, "").await, 400);
    let denied = begin(&world).await;
    let target = format!(
        "/console/login/done?error=access_denied&state={}",
        denied.asked("state")
    );
    let reply = Call::get(&target)
        .header("cookie", denied.cookie)
        .send(admin)
        .await;
    assert_failed(&reply, 401);
    assert_eq!(world.idp.forms(), Vec::<String>::new(), "no code was used");
    // Another page cannot make the browser begin one, and cannot use up the attempts.
    for _ in 0..20 {
        let foreign = Call::get("/console/login").header("sec-fetch-site", "cross-site");
        assert_eq!(foreign.send(admin).await.status, 403);
    }
    begin(&world).await;
}

/// What is wrong with the access token or the ID token.
type Spoil = Box<dyn Fn(Mint, Mint) -> (Mint, Mint)>;

fn access(change: fn(Mint) -> Mint) -> Spoil {
    Box::new(move |access, id| (change(access), id))
}

fn id(change: fn(Mint) -> Mint) -> Spoil {
    Box::new(move |access, id| (access, change(id)))
}

#[tokio::test]
async fn tokens_that_do_not_belong_to_the_login_open_no_session() {
    let other = Arc::new(SigningKey::new(Kind::Es256, "key-1"));
    let forged = move |access, id: Mint| (access, id.forged_with(Arc::clone(&other)));
    let spoilt: [(u16, Spoil); 14] = [
        (401, id(|id| id.claim("nonce", "another"))),
        (401, id(|id| id.without("nonce"))),
        (401, id(|id| id.claim("aud", "another"))),
        (401, id(|id| id.claim("aud", json!([CLIENT, "another"])))),
        (401, id(|id| id.claim("azp", "another"))),
        (401, id(|id| id.shifted(-4000))),
        (401, id(|id| id.claim("iss", "https://evil.example"))),
        (401, id(|id| id.claim("sub", "dave"))),
        (401, id(|id| id.without("sub"))),
        (401, Box::new(forged)),
        (403, access(|access| access.without("scope"))),
        (401, access(|access| access.shifted(-4000))),
        (401, access(|access| access.claim("sub", "dave"))),
        (401, access(|access| access.claim("aud", CLIENT))),
    ];
    // Ten logins a minute fail at most.
    for some in spoilt.chunks(8) {
        let world = world().await;
        for (expected, spoil) in some {
            let begun = begin(&world).await;
            let (access, id) = spoil(access_token(&world.idp), id_token(&world.idp, &begun));
            let tokens = json!({ "access_token": access.sign(), "id_token": id.sign() });
            world.idp.issue(tokens);
            assert_failed(&end(&world, &begun, "").await, *expected);
        }
    }
}
