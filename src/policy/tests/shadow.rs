//! Rules in shadow.

use proptest::prelude::*;

use super::rules::rules;
use super::*;

const ALL: &str = "
- { name: open, prefix: /open, token: optional }
- { name: own, path: '/users/{id}', methods: [GET], scopes: [own] }
- { name: host, hosts: [a.example.com], prefix: /users, scopes: [host] }
- { name: users, prefix: /users, scopes: [users] }
- { name: writes, methods: [POST, PUT], clients: [writer] }
- { name: lenient, prefix: /status, when_stale: allow }
- { name: named, clients: [partner] }
";

const HOSTS: [&str; 3] = ["a.example.com", "b.example.com", ""];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "put"];
const TARGETS: [&str; 9] = [
    "/users/1",
    "/USERS/1",
    "/users/1/2",
    "/users//1",
    "/open/users",
    "/open/..;/users/1",
    "/status",
    "/STATUS",
    "/else",
];

fn build(list: &[RuleConfig]) -> Policy {
    let policy = Policy::build(&[], list, None, &mut ConfigErrors::new());
    policy.expect("the rules are sound")
}

fn shown(selected: Result<&Rule, Rejection>) -> String {
    selected.map_or_else(
        |refused| refused.reason.to_string(),
        |rule| rule.name().to_owned(),
    )
}

proptest! {
    /// Whatever is in shadow, a request gets what it gets without these rules, and in shadow what it gets if none
    /// is in shadow.
    #[test]
    fn a_rule_in_shadow_changes_nothing_and_says_what_it_would_change(
        in_shadow in prop::collection::vec(any::<bool>(), 7),
        host in prop::sample::select(&HOSTS[..]),
        method in prop::sample::select(&METHODS[..]),
        target in prop::sample::select(&TARGETS[..]),
    ) {
        let request = Request { method, host, ..request(target) };
        let whole = rules(ALL);
        let mut marked = whole.clone();
        for (rule, shadow) in marked.iter_mut().zip(in_shadow) {
            rule.shadow = shadow;
        }
        let enforced: Vec<_> = marked.iter().filter(|rule| !rule.shadow).cloned().collect();
        let policy = build(&marked);
        let selected = policy.select(&request);
        let (without, with) = (build(&enforced), build(&whole));
        prop_assert_eq!(shown(selected.clone()), shown(without.select(&request)));
        if let Ok(rule) = selected {
            let would = policy.select_in_shadow(&request, rule).map(shown);
            let whole = shown(with.select(&request));
            prop_assert_eq!(would.unwrap_or_else(|| rule.name().to_owned()), whole);
        }
    }
}

#[test]
fn a_rule_in_shadow_that_the_proxy_names_leaves_the_rules_that_match() {
    let policy = build(&rules(
        "
- { name: users, prefix: /users, scopes: [users] }
- { name: partner, clients: [partner], shadow: true }
",
    ));
    for (target, name) in [("/users", "users"), ("/", "default")] {
        let request = Request {
            policy: NamedPolicy::Name("partner"),
            ..request(target)
        };
        let selected = policy.select(&request).unwrap();
        assert_eq!(selected.name(), name);
        let would = policy.select_in_shadow(&request, selected);
        assert_eq!(would.unwrap().unwrap().name(), "partner");
    }
    let unknown = Request {
        policy: NamedPolicy::Name("nobody"),
        ..request("/")
    };
    assert_eq!(shown(policy.select(&unknown)), "unknown_policy");
}

#[test]
fn a_rule_that_minds_a_silent_feed_less_is_not_the_stricter_one() {
    let rules = rules(
        "
- { name: lax, prefix: /a, methods: [GET], scopes: [s], when_stale: allow }
- { name: usual, prefix: /a, scopes: [s] }
- { name: strict, prefix: /b, methods: [GET], when_stale: deny }
- { name: other, prefix: /b }
",
    );
    let policy = build(&rules);
    for (target, expected) in [("/a", "usual"), ("/b", "strict"), ("/A", "usual")] {
        let request = Request {
            method: "HEAD",
            ..request(target)
        };
        assert_eq!(shown(policy.select(&request)), expected, "{target}");
    }
    assert!(policy.is_lenient());
    assert!(!build(&rules[1..]).is_lenient());
}

#[test]
fn what_shadow_and_when_stale_cannot_change_is_a_mistake() {
    for (rule, field) in [
        ("token: none, shadow: true", "shadow"),
        ("token: none, when_stale: deny", "when_stale"),
    ] {
        let rules = rules(&format!("- {{ name: it, path: /it, {rule} }}"));
        let mut errors = ConfigErrors::new();
        Policy::build(&[], &rules, None, &mut errors);
        let messages = errors.messages();
        assert!(
            messages[0].starts_with(&format!("policies[0].{field}: ")),
            "{messages:?}"
        );
    }
    // An enforced rule may stand behind one in shadow that matches the same, not the other way round.
    let list = |first, second| {
        rules(&format!(
            "[{{ name: a, prefix: /a, shadow: {first} }}, {{ name: b, prefix: /a, shadow: {second} }}]"
        ))
    };
    for (first, second, is_sound) in [
        (true, false, true),
        (false, true, false),
        (true, true, true),
    ] {
        let mut errors = ConfigErrors::new();
        Policy::build(&[], &list(first, second), None, &mut errors);
        assert_eq!(errors.is_empty(), is_sound, "{first} {second}");
    }
}
