use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::clock::UnixMillis;
use crate::core::config_error::ConfigErrors;
use crate::core::request::{Headers, NamedPolicy, Request};
use crate::gate::testing::verified;

fn mistakes(text: &str) -> Vec<String> {
    let mut errors = ConfigErrors::new();
    let condition = errors.within("it", |errors| Condition::compile(text, errors));
    assert_eq!(condition.is_some(), errors.is_empty(), "{text}");
    errors.messages()
}

fn condition(text: &str) -> Condition {
    let mut errors = ConfigErrors::new();
    let condition = Condition::compile(text, &mut errors);
    assert_eq!(errors.messages(), [""; 0], "{text}");
    condition.unwrap()
}

fn request<'r>(target: &'r str, sent: &[(&'r str, &'r str)]) -> Request<'r> {
    let mut headers = Headers::new();
    for (name, value) in sent {
        headers.push(*name, value.as_bytes());
    }
    Request {
        method: "GET",
        target,
        headers,
        host: "Shop.Example.Com:443",
        policy: NamedPolicy::No,
    }
}

/// `ok` or the reason.
fn outcome(text: &str, request: &Request<'_>, claims: &Value) -> &'static str {
    let mut all = json!({ "iss": "https://id.example.com" });
    let members = claims.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(members);
    let verified = verified(&all);
    let read = Read::default();
    let now = UnixMillis::from_seconds(1000);
    let values = Values::of((request, &read), &verified.claims, now);
    match condition(text).check(&values) {
        Ok(()) => "ok",
        Err((reason, _)) => reason.as_str(),
    }
}

#[test]
fn claims_keep_their_types_in_conditions() {
    let claims = json!({
        "level": 3, "ratio": 0.5, "text": "3", "admin": true, "tenant": "acme", "roles": ["a", "b"],
        "realm_access": {"roles": ["admin"], "deep": {"n": 7}}, "https://example.com/x": {"y": "z"},
        "auth_time": 990, "nothing": null, "none": [], "big": 18_446_744_073_709_551_615_u64,
    });
    let request = request("/users/alice", &[]);
    for (text, expected) in [
        ("claims.level >= 3", "ok"),
        ("claims.level > 3", "forbidden"),
        ("claims.level == 3.0 && claims.ratio < 1", "ok"),
        ("claims.text == 3", "forbidden"),
        ("int(claims.text) == 3", "ok"),
        ("claims.admin", "ok"),
        ("!claims.admin", "forbidden"),
        ("'a' in claims.roles && !('c' in claims.roles)", "ok"),
        ("'admin' in claims.realm_access.roles", "ok"),
        ("claims.realm_access.deep.n == 7", "ok"),
        ("claims['https://example.com/x'].y == 'z'", "ok"),
        ("now - claims.auth_time <= 10", "ok"),
        ("now - claims.auth_time < 10", "forbidden"),
        (
            "has(claims.tenant) && !has(claims.other) && !has(claims.nothing)",
            "ok",
        ),
        ("'tenant' in claims && !('other' in claims)", "ok"),
        ("claims.none.all(x, false)", "ok"),
        ("size(claims.roles) == 2 && claims.roles[1] == 'b'", "ok"),
        ("claims.roles.exists(r, r.startsWith('b'))", "ok"),
        ("claims.roles.filter(r, r != 'a') == ['b']", "ok"),
        (
            "claims.tenant in ['acme', 'globex'] ? claims.level > 1 : false",
            "ok",
        ),
        ("claims.big > 9223372036854775807", "ok"),
    ] {
        assert_eq!(outcome(text, &request, &claims), expected, "{text}");
    }
}

#[test]
fn what_has_no_result_is_never_a_permit() {
    let claims = json!({
        "text": "x", "number": 1, "mixed": [{"id": 1}], "nulls": ["a", null], "list": ["a"],
        "long": 1,
    });
    let request = request("/a", &[]);
    for (text, expected) in [
        // The token lacks what is asked for.
        ("claims.absent == 'x'", "forbidden"),
        ("claims.absent != 'x'", "forbidden"),
        ("!(claims.absent == 'x')", "forbidden"),
        ("claims.absent.deeper", "forbidden"),
        ("claims['absent']", "forbidden"),
        ("request.headers['x-absent'] != 'a'", "forbidden"),
        ("claims.list.all(x, claims.text == x)", "forbidden"),
        // The condition does not fit the token.
        ("claims.text", "condition_failed"),
        ("claims.number", "condition_failed"),
        ("claims.text > 3", "condition_failed"),
        ("claims.text.deeper == 'x'", "condition_failed"),
        ("claims.number.startsWith('x')", "condition_failed"),
        ("int(claims.text) > 1", "condition_failed"),
        ("claims.number / 0 == 1", "condition_failed"),
        (
            "claims.number + 9223372036854775807 > 0",
            "condition_failed",
        ),
        ("claims.list[1] == 'a'", "condition_failed"),
        ("claims.text.all(x, true)", "condition_failed"),
        // A list that is not known whole.
        ("claims.mixed.all(x, false)", "condition_failed"),
        ("claims.nulls.all(x, x == 'a')", "condition_failed"),
        ("!('b' in claims.nulls)", "condition_failed"),
        ("has(claims.mixed)", "condition_failed"),
    ] {
        if text.contains(".all(x, claims") {
            assert_eq!(mistakes(text).len(), 1, "{text}");
            continue;
        }
        assert_eq!(outcome(text, &request, &claims), expected, "{text}");
    }
}

#[test]
fn a_request_that_can_be_read_in_several_ways_is_ambiguous_where_that_is_read() {
    let tenant = [("X-Tenant", "acme")];
    let plain = request("/users/alice/x?y=1", &tenant);
    let claims = json!({ "sub": "alice", "tenant": "acme" });
    let own = "request.path.startsWith('/users/' + claims.sub + '/')";
    let header = "request.headers['x-tenant'] == claims.tenant";
    for text in [
        own,
        header,
        "request.method == 'GET'",
        "request.host == 'shop.example.com'",
        "'x-tenant' in request.headers && !('x-other' in request.headers)",
    ] {
        assert_eq!(outcome(text, &plain, &claims), "ok", "{text}");
    }
    for target in [
        "/users/alice/%2e%2e/bob/",
        "/users/alice/..;/",
        "/users//alice/",
        "/users/alice/%61",
    ] {
        let odd = request(target, &[]);
        assert_eq!(outcome(own, &odd, &claims), "ambiguous_request", "{target}");
        let negated = format!("!({own})");
        assert_eq!(
            outcome(&negated, &odd, &claims),
            "ambiguous_request",
            "{target}"
        );
        let elsewhere = format!("claims.sub == 'alice' || {own}");
        assert_eq!(
            outcome(&elsewhere, &odd, &claims),
            "ok",
            "the path does not count"
        );
    }
    for sent in [
        &[("x-tenant", "acme"), ("X-Tenant", "globex")][..],
        &[("x-tenant", "acme"), ("x_tenant", "globex")],
        &[("x_tenant", "acme")],
        &[("x.tenant", "acme")],
    ] {
        for text in [
            header,
            "'x-tenant' in request.headers",
            "!('x-tenant' in request.headers)",
        ] {
            let odd = request("/", sent);
            assert_eq!(
                outcome(text, &odd, &claims),
                "ambiguous_request",
                "{sent:?} {text}"
            );
        }
    }
    let renamed = request("/", &[("x-http-method-override", "DELETE")]);
    assert_eq!(
        outcome("request.method == 'GET'", &renamed, &claims),
        "ambiguous_request"
    );
    let nowhere = Request {
        host: "a b",
        ..request("/", &[])
    };
    assert_eq!(
        outcome("request.host != 'a'", &nowhere, &claims),
        "ambiguous_request"
    );
    assert_eq!(
        outcome("request.path == '/'", &Request::unread(), &claims),
        "ambiguous_request"
    );
}

#[test]
fn mistakes_are_found_before_a_request_comes() {
    for (text, expected) in [
        ("", "it: line 1, column 1: is no CEL"),
        ("claims.a ==", "it: line 1, column 12: is no CEL"),
        (
            "claims.a == 'b' &&\n  tenant == 'c'",
            "it: line 2, column 3: tenant is unknown; there are request, claims, now",
        ),
        (
            "request.query == 'a'",
            "request has no query, only method, host, path, headers",
        ),
        (
            "claims.a.matches('a+')",
            "matches is no function here; there are size, contains,",
        ),
        (
            "timestamp(now) > timestamp(0)",
            "timestamp is no function here",
        ),
        (
            "claims.a.startsWith('x', 'y')",
            "startsWith is called on a value, with 1 others",
        ),
        ("claims.size", "ok"),
        (
            "size(claims.a, claims.b) == 1",
            "size is called with 1 value",
        ),
        ("claims.a + 1", "the result is no boolean"),
        ("'true'", "the result is no boolean"),
        ("claims", "the result is no boolean"),
        ("now", "the result is no boolean"),
        ("request.path", "the result is no boolean"),
        ("claims.a.map(x, x)", "the result is no boolean"),
        ("claims.b ? true : 'no'", "the result is no boolean"),
        (
            "{'a': 1}.a == 1",
            "maps and structures cannot be written here",
        ),
        ("claims.?a == 'x'", "is no CEL"),
        (
            "claims.a.all(x, claims.b.exists(y, y == x))",
            "a macro such as all and exists must not stand in another one",
        ),
        ("claims.a.all(x, x in claims.b)", "may take "),
        (
            "claims.a.all(claims, claims == 'x')",
            "claims must not be declared again",
        ),
        ("claims.a.exists(x, other == x)", "other is unknown"),
    ] {
        let found = mistakes(text);
        match expected {
            "ok" => assert_eq!(found, [""; 0], "{text}"),
            _ => assert!(
                found.iter().any(|one| one.contains(expected)),
                "{text}: {found:?}"
            ),
        }
    }
    assert_eq!(
        mistakes(&format!("claims.a == '{}'", "x".repeat(1024))).len(),
        1
    );
    let deep = format!("{}true{}", "(!".repeat(200), ")".repeat(200));
    assert!(!mistakes(&deep).is_empty(), "nesting is bounded");
    let chain = format!("claims.a == 'x'{}", "+'y'".repeat(100));
    let found = mistakes(&chain);
    assert!(!found.is_empty(), "also without brackets");
    for mistake in found {
        assert!(mistake.contains("is nested too deeply"), "{mistake}");
    }
}

/// The most expensive condition that is allowed, and a token made for it.
#[test]
fn the_most_expensive_condition_ends_soon() {
    let part = "claims.a.exists(x, request.path.contains(x + 'zz') || x.contains('z'))";
    let mut text = part.to_owned();
    while mistakes(&format!("{text} || {part}")).is_empty() {
        text = format!("{text} || {part}");
    }
    let items: Vec<String> = (0..2000).map(|number| format!("{number}")).collect();
    let long = format!("/{}", "a/".repeat(4000));
    let found = outcome(&text, &request(&long, &[]), &json!({ "a": items }));
    assert_eq!(found, "forbidden");
    let odd = format!("/{}?{}", "a%2f/".repeat(1600), "a=b&".repeat(2000));
    for member in ["path", "method", "host"] {
        let reads = text.replace("request.path", &format!("request.{member}"));
        let claims = json!({ "a": items });
        let found = outcome(&reads, &request(&odd, &[]), &claims);
        let expected = if member == "path" {
            "ambiguous_request"
        } else {
            "forbidden"
        };
        assert_eq!(found, expected, "{member}");
    }
}

proptest! {
    /// Whatever a token holds, a comparison holds only if its claim is that very value.
    #[test]
    fn a_comparison_holds_for_its_value_alone(
        value in prop_oneof![
            Just(json!(null)), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
            prop::collection::vec("[a-c]".prop_map(Value::from), 0..3).prop_map(Value::from),
            Just(json!({ "a": "a" })), Just(json!([{ "a": "a" }])),
        ]
    ) {
        let request = request("/", &[]);
        let claims = json!({ "it": value });
        let holds = |text: &str| outcome(text, &request, &claims) == "ok";
        prop_assert_eq!(holds("claims.it == 'a'"), value == json!("a"));
        prop_assert_eq!(holds("claims.it == true"), value == json!(true));
        prop_assert_eq!(holds("claims.it"), value == json!(true));
        prop_assert_eq!(holds("claims.it == ['a', 'b']"), value == json!(["a", "b"]));
        let has = value.as_array().is_some_and(|items| items.contains(&json!("a")));
        prop_assert_eq!(holds("'a' in claims.it"), has || value == json!({ "a": "a" }));
    }
}
