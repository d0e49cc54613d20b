//! What a token must say.

use serde_json::{Value, json};

use super::rules::policy;
use super::*;
use crate::core::clock::{Clock, UnixMillis};
use crate::core::reason::Detail;
use crate::gate::testing::verified;

/// The time of these tests, in seconds.
const NOW: u64 = 1_700_000_100;

fn judged(rule: &str, claims: &Value) -> Result<Fit, Rejection> {
    let clock = Clock::manual(UnixMillis::from_seconds(NOW));
    judged_at(&clock, rule, claims)
}

fn judged_at(clock: &Clock, rule: &str, claims: &Value) -> Result<Fit, Rejection> {
    let policy = policy(&format!("- {{ name: it, path: /it, {rule} }}"));
    let request = Request {
        method: "GET",
        target: "/it",
        ..Request::unread()
    };
    let rule = policy.select(&request).expect("the rule is found");
    let mut all = json!({ "iss": "https://id.example.com" });
    all.as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    rule.judge(&request, &verified(&all).claims, clock)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the claims are made in place"
)]
fn meets(rule: &str, claims: Value) {
    let found = judged(rule, &claims);
    assert!(found.is_ok(), "{rule}: {claims}: {found:?}");
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the claims are made in place"
)]
fn lacks(rule: &str, claims: Value, reason: Reason) -> Rejection {
    let found = judged(rule, &claims).expect_err("it must be refused");
    assert_eq!(found.reason, reason, "{rule}: {claims}");
    found
}

#[test]
fn every_scope_is_needed_in_any_form() {
    let rule = "scopes: [read, write]";
    for claims in [
        json!({ "scope": "read write" }),
        json!({ "scope": "openid write  read " }),
        json!({ "scope": ["read", "write", "x"] }),
        json!({ "scp": ["read", "write"] }),
        json!({ "scp": "write read" }),
    ] {
        meets(rule, claims);
    }
    for claims in [
        json!({}),
        json!({ "scope": "" }),
        json!({ "scope": "read" }),
        json!({ "scope": "read writer" }),
        json!({ "scope": "READ WRITE" }),
        json!({ "scope": "read,write" }),
        json!({ "scope": "read\twrite" }),
        json!({ "scope": "read\u{a0}write" }),
        json!({ "scope": { "read": true, "write": true } }),
        json!({ "scope": "read", "scp": "write" }),
        json!({ "scope": [["read", "write"]] }),
        json!({ "Scope": "read write" }),
    ] {
        let refused = lacks(rule, claims, Reason::InsufficientScope);
        assert_eq!(refused.wanted.as_deref(), Some(", scope=\"read write\""));
        let detail = refused.detail.unwrap();
        assert_eq!(Detail::expected(&detail), "scope: read write (policy it)");
    }
}

#[test]
fn roles_are_split_at_spaces_and_claims_are_not() {
    let roles = "roles: [{ claim: realm_access.roles, is: [admin, auditor] }]";
    let within = |value: Value| json!({ "realm_access": { "roles": value } });
    for value in [
        json!(["user", "admin"]),
        json!("user auditor"),
        json!("admin"),
    ] {
        meets(roles, within(value));
    }
    for value in [
        json!([]),
        json!("administrator"),
        json!(null),
        json!({ "admin": true }),
        json!("user,admin"),
    ] {
        let refused = lacks(roles, within(value), Reason::Forbidden);
        assert_eq!(refused.wanted, None);
    }
    lacks(roles, json!({ "roles": "admin" }), Reason::Forbidden);
    lacks(
        roles,
        json!({ "realm_access.roles": "admin" }),
        Reason::Forbidden,
    );
    let claims = "claims: [{ claim: tenant, is: [acme, globex] }, level, { claim: n, is: '5' }]";
    meets(claims, json!({ "tenant": "acme", "level": false, "n": 5 }));
    meets(
        claims,
        json!({ "tenant": ["x", "globex"], "level": "", "n": "5" }),
    );
    for other in [
        json!({ "tenant": "acme globex", "level": 1, "n": 5 }),
        json!({ "tenant": "acme", "n": 5 }),
        json!({ "tenant": "acme", "level": null, "n": 5 }),
        json!({ "tenant": "acme", "level": 1, "n": 5.5 }),
        json!({ "level": 1, "n": 5 }),
    ] {
        lacks(claims, other, Reason::Forbidden);
    }
    let both = "roles: [{ claim: roles, is: a }, { claim: roles, is: b }]";
    meets(both, json!({ "roles": ["b", "a"] }));
    lacks(both, json!({ "roles": ["a"] }), Reason::Forbidden);
}

#[test]
fn issuers_audiences_and_clients_are_exact() {
    meets("issuers: ['https://id.example.com']", json!({}));
    meets(
        "issuers: ['https://x', 'https://id.example.com']",
        json!({}),
    );
    lacks(
        "issuers: ['https://id.example.com/']",
        json!({}),
        Reason::Forbidden,
    );
    let tenant = "issuers: ['https://login.example.com/{tenant}/v2']";
    meets(
        tenant,
        json!({ "iss": "https://login.example.com/acme/v2" }),
    );
    lacks(
        tenant,
        json!({ "iss": "https://login.example.com/a/b/v2" }),
        Reason::Forbidden,
    );
    meets("audiences: [a, b]", json!({ "aud": ["x", "b"] }));
    lacks(
        "audiences: [a, b]",
        json!({ "aud": "c" }),
        Reason::WrongAudience,
    );
    lacks("audiences: [a]", json!({}), Reason::WrongAudience);
    meets("clients: [web, tv]", json!({ "client_id": "tv" }));
    lacks(
        "clients: [web]",
        json!({ "client_id": "webshop" }),
        Reason::Forbidden,
    );
    lacks("clients: [web]", json!({}), Reason::Forbidden);
}

#[test]
fn an_old_token_is_refused_to_the_second() {
    // `verified` issues tokens 100 seconds before.
    meets("max_token_age: 100s", json!({}));
    let refused = lacks("max_token_age: 99s", json!({}), Reason::TokenTooOld);
    assert_eq!(refused.wanted, None);
}

#[test]
fn a_login_that_is_too_weak_or_too_old_is_challenged() {
    meets("acr: [silver, gold]", json!({ "acr": "gold" }));
    for claims in [json!({}), json!({ "acr": "bronze" }), json!({ "acr": 2 })] {
        let refused = lacks(
            "acr: [silver, gold]",
            claims,
            Reason::InsufficientUserAuthentication,
        );
        assert_eq!(
            refused.wanted.as_deref(),
            Some(", acr_values=\"silver gold\"")
        );
    }
    let rule = "max_auth_age: 5m";
    for time in [
        json!(NOW),
        json!(NOW - 300),
        json!(NOW + 9),
        json!(1_700_000_000.9),
    ] {
        meets(rule, json!({ "auth_time": time }));
    }
    for time in [
        json!(NOW - 301),
        json!(0),
        json!(-1),
        json!("now"),
        json!(null),
        json!([]),
    ] {
        let refused = lacks(
            rule,
            json!({ "auth_time": time }),
            Reason::InsufficientUserAuthentication,
        );
        assert_eq!(refused.wanted.as_deref(), Some(", max_age=\"300\""));
    }
    for time in [json!(NOW + 61), json!(NOW * 1000), json!(u64::MAX)] {
        lacks(
            rule,
            json!({ "auth_time": time }),
            Reason::ClockDisagreement,
        );
    }
    let both = lacks(
        "acr: [gold], max_auth_age: 5m",
        json!({ "acr": "gold" }),
        Reason::InsufficientUserAuthentication,
    );
    assert_eq!(
        both.wanted.as_deref(),
        Some(", acr_values=\"gold\", max_age=\"300\"")
    );
}

#[test]
fn a_jump_of_the_clock_is_not_taken_for_the_age_of_a_token() {
    let claims = json!({ "auth_time": NOW });
    for rule in [
        "max_auth_age: 5m",
        "max_token_age: 5m",
        "conditions: ['now - claims.auth_time < 300']",
    ] {
        let clock = Clock::manual(UnixMillis::from_seconds(NOW));
        assert!(judged_at(&clock, rule, &claims).is_ok(), "{rule}");
        clock.set(UnixMillis::from_seconds(NOW + 86_400));
        let refused = judged_at(&clock, rule, &claims).unwrap_err();
        assert_eq!(refused.reason, Reason::ClockDisagreement, "{rule}");
        // By now the new time is believed.
        clock.advance(std::time::Duration::from_hours(2));
        let refused = judged_at(&clock, rule, &claims).unwrap_err();
        assert_ne!(refused.reason, Reason::ClockDisagreement, "{rule}");
    }
}

#[test]
fn a_client_without_a_token_is_told_the_scopes() {
    let policy = policy("- { name: it, path: /it, scopes: [read] }");
    let rule = policy.select(&request("/it")).unwrap();
    assert_eq!(
        rule.refusal(Reason::MissingToken).wanted.as_deref(),
        Some(", scope=\"read\"")
    );
    assert_eq!(rule.refusal(Reason::SeveralTokens).wanted, None);
}
