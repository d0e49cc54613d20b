//! Which rule a request gets.

use super::*;

/// Reads the list `policies`.
pub(super) fn rules(yaml: &str) -> Vec<RuleConfig> {
    serde_saphyr::from_str(yaml).expect("the rules can be read")
}

pub(super) fn policy(yaml: &str) -> Policy {
    let mut errors = ConfigErrors::new();
    let policy = Policy::build(&[], &rules(yaml), Some("X-Policy"), &mut errors);
    assert_eq!(errors.messages(), [""; 0]);
    policy.expect("there are no mistakes")
}

fn mistakes(yaml: &str) -> Vec<String> {
    let mut errors = ConfigErrors::new();
    let policy = Policy::build(&[], &rules(yaml), None, &mut errors);
    let messages = errors.messages();
    assert!(policy.is_some() || !messages.is_empty());
    messages
}

fn asked<'r>(method: &'r str, host: &'r str, target: &'r str) -> Request<'r> {
    Request {
        method,
        target,
        host,
        ..Request::unread()
    }
}

/// The name of the rule, or the reason of the refusal.
fn chosen(policy: &Policy, request: &Request<'_>) -> String {
    match policy.select(request) {
        Ok(rule) => rule.name().to_owned(),
        Err(rejection) => rejection.reason.to_string(),
    }
}

fn check(policy: &Policy, cases: &[(&str, &str, &str, &str)]) {
    for (method, host, target, expected) in cases {
        let request = asked(method, host, target);
        assert_eq!(
            chosen(policy, &request),
            *expected,
            "{method} {host} {target}"
        );
    }
}

#[test]
fn the_first_rule_that_matches_counts() {
    let policy = policy(
        "
- { name: health, path: /healthz, token: none }
- { name: own-orders, path: '/users/{id}/orders', methods: [GET], scopes: [orders:read] }
- { name: users, prefix: /users, scopes: [users] }
- { name: root, path: /, token: optional }
- { name: writes, methods: [POST], scopes: [write] }
",
    );
    check(
        &policy,
        &[
            ("GET", "a", "/healthz", "health"),
            ("GET", "a", "/healthz?x=%2f", "health"),
            ("GET", "a", "/users/1/orders", "own-orders"),
            ("GET", "a", "/users/1/orders?x", "own-orders"),
            ("PUT", "a", "/users/1/orders", "users"),
            ("GET", "a", "/users//orders", "ambiguous_request"),
            ("GET", "a", "/users/1/orders/2", "users"),
            ("GET", "a", "/users", "users"),
            ("GET", "a", "/users/", "users"),
            ("GET", "a", "/userships", "default"),
            ("GET", "a", "/", "root"),
            ("POST", "a", "/", "root"),
            ("POST", "a", "/other", "writes"),
            ("GET", "a", "/other", "default"),
        ],
    );
}

#[test]
fn further_conditions_make_a_rule_stricter_and_other_ones_incomparable() {
    let policy = policy(
        "
- { name: both, prefix: /a, methods: [GET], scopes: [s], conditions: [claims.a, claims.b] }
- { name: one, prefix: /a, scopes: [s], conditions: [claims.b] }
- { name: other, prefix: /b, methods: [GET], conditions: [claims.a] }
- { name: another, prefix: /b, conditions: [claims.b] }
- { name: fewer, prefix: /c, methods: [GET], conditions: [claims.a] }
- { name: scoped, prefix: /c, scopes: [s], conditions: [claims.a] }
",
    );
    check(
        &policy,
        &[
            ("GET", "a", "/a", "both"),
            ("HEAD", "a", "/a", "both"),
            ("POST", "a", "/a", "one"),
            ("HEAD", "a", "/b", "ambiguous_request"),
            ("HEAD", "a", "/c", "ambiguous_request"),
            ("GET", "a", "/a/", "both"),
        ],
    );
}

#[test]
fn hosts_are_compared_without_case_port_and_dot() {
    let policy = policy(
        "
- { name: shop, hosts: [shop.example.com], prefix: /, scopes: [shop] }
- { name: tenants, hosts: ['*.tenants.example.com'], scopes: [tenant] }
- { name: deep, hosts: ['*.example.com', '[::1]'], scopes: [deep] }
- { name: admin, prefix: /admin, scopes: [admin] }
",
    );
    check(
        &policy,
        &[
            ("GET", "shop.example.com", "/admin", "shop"),
            ("GET", "SHOP.Example.Com:8443", "/", "shop"),
            ("GET", "shop.example.com.", "/", "shop"),
            ("GET", "shop.example.com.:80", "/", "shop"),
            ("GET", "a.tenants.example.com", "/", "tenants"),
            ("GET", "a.b.tenants.example.com", "/", "tenants"),
            ("GET", "tenants.example.com", "/", "deep"),
            ("GET", "other.example.com", "/", "deep"),
            ("GET", "example.com", "/", "default"),
            ("GET", "example.com", "/admin/x", "admin"),
            ("GET", "notexample.com", "/", "default"),
            ("GET", "xshop.example.com", "/", "deep"),
            ("GET", "shop.example.com.evil.org", "/", "default"),
            ("GET", "[::1]:80", "/", "deep"),
            ("GET", "[::2]", "/", "default"),
        ],
    );
}

#[test]
fn a_host_that_is_not_known_gets_no_rule_that_another_host_would_not() {
    let policy = policy(
        "
- { name: open, hosts: [static.example.com], token: none }
- { name: shop, hosts: [shop.example.com], scopes: [shop] }
",
    );
    for host in [
        "",
        "..",
        "shop.example.com..",
        "shop.example.com:",
        "shop.example.com:x",
        "shop.example.com,static.example.com",
        "shop.example.com static.example.com",
        "static.example.com@shop.example.com",
        "static.example.com/",
        "static.example.com%00",
        "static。example.com",
        "static.example.com:80:80",
        "[static.example.com]",
    ] {
        // Anybody's: the strictest of both and of the default.
        assert_eq!(chosen(&policy, &asked("GET", host, "/")), "shop", "{host}");
    }
    let two = self::policy(
        "
- { name: one, hosts: [one.example.com], scopes: [one] }
- { name: two, hosts: [two.example.com], scopes: [two] }
",
    );
    assert_eq!(chosen(&two, &asked("GET", "", "/")), "ambiguous_request");
}

pub(super) const STRICT: &str = "
- { name: open, prefix: /open/, token: none }
- { name: admin, prefix: /admin, scopes: [admin] }
";

/// `/admin` in the eyes of some server: never the default, never the open rule.
#[test]
fn no_spelling_of_a_path_gets_a_laxer_rule() {
    let policy = policy(STRICT);
    for target in [
        "/ADMIN",
        "/Admin/x",
        "/admin.",
        "/admin.json",
        "/admin%20",
        "/admin/",
        "/admin;x",
        "/admin;/x",
        "/;/admin",
        "/;x=y/admin",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/..;/admin",
        "/open/../admin",
        "/open/%2e%2e/admin",
        "/open/..%2fadmin",
        "/open/..%5cadmin",
        "/open/..\\admin",
        "/open/%252e%252e/admin",
        "/open/%c0%ae%c0%ae/admin",
        "/open/%u002e%u002e/admin",
        "/open//admin",
        "/open/%2fadmin",
        "/open/x;/../admin",
        "/%61dmin",
        "/%2561dmin",
        "/adm%69n/x",
        "/%EF%BD%81dmin",
        "/a\u{ff44}min",
        "/admin%00",
        "/admin%2f",
        "/admin%5cx",
        "\\admin",
        "admin",
        "http://a/admin",
        "/x?\u{0}",
    ] {
        assert_eq!(
            chosen(&policy, &asked("GET", "a", target)),
            "admin",
            "{target}"
        );
    }
    for (target, expected) in [
        ("/open/x", "open"),
        ("/open/x.json", "open"),
        ("/OPEN/x", "default"),
        ("/open/%41", "default"),
        ("/open/caf%C3%A9", "default"),
        ("/open/a%20b", "default"),
        ("/open/a;b", "default"),
        ("/open/a%2fb", "default"),
        ("/caf%C3%A9/menu%20card", "default"),
        ("/%E4%B8%AD%E6%96%87/x", "default"),
        ("/orders/a%40b", "default"),
        ("/orders/a%2fb", "default"),
        ("/orders/a;b", "default"),
        ("/administration", "default"),
    ] {
        assert_eq!(
            chosen(&policy, &asked("GET", "a", target)),
            expected,
            "{target}"
        );
    }
}

#[test]
fn a_request_between_two_rules_is_refused() {
    let policy = policy(
        "
- { name: users, prefix: /users/, scopes: [users] }
- { name: admin, prefix: /admin, scopes: [admin] }
- { name: same, prefix: /also-admin, scopes: [admin] }
- { name: maybe, prefix: /maybe, token: optional, scopes: [maybe] }
",
    );
    let all = [
        ("GET", "a", "/users/a%40b", "users"),
        ("GET", "a", "/users/group%2Fproject", "users"),
        ("GET", "a", "/users/a;v=1/x", "users"),
        ("GET", "a", "/users/../admin", "ambiguous_request"),
        ("GET", "a", "/users//admin", "ambiguous_request"),
        ("GET", "a", "/users/%2fadmin", "ambiguous_request"),
        ("GET", "a", "/Users/x", "users"),
        ("GET", "a", "/users", "users"),
        // Without a token this rule is the laxer one, with one the stricter.
        ("GET", "a", "/MAYBE", "ambiguous_request"),
        ("GET", "a", "/maybe", "maybe"),
    ];
    check(&policy, &all);
    let mut named = asked("GET", "a", "/users/1");
    named.headers.push("X-Rewrite-Url", b"/admin");
    assert_eq!(chosen(&policy, &named), "ambiguous_request");
    let same = self::policy(
        "
- { name: admin, prefix: /admin, scopes: [admin] }
- { name: same, prefix: /also-admin, scopes: [admin] }
",
    );
    let between = asked("GET", "a", "/x//y");
    assert_eq!(chosen(&same, &between), "admin", "both demand the same");
}

#[test]
fn methods_that_are_read_in_two_ways_get_the_stricter_rule() {
    let policy = policy(
        "
- { name: open-reads, prefix: /items, methods: [GET], token: none }
- { name: deletes, prefix: /items, methods: [DELETE], scopes: [delete] }
- { name: secrets, prefix: /secrets, methods: [GET], scopes: [secrets] }
",
    );
    check(
        &policy,
        &[
            ("GET", "a", "/items/1", "open-reads"),
            ("DELETE", "a", "/items/1", "deletes"),
            ("POST", "a", "/items/1", "default"),
            ("delete", "a", "/items/1", "deletes"),
            ("get", "a", "/items/1", "default"),
            ("HEAD", "a", "/items/1", "default"),
            ("HEAD", "a", "/secrets/1", "secrets"),
            ("", "a", "/items/1", "deletes"),
            ("POST", "a", "/items/1?_method=DELETE", "deletes"),
            ("GET", "a", "/items/1?_method=delete", "deletes"),
            ("GET", "a", "/items/1?verb=DELETE", "default"),
            ("DELETE", "a", "/items/1?sort=put", "deletes"),
        ],
    );
    for name in [
        "X-HTTP-Method-Override",
        "x_http_method",
        "X.Method.Override",
    ] {
        let mut renamed = asked("GET", "a", "/items/1");
        renamed.headers.push(name, b"DELETE");
        assert_eq!(chosen(&policy, &renamed), "deletes", "{name}");
    }
}

const NAMED: &str = "
- { name: partner, clients: [partner] }
- { name: open, token: none }
- { name: admin, prefix: /admin, scopes: [admin] }
";

#[test]
fn a_rule_without_a_match_is_for_the_proxy_to_name() {
    let policy = policy(NAMED);
    let named = |name, target| {
        let request = Request {
            policy: NamedPolicy::Name(name),
            ..asked("GET", "a", target)
        };
        chosen(&policy, &request)
    };
    assert_eq!(named("partner", "/admin"), "partner");
    assert_eq!(named("open", "/x/../admin"), "open");
    // A rule that matches by itself must not be stretched to other routes.
    for unknown in ["admin", "Partner", "partner ", "", "default", "bypass"] {
        assert_eq!(named(unknown, "/"), "unknown_policy", "{unknown:?}");
    }
    check(
        &policy,
        &[
            ("GET", "a", "/", "default"),
            ("GET", "a", "/admin", "admin"),
        ],
    );
    let none = Request {
        policy: NamedPolicy::Name("partner"),
        ..asked("GET", "a", "/")
    };
    assert_eq!(chosen(&Policy::default(), &none), "unknown_policy");
}

#[test]
fn the_header_that_names_a_policy_is_read_at_http_doors_only_and_never_missed() {
    let policy = policy(NAMED);
    let with = |naming, values: &[&'static str]| {
        let mut request = Request {
            policy: naming,
            ..asked("GET", "a", "/admin")
        };
        for value in values {
            request.headers.push("x-policy", value.as_bytes());
        }
        chosen(&policy, &request)
    };
    assert_eq!(with(NamedPolicy::InHeader, &["partner"]), "partner");
    assert_eq!(with(NamedPolicy::InHeader, &["default"]), "admin");
    for values in [
        &[][..],
        &["partner", "open"],
        &["open", "open"],
        &["admin"],
        &[""],
    ] {
        assert_eq!(
            with(NamedPolicy::InHeader, values),
            "unknown_policy",
            "{values:?}"
        );
    }
    assert_eq!(with(NamedPolicy::No, &["open"]), "admin");
    let silent = Policy::build(&[], &rules(NAMED), None, &mut ConfigErrors::new()).unwrap();
    let mut request = Request {
        policy: NamedPolicy::InHeader,
        ..asked("GET", "a", "/admin")
    };
    request.headers.push("x-policy", b"open");
    assert_eq!(
        chosen(&silent, &request),
        "admin",
        "no header is configured"
    );
}

#[test]
fn unsound_rules_are_refused() {
    for (yaml, expected) in [
        (
            "- { name: Ä, path: /a }",
            "policies[0].name: must have 1 to 64",
        ),
        (
            "- { name: default, path: /a }",
            "policies[0].name: means that no",
        ),
        (
            "[{ name: a, path: /a }, { name: a, path: /b }]",
            "policies[1].name: an earlier",
        ),
        (
            "- { name: a, path: /a, prefix: /b }",
            "policies[0]: give path or prefix",
        ),
        (
            "- { name: a, path: a }",
            "policies[0].path: \"a\" does not begin",
        ),
        ("- { name: a, path: /a%20b }", "servers read differently"),
        ("- { name: a, path: '/{}' }", "servers read differently"),
        ("- { name: a, path: '/x{id}' }", "servers read differently"),
        ("- { name: a, prefix: /a/../b }", "segment of dots"),
        (
            "- { name: a, hosts: ['a:80'] }",
            "policies[0].hosts: \"a:80\" must have no port",
        ),
        (
            "- { name: a, hosts: ['a.*.b'] }",
            "asterisk only as its first",
        ),
        ("- { name: a, hosts: ['*'] }", "asterisk only as its first"),
        (
            "- { name: a, hosts: [ü.example.com] }",
            "must be written in ASCII",
        ),
        ("- { name: a, hosts: [''] }", "is not the name of a host"),
        (
            "- { name: a, methods: [get] }",
            "policies[0].methods: \"get\" is not a method",
        ),
        (
            "- { name: a, prefix: /, token: none }",
            "exempts every path of every host",
        ),
        (
            "- { name: a, methods: [GET], token: optional }",
            "exempts every path of every host",
        ),
        (
            "- { name: a, path: /a, token: none, scopes: [b] }",
            "policies[0].token: ignores tokens",
        ),
        (
            "- { name: a, path: /a, scopes: [a b] }",
            "policies[0].scopes: \"a b\" has a space",
        ),
        (
            "- { name: a, path: /a, acr: ['a\"b'] }",
            "policies[0].acr: ",
        ),
        (
            "- { name: a, path: /a, clients: [''] }",
            "must not contain an empty string",
        ),
        (
            "- { name: a, path: /a, max_auth_age: 0s }",
            "policies[0].max_auth_age: must be at least",
        ),
    ] {
        let found = mistakes(yaml);
        assert!(
            found.iter().any(|text| text.contains(expected)),
            "{yaml}: {found:?}"
        );
    }
    let mut errors = ConfigErrors::new();
    for header in ["host", "x policy", "", "authorization"] {
        assert!(config::header(header, &mut errors).is_none(), "{header}");
    }
    assert_eq!(errors.into_vec().len(), 4);
}

#[test]
fn rules_that_nothing_reaches_are_reported() {
    for (first, second) in [
        ("path: /a", "path: /a"),
        ("prefix: /a", "path: /a"),
        ("prefix: /a", "prefix: /a/b"),
        ("prefix: /a", "prefix: /a/"),
        ("prefix: /a/", "path: /a/b"),
        ("prefix: /", "path: /a"),
        ("path: '/a/{x}'", "path: /a/b"),
        ("path: '/a/{x}'", "path: '/a/{y}'"),
        ("prefix: '/{x}'", "path: /a/b"),
        (
            "prefix: /a, methods: [GET, PUT]",
            "path: /a, methods: [GET]",
        ),
        ("prefix: /a", "path: /a, methods: [GET], hosts: [b]"),
        ("hosts: ['*.b.c']", "hosts: [a.b.c, x.y.b.c], path: /a"),
        ("hosts: ['*.c']", "hosts: ['*.b.c']"),
    ] {
        let yaml = |one, other| format!("[{{ name: one, {one} }}, {{ name: two, {other} }}]");
        let found = mistakes(&yaml(first, second));
        let expected = "policies[1]: is never reached: one comes first";
        assert!(
            found[0].starts_with(expected),
            "{first} {second}: {found:?}"
        );
        if first != second && !second.contains("{y}") {
            assert_eq!(mistakes(&yaml(second, first)), [""; 0], "{second} {first}");
        }
    }
    for (first, second) in [
        ("prefix: /a/", "path: /a"),
        ("path: /a/b", "path: '/a/{x}'"),
        ("path: '/a/{x}'", "path: /a/"),
        ("path: /a, methods: [GET]", "path: /a"),
        ("path: /a, hosts: [a]", "path: /a, hosts: [a, b]"),
        ("hosts: ['*.b']", "hosts: [b]"),
    ] {
        let yaml = format!("[{{ name: one, {first} }}, {{ name: two, {second} }}]");
        assert_eq!(mistakes(&yaml), [""; 0], "{yaml}");
    }
    let mut errors = ConfigErrors::new();
    let open = [prefix("/open")];
    let rules = rules("- { name: a, path: /open/a, scopes: [a] }");
    Policy::build(&open, &rules, None, &mut errors);
    assert!(errors.messages()[0].contains("policies[0]: is never reached: bypass /open"));
}
