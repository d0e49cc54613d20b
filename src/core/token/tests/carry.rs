//! Taking tokens out of a request.

use super::*;

fn stripped(yaml: &str, all: bool, target: &str, headers: &[(&str, &[u8])]) -> Vec<String> {
    let sources = sources(yaml);
    let mut held = Headers::new();
    for (name, value) in headers {
        held.push(*name, value);
    }
    let request = Request {
        method: "GET",
        target,
        headers: held,
        ..Request::unread()
    };
    let located = sources.find(&request).ok().unwrap();
    let stripped = sources.strip(located.carriers, all, &request);
    let removed = stripped.remove.iter().map(|name| format!("-{name}"));
    let replaced = stripped
        .replace
        .iter()
        .map(|(name, rest)| format!("{name}={}", String::from_utf8_lossy(rest)));
    let query = stripped.query.iter().map(|name| format!("?{name}"));
    removed.chain(replaced).chain(query).collect()
}

/// Target, headers, what changes.
type Case<'a> = (&'a str, &'a [(&'a str, &'a [u8])], &'a [&'a str]);

#[test]
fn a_token_is_taken_out_wherever_it_was_found() {
    let all = "sources: [{header: authorization, scheme: Bearer}, {cookie: session}, \
               {query: access_token}, {websocket_protocol: bearer}]";
    let cases: [Case<'_>; 8] = [
        ("/", &[("authorization", b"Bearer a")], &["-authorization"]),
        ("/?access_token=a&b=c", &[], &["?access_token"]),
        ("/", &[("cookie", b"session=a")], &["-cookie"]),
        (
            "/",
            &[("cookie", b"x=1,2; session=a;y=\"3\"")],
            &["cookie=x=1,2; y=\"3\""],
        ),
        (
            "/",
            &[("cookie", b"x=1,session=a"), ("cookie", b"z=2")],
            &["cookie=x=1; z=2"],
        ),
        (
            "/",
            &[("cookie", b"session.1=b; x=1; session.0=a")],
            &["cookie=x=1"],
        ),
        (
            "/",
            &[("sec-websocket-protocol", b"chat, bearer, a, v2")],
            &["sec-websocket-protocol=chat, bearer, v2"],
        ),
        (
            "/?access_token=a",
            &[("authorization", b"Bearer a"), ("cookie", b"session=a")],
            &["-authorization", "-cookie", "?access_token"],
        ),
    ];
    for (target, headers, expected) in cases {
        let mut found = stripped(all, true, target, headers);
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{target} {headers:?}");
        assert!(stripped(all, false, target, headers).is_empty());
    }
}

#[test]
fn a_token_that_was_passed_over_is_taken_out_always() {
    let first = "{several: first, sources: [{header: authorization, scheme: Bearer}, \
                 {cookie: session}]}";
    let bearer: (&str, &[u8]) = ("authorization", b"Bearer a");
    for loser in ["session=b", "session=b; session=c", "session.1=b"] {
        let headers = [bearer, ("cookie", loser.as_bytes())];
        assert_eq!(
            stripped(first, false, "/", &headers),
            ["-cookie"],
            "{loser}"
        );
    }
    let own_header = "{several: first, sources: [{header: x-token}, \
                      {header: authorization, scheme: Bearer}]}";
    let headers: [(&str, &[u8]); 2] = [("authorization", b"Bearer b"), ("x-token", b"a")];
    assert_eq!(
        stripped(own_header, false, "/", &headers),
        ["-authorization"]
    );
}
