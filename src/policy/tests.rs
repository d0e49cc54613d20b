mod careless;
mod rules;
mod shadow;
mod tokens;

use super::bypass::Tokens;
use super::*;
use crate::core::request::Headers;

fn request(target: &str) -> Request<'_> {
    Request {
        method: "GET",
        target,
        ..Request::unread()
    }
}

/// What happens to a token of the request, if it needs none.
fn exempts(policy: &Policy, request: &Request<'_>) -> Option<Tokens> {
    match policy
        .select(request)
        .expect("nobody names a policy")
        .need()
    {
        Need::Nothing(_) => Some(Tokens::Ignored),
        Need::GoodIfAny(_) => Some(Tokens::Optional),
        Need::Token => None,
    }
}

fn prefix(text: &str) -> Bypass {
    Bypass {
        prefix: Some(text.to_owned()),
        ..Bypass::default()
    }
}

fn exact(text: &str) -> Bypass {
    Bypass {
        exact: Some(text.to_owned()),
        ..Bypass::default()
    }
}

fn mistakes_in(bypass: &Bypass) -> Vec<String> {
    let mut errors = ConfigErrors::new();
    let policy = Policy::build(std::slice::from_ref(bypass), &[], None, &mut errors);
    assert_eq!(policy.is_some(), errors.is_empty());
    errors.messages()
}

fn policy_of(bypasses: &[Bypass]) -> Policy {
    Policy::build(bypasses, &[], None, &mut ConfigErrors::new()).expect("the routes are sound")
}

#[test]
fn tricky_paths_are_never_exempt() {
    let policy = policy_of(&[prefix("/public/"), prefix("/open"), exact("/healthz")]);
    for target in [
        "",
        "*",
        "public/",
        "/public",
        "/PUBLIC/a",
        "/Public/a",
        "/publicity",
        "/public/../admin",
        "/public/..",
        "/public/./../admin",
        "/public/.",
        "/public/...",
        "/public/.../admin",
        "/public/a/..//../admin",
        "/public/%2e%2e/admin",
        "/public/%2E%2e/admin",
        "/public/.%2e/admin",
        "/public/..%2fadmin",
        "/public/..%2Fadmin",
        "/public/..%5cadmin",
        "/public/..%5Cadmin",
        "/public/..\\admin",
        "/public\\..\\admin",
        "/public/a\\b",
        "/public//admin",
        "//public/a",
        "/public///a",
        "/public/..;/admin",
        "/public/..;x=1/admin",
        "/public/;/../admin",
        "/public/a;jsessionid=1",
        "/public;/a",
        "/%70ublic/a",
        "/public/%70",
        "/public/%",
        "/public/%zz",
        "/public/%2",
        "/public/%00",
        "/public/%252e%252e/admin",
        "/public/%c0%ae%c0%ae/admin",
        "/public/%c0%af../admin",
        "/public/%u002e%u002e/admin",
        "/public/%ef%bc%8f..",
        "/public/\u{0}",
        "/public/a\tb",
        "/public/a b",
        "/public/a\r\nX: y",
        "/public/a\u{7f}",
        "/public/é",
        "/public/／../admin",
        "/public/．．/admin",
        "/public/a#/../admin",
        "/public/a?x=\u{0}",
        "/public/a?x=é",
        "http://shop.example.com/public/a",
        "https://shop.example.com/public/a",
        "shop.example.com:443",
        "/healthz/",
        "/healthz/x",
        "/healthzz",
        "/Healthz",
        "/health%7a",
        "/opener",
        "/open.html",
        "/open;/x",
    ] {
        assert!(exempts(&policy, &request(target)).is_none(), "{target:?}");
    }
}

#[test]
fn headers_that_replace_the_path_end_the_exemption() {
    let policy = policy_of(&[prefix("/public/")]);
    let with = |name: &'static str, value: &'static str| {
        let mut request = request("/public/a?b=c");
        request.headers.push(name, value.as_bytes());
        exempts(&policy, &request).is_some()
    };
    for (name, value) in [
        ("X-Original-URL", "/admin"),
        ("x.original.url", "/admin"),
        ("X_Rewrite!URL", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("x-rewrite-url", ""),
        ("x-original-url", "/public/a"),
        ("x-original-url", "/admin?/public/a?b=c"),
        (
            "x-original-url",
            "https://shop.example.com/admin?/public/a?b=c",
        ),
        ("x-original-url", "https:///public/a?b=c"),
    ] {
        assert!(!with(name, value), "{name}: {value}");
    }
    assert!(with("x-original-url", "/public/a?b=c"));
    assert!(with(
        "x-original-url",
        "https://shop.example.com:8443/public/a?b=c"
    ));
}

#[test]
fn methods_are_compared_with_case_and_cannot_be_overridden() {
    let policy = policy_of(&[Bypass {
        methods: Some(vec!["GET".to_owned(), "HEAD".to_owned()]),
        ..prefix("/public/")
    }]);
    let method = |method| {
        exempts(
            &policy,
            &Request {
                method,
                target: "/public/a",
                ..Request::unread()
            },
        )
        .is_some()
    };
    assert!(method("GET") && method("HEAD"));
    assert!(!method("POST") && !method("get") && !method("") && !method("GETX"));
    let mut overridden = request("/public/a");
    overridden.headers.push("X-HTTP-Method-Override", b"DELETE");
    assert!(exempts(&policy, &overridden).is_none());
}

#[test]
fn the_query_cannot_override_the_method() {
    let policy = policy_of(&[Bypass {
        methods: Some(vec!["GET".to_owned()]),
        ..prefix("/public/")
    }]);
    let exempt = |query: &str| {
        let target = format!("/public/a?{query}");
        exempts(&policy, &request(&target)).is_some()
    };
    for query in [
        "_method=DELETE",
        "_METHOD=DELETE",
        "a=b&_method=DELETE",
        "a=b;_method=DELETE",
        "%5fmethod=DELETE",
        "%5Fm%65thod=DELETE",
        "_method[]=DELETE",
        "_http[method=DELETE",
        "x_http[method_override=DELETE",
        "_method%5B%5D=DELETE",
        "[method=DELETE",
        "%255fmethod=DELETE",
        "_method%00=DELETE",
        "%c1%9fmethod=DELETE",
        ".method=DELETE",
        "+_method=DELETE",
        "%20_method=DELETE",
        "_method",
        "_HttpMethod=DELETE",
        "X-HTTP-Method-Override=DELETE",
        "x_http_method=DELETE",
        "X-Method-Override=DELETE",
        "x-tunneled-method=merge",
        "$httpMethod=MERGE",
        // A method for a value, whatever the name.
        "method=DELETE",
        "a=b&verb=put",
        "m=%50ATCH",
        "m=%2550ATCH",
        "m=+post+",
    ] {
        assert!(!exempt(query), "{query}");
    }
    for query in [
        "",
        "method=card",
        "a=_method",
        "my_method=x",
        "_methods=x",
        "q=%5fmethod",
        "q=delete+me",
        "discount=50%25",
        "DELETE",
    ] {
        assert!(exempt(query), "{query}");
    }
    for name in [
        "x.http.method.override",
        "X_HTTP_Method",
        "x-method_override",
        "X-Tunneled-Method",
    ] {
        let mut overridden = request("/public/a");
        overridden.headers.push(name, b"DELETE");
        assert!(exempts(&policy, &overridden).is_none(), "{name}");
    }
    let every_method = policy_of(&[prefix("/public/")]);
    assert!(exempts(&every_method, &request("/public/a?_method=DELETE")).is_some());
}

#[test]
fn preflight_requests_may_be_exempt_everywhere() {
    let preflight = |methods: &[&str]| Bypass {
        methods: Some(methods.iter().map(|&method| method.to_owned()).collect()),
        ..prefix("/")
    };
    assert_eq!(mistakes_in(&preflight(&["OPTIONS"])), [""; 0]);
    for methods in [&["GET", "OPTIONS"][..], &["HEAD"], &[]] {
        assert!(!mistakes_in(&preflight(methods)).is_empty(), "{methods:?}");
    }
    let policy = policy_of(&[preflight(&["OPTIONS"])]);
    for target in ["/", "/a%2fb", "/a/../b", "/a;b//c", "*", "/a?_x=é"] {
        let asked = |method, headers| Request {
            method,
            target,
            headers,
            ..Request::unread()
        };
        let options = asked("OPTIONS", Headers::new());
        assert_eq!(
            exempts(&policy, &options),
            Some(Tokens::Ignored),
            "{target}"
        );
        assert_eq!(exempts(&policy, &asked("GET", Headers::new())), None);
        let mut headers = Headers::new();
        headers.push("x-http-method-override", b"DELETE");
        assert_eq!(exempts(&policy, &asked("OPTIONS", headers)), None);
    }
}

#[test]
fn the_first_entry_that_fits_says_what_happens_to_a_token() {
    let optional = Bypass {
        token: Tokens::Optional,
        ..prefix("/public/")
    };
    let policy = policy_of(&[exact("/public/logo.png"), optional]);
    for (target, expected) in [
        ("/public/logo.png", Some(Tokens::Ignored)),
        ("/public/a", Some(Tokens::Optional)),
        ("/public/../a", None),
        ("/orders", None),
    ] {
        assert_eq!(exempts(&policy, &request(target)), expected, "{target}");
    }
}

#[test]
fn invalid_entries_are_refused_and_exempt_nothing() {
    for (bypass, expected) in [
        (
            prefix("/"),
            "bypass[0].prefix: this prefix exempts every path",
        ),
        (
            prefix(""),
            "bypass[0].prefix: this prefix exempts every path",
        ),
        (prefix("public/"), "does not begin with a slash"),
        (prefix("/public/../"), "segment of dots"),
        (prefix("//"), "double slash"),
        (prefix("/public/%20/"), "servers read differently"),
        (exact("/a;b"), "servers read differently"),
        (exact(""), "does not begin with a slash"),
        (Bypass::default(), "exact or prefix is missing"),
        (
            Bypass {
                exact: Some("/a".to_owned()),
                ..prefix("/b")
            },
            "not both",
        ),
        (
            Bypass {
                methods: Some(vec![]),
                ..prefix("/b")
            },
            "bypass[0].methods: an empty list",
        ),
        (
            Bypass {
                methods: Some(vec!["get".to_owned()]),
                ..prefix("/b")
            },
            "\"get\" is not a method",
        ),
    ] {
        let found = mistakes_in(&bypass);
        assert!(
            found.iter().any(|text| text.contains(expected)),
            "{found:?}"
        );
    }
}

#[test]
fn plain_paths_are_exempt_as_documented() {
    let policy = policy_of(&[
        prefix("/public/"),
        prefix("/open"),
        exact("/healthz"),
        exact("/"),
    ]);
    for target in [
        "/",
        "/?a=b",
        "/healthz",
        "/healthz?verbose=%2e%2e",
        "/public/",
        "/public/a/b.css",
        "/public/.well-known/x",
        "/public/a..b/..c/d..",
        "/public/a/",
        "/open",
        "/open/",
        "/open/a@b:c",
    ] {
        assert!(exempts(&policy, &request(target)).is_some(), "{target}");
    }
    assert!(exempts(&Policy::default(), &request("/")).is_none());
}
