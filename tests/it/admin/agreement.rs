//! What `explain` says is what a door does.

use std::collections::BTreeSet;

use portcullis::core::clock::Clock;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Map, Value, json};

use super::{delete, post, world};
use crate::support::{Call, World};

/// A revocation that is live as far as the test knows.
#[derive(Clone, Debug)]
struct Live {
    id: String,
    cause: String,
    matches: Map<String, Value>,
    /// Seconds since the Unix epoch.
    cut_off: Option<u64>,
}

impl Live {
    fn refuses(&self, claims: &Value) -> bool {
        let is_early = |at: u64| claims["iat"].as_u64().is_some_and(|iat| iat <= at);
        self.cut_off.is_none_or(is_early)
            && self
                .matches
                .iter()
                .all(|(claim, value)| claims[claim] == *value)
    }
}

fn some_matches(random: &mut StdRng) -> Map<String, Value> {
    let mut matches = Map::new();
    matches.insert(
        "sub".to_owned(),
        json!(format!("user-{}", random.random_range(0..6))),
    );
    if random.random() {
        matches.insert(
            "client_id".to_owned(),
            json!(*["web", "app"].choose(random).unwrap()),
        );
    }
    matches
}

/// Seconds since the Unix epoch, from four minutes ago to one ago.
fn some_second(random: &mut StdRng) -> u64 {
    Clock::system().now().seconds() - random.random_range(60..240)
}

async fn revoke(world: &World, random: &mut StdRng, live: &mut Vec<Live>) {
    let cut_off = random.random::<bool>().then(|| some_second(random));
    let matches = some_matches(random);
    let at = cut_off.map(|at| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at);
        humantime::format_rfc3339_seconds(at).to_string()
    });
    let reason = *["ticket 1", "ticket 2"].choose(random).unwrap();
    let body = json!({
        "issuer": world.idp.issuer(), "matches": matches, "issued_at_or_before": at, "reason": reason,
    });
    let reply = post(world, "/v1/revocations", &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let record = reply.body_json();
    let text = |name: &str| record[name].as_str().unwrap().to_owned();
    live.push(Live {
        id: text("id"),
        cause: text("cause"),
        matches,
        cut_off,
    });
}

async fn lift(world: &World, random: &mut StdRng, live: &mut Vec<Live>) {
    let Some(chosen) = live.choose(random).cloned() else {
        return;
    };
    let same = |one: &Live| one.cause == chosen.cause && one.matches == chosen.matches;
    let expected: BTreeSet<_> = live
        .iter()
        .filter(|one| same(one))
        .map(|one| one.id.clone())
        .collect();
    let lifted = delete(world, &chosen.id).await;
    assert_eq!(ids(&lifted.body_json()), expected);
    live.retain(|one| !same(one));
}

fn ids(body: &Value) -> BTreeSet<String> {
    let revocations = body["revocations"].as_array().unwrap();
    let ids = revocations
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned());
    ids.collect()
}

async fn agree(world: &World, random: &mut StdRng, live: &[Live]) {
    let issued_at = some_second(random);
    let claims = json!({
        "sub": format!("user-{}", random.random_range(0..6)),
        "client_id": *["web", "app"].choose(random).unwrap(),
        "iat": issued_at,
    });
    let token = world.idp.token(claims["sub"].as_str().unwrap());
    let token = token.claim("client_id", claims["client_id"].clone());
    let token = token.claim("iat", issued_at).sign();
    let asked = Call::get("/authz/auth-request").bearer(&token);
    let asked = asked
        .header("x-original-method", "GET")
        .header("x-original-uri", "/orders");
    let real = asked.send(world.portcullis.forward_auth()).await;
    let explained = post(world, "/v1/explain", &json!({ "token": token }))
        .await
        .body_json();
    let expected: BTreeSet<_> = live
        .iter()
        .filter(|one| one.refuses(&claims))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|one| one.id.clone())
        .collect();
    assert_eq!(ids(&explained), expected, "{claims}");
    assert_eq!(explained["status"], real.status, "{explained}");
    assert_eq!(
        explained["decision"] == "deny",
        !expected.is_empty(),
        "{explained}"
    );
}

#[tokio::test]
async fn explain_lists_what_refuses_each_of_three_hundred_tokens() {
    let world = world().await;
    let mut random = StdRng::seed_from_u64(12);
    let mut live = Vec::new();
    for round in 0..300 {
        match round % 5 {
            0 | 1 => revoke(&world, &mut random, &mut live).await,
            2 | 4 => {
                lift(&world, &mut random, &mut live).await;
            }
            _ => {}
        }
        agree(&world, &mut random, &live).await;
    }
}
