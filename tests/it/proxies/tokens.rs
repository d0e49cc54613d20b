//! A token that the upstream must not see is taken out of the request, wherever it was found.

use serde_json::{Value, json};

use super::Site;
use crate::support::{Call, Proxy};

/// Caddy removes whole headers only.
const WITHOUT_CADDY: [Proxy; 5] = [
    Proxy::Envoy,
    Proxy::Nginx,
    Proxy::Traefik,
    Proxy::Haproxy,
    Proxy::Apache,
];

#[tokio::test]
async fn the_token_stays_behind_when_told_so() {
    for proxy in Proxy::ALL {
        let site = Site::with(proxy, json!({ "drop_token": true })).await;
        let token = site.idp.token("alice").sign();
        let reply = site.send(Call::get("/orders").bearer(&token)).await;
        assert_eq!(reply.status, 200, "{proxy:?}");
        assert_eq!(
            reply.echo().all("x-portcullis-subject"),
            ["alice"],
            "{proxy:?}"
        );
        assert!(!reply.text().contains(&token), "{proxy:?}");
    }
}

#[tokio::test]
async fn a_token_in_a_cookie_stays_behind_and_other_cookies_pass() {
    for proxy in WITHOUT_CADDY {
        let site = Site::configured(proxy, |config| {
            config["answer"] = json!({ "drop_token": true });
            config["token"] = json!({ "sources": [{ "cookie": "session" }] });
        })
        .await;
        let token = site.idp.token("alice").sign();
        let cookie = format!("theme=dark; session={token}; x=1");
        let reply = site
            .send(Call::get("/orders").header("cookie", &*cookie))
            .await;
        assert_eq!(reply.status, 200, "{proxy:?}");
        assert_eq!(reply.echo().all("cookie"), ["theme=dark; x=1"], "{proxy:?}");
        let only = format!("session={token}");
        let reply = site
            .send(Call::get("/orders").header("cookie", &*only))
            .await;
        assert_eq!(reply.status, 200, "{proxy:?}");
        assert!(reply.echo().all("cookie").is_empty(), "{proxy:?}");
        let exempt = site
            .send(Call::get("/healthz").header("cookie", "theme=dark"))
            .await;
        assert_eq!(exempt.echo().all("cookie"), ["theme=dark"], "{proxy:?}");
    }
}

/// Tokens are sought in three places.
fn in_every_place(config: &mut Value, answer: &Value, several: &str) {
    config["answer"] = answer.clone();
    config["token"] = json!({
        "several": several,
        "sources": [
            { "header": "authorization", "scheme": "Bearer" },
            { "cookie": "session" },
            { "query": "access_token" },
        ],
    });
}

#[tokio::test]
async fn a_token_stays_behind_wherever_it_was_found() {
    let site = Site::configured(Proxy::Envoy, |config| {
        in_every_place(config, &json!({ "drop_token": true }), "refuse");
    })
    .await;
    let token = site.idp.token("alice").sign();
    let query = format!("/orders?a=%2Fb&access_token={token}&c=d+e");
    let (half, rest) = token.split_at(token.len() / 2);
    for (what, call) in [
        ("query", Call::get(&query)),
        (
            "cookie",
            Call::get("/orders").header("cookie", format!("theme=dark; session={token}; x=1")),
        ),
        (
            "pieces",
            Call::get("/orders")
                .header("cookie", format!("session.1={rest}; x=1; session.0={half}")),
        ),
        ("both", Call::get(&query).bearer(&token)),
    ] {
        let reply = site.send(call).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        let echo = reply.echo();
        assert_eq!(echo.all("x-portcullis-subject"), ["alice"], "{what}");
        assert!(
            !reply.text().contains(half) && !reply.text().contains(rest),
            "{what}"
        );
        match what {
            "cookie" => assert_eq!(echo.all("cookie"), ["theme=dark; x=1"]),
            "pieces" => assert_eq!(echo.all("cookie"), ["x=1"]),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_token_that_was_passed_over_stays_behind() {
    let site = Site::configured(Proxy::Envoy, |config| {
        in_every_place(config, &json!({}), "first");
    })
    .await;
    let token = site.idp.token("alice").sign();
    let other = site.idp.token("bob").sign();
    let call = Call::get(&format!("/orders?access_token={other}")).bearer(&token);
    let call = call.header("cookie", format!("session={other}; theme=dark"));
    let reply = site.send(call).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let echo = reply.echo();
    assert_eq!(echo.all("x-portcullis-subject"), ["alice"]);
    assert_eq!(echo.all("authorization"), [format!("Bearer {token}")]);
    assert_eq!(echo.all("cookie"), ["theme=dark"]);
    assert!(!reply.text().contains(&other));
}

#[tokio::test]
async fn a_bearer_token_that_was_passed_over_stays_behind() {
    for proxy in WITHOUT_CADDY {
        let site = Site::configured(proxy, |config| {
            let sources = json!([
                { "header": "x-token" },
                { "header": "authorization", "scheme": "Bearer" },
            ]);
            config["token"] = json!({ "several": "first", "sources": sources });
        })
        .await;
        let [token, other] = ["alice", "bob"].map(|subject| site.idp.token(subject).sign());
        let both = Call::get("/orders").bearer(&other);
        let reply = site.send(both.header("x-token", &*token)).await;
        assert_eq!(reply.status, 200, "{proxy:?}: {}", reply.text());
        let echo = reply.echo();
        assert_eq!(echo.all("x-portcullis-subject"), ["alice"], "{proxy:?}");
        assert_eq!(echo.all("x-token"), [&*token], "{proxy:?}");
        assert!(!reply.text().contains(&other), "{proxy:?}");
        let alone = site.send(Call::get("/orders").bearer(&other)).await.echo();
        assert_eq!(alone.all("x-portcullis-subject"), ["bob"], "{proxy:?}");
        assert_eq!(
            alone.all("authorization"),
            [format!("Bearer {other}")],
            "{proxy:?}"
        );
    }
}

#[tokio::test]
async fn a_token_among_the_protocols_of_a_websocket_stays_behind() {
    for proxy in WITHOUT_CADDY {
        let site = Site::configured(proxy, |config| {
            config["answer"] = json!({ "drop_token": true });
            config["token"] = json!({ "sources": [{ "websocket_protocol": "bearer" }] });
        })
        .await;
        let token = site.idp.token("alice").sign();
        let asked =
            |protocols: String| Call::get("/orders").header("sec-websocket-protocol", protocols);
        let reply = site.send(asked(format!("chat, bearer, {token}"))).await;
        assert_eq!(reply.status, 200, "{proxy:?}: {}", reply.text());
        let echo = reply.echo();
        assert_eq!(echo.all("x-portcullis-subject"), ["alice"], "{proxy:?}");
        // The marker is no secret, and the upstream may have to accept it.
        let left = echo.all("sec-websocket-protocol");
        assert_eq!(left, ["chat, bearer"], "{proxy:?}");
        let refused = site.send(asked("chat, bearer, rubbish".to_owned())).await;
        assert_eq!(refused.status, 401, "{proxy:?}");
    }
}
