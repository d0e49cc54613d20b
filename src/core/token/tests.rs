mod carry;

use super::*;
use crate::core::config_error::ConfigErrors;
use crate::core::reason::Reason;
use crate::core::request::{Headers, Request};

const JWT: &str = "aaa.bbb.ccc";

fn sources(yaml: &str) -> Sources {
    let config: Config = serde_saphyr::from_str(yaml).unwrap();
    let mut errors = ConfigErrors::new();
    config.check(&mut errors);
    assert_eq!(errors.into_vec(), []);
    Sources::new(&config)
}

fn everywhere() -> Sources {
    sources(
        "sources: [{header: authorization, scheme: Bearer}, {header: X-Token}, \
         {cookie: session}, {query: access_token}]",
    )
}

fn find(sources: &Sources, target: &str, headers: &[(&str, &[u8])]) -> Result<String, Reason> {
    let mut held = Headers::new();
    for (name, value) in headers {
        held.push(name, value);
    }
    let request = Request {
        method: "GET",
        target,
        headers: held,
        ..Request::unread()
    };
    sources
        .find(&request)
        .map(|located| located.token().expose().to_owned())
}

const MALFORMED: Result<String, Reason> = Err(Reason::MalformedToken);
const MISSING: Result<String, Reason> = Err(Reason::MissingToken);

#[test]
fn two_tokens_in_one_place_are_refused() {
    let all = everywhere();
    let headers: [&[(&str, &[u8])]; 10] = [
        &[
            ("authorization", b"Bearer a"),
            ("Authorization", b"Bearer b"),
        ],
        &[("authorization", b"Bearer a,Bearer b")],
        &[("authorization", b"Basic a, Bearer b")],
        &[
            ("authorization", b"Basic a"),
            ("authorization", b"Bearer b"),
        ],
        &[("authorization", b"Bearer a Bearer b")],
        &[("x-token", b"a"), ("X-Token", b"b")],
        &[("x-token", b"a,b")],
        &[("cookie", b"session=a; session=b")],
        &[("cookie", b"session=a"), ("cookie", b"session=b")],
        &[("cookie", b"session=a; other=1,session=b")],
    ];
    for headers in headers {
        assert_eq!(find(&all, "/", headers), MALFORMED, "{headers:?}");
    }
    for target in [
        "/?access_token=a&access_token=b",
        "/?access_token=a&%61ccess_token=b",
        "/?access%5Ftoken=a",
        "/?access.token=a",
        "/?+access%20token=a",
        "/?access_token=a;access_token=b",
        "/?access_token=a%2eb",
    ] {
        assert_eq!(find(&all, target, &[]), MALFORMED, "{target}");
    }
}

#[test]
fn tokens_that_are_not_utf8_or_too_long_are_refused() {
    let all = everywhere();
    assert_eq!(
        find(&all, "/", &[("authorization", b"Bearer \xff")]),
        MALFORMED
    );
    assert_eq!(find(&all, "/", &[("cookie", b"session=\xff")]), MALFORMED);
    let small = sources("max_size: 4B");
    assert_eq!(
        find(&small, "/", &[("authorization", b"Bearer 12345")]),
        Err(Reason::TokenTooLarge)
    );
    assert_eq!(
        find(&small, "/", &[("authorization", b"Bearer 1234")]).unwrap(),
        "1234"
    );
}

#[test]
fn an_absent_or_empty_token_is_missing() {
    let all = everywhere();
    let headers: [&[(&str, &[u8])]; 7] = [
        &[],
        &[("authorization", b"")],
        &[("authorization", b"Bearer")],
        &[("authorization", b"Bearer  ")],
        &[("authorization", b"Bearerabc")],
        &[("authorization", b"Basic abc")],
        &[("cookie", b"session=; Session=a; xsession=b")],
    ];
    for headers in headers {
        assert_eq!(find(&all, "/", headers), MISSING, "{headers:?}");
    }
    assert_eq!(find(&all, "/?access_token=", &[]), MISSING);
    assert_eq!(find(&all, "/access_token=a", &[]), MISSING);
}

#[test]
fn every_place_is_found_and_the_first_wins_where_that_is_configured() {
    let all = sources(
        "{several: first, sources: [{header: authorization, scheme: Bearer}, {header: X-Token}, \
         {cookie: session}, {query: access_token}]}",
    );
    let target = format!("/?x=1&access_token={JWT}");
    assert_eq!(find(&all, &target, &[]).unwrap(), JWT);
    let cookie: (&str, &[u8]) = ("Cookie", b"a=%; session=from.the.cookie ;b=\xff");
    assert_eq!(find(&all, &target, &[cookie]).unwrap(), "from.the.cookie");
    let header: (&str, &[u8]) = ("X-TOKEN", b" from.x.token ");
    assert_eq!(
        find(&all, &target, &[cookie, header]).unwrap(),
        "from.x.token"
    );
    let basic: (&str, &[u8]) = ("authorization", b"Basic dTpw");
    assert_eq!(find(&all, "/", &[basic, header]).unwrap(), "from.x.token");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {JWT}");
        let bearer = ("authorization", value.as_bytes());
        assert_eq!(find(&all, &target, &[bearer, header]).unwrap(), JWT);
    }
}

#[test]
fn different_tokens_in_two_places_are_refused() {
    let all = everywhere();
    let bearer: (&str, &[u8]) = ("authorization", b"Bearer a");
    for (target, other) in [
        ("/", ("x-token", &b"b"[..])),
        ("/", ("cookie", b"session=b")),
        ("/?access_token=b", ("a", b"")),
    ] {
        let found = find(&all, target, &[bearer, other]);
        assert_eq!(found, Err(Reason::SeveralTokens), "{target} {other:?}");
    }
    for (target, other) in [
        ("/", ("x-token", &b"a"[..])),
        ("/", ("x-token", b"")),
        (
            "/?access_token=a",
            ("cookie", b"session=a; session=; session=a"),
        ),
        (
            "/?access_token=&access_token=a&access_token",
            ("authorization", b"Bearer a"),
        ),
        ("/", ("authorization", b" bearer  a ")),
        ("/", ("authorization", b"Basic")),
    ] {
        let headers: &[_] = match other.0 {
            "authorization" if other.1 == b"Basic" => &[bearer],
            _ => &[bearer, other],
        };
        assert_eq!(
            find(&all, target, headers).unwrap(),
            "a",
            "{target} {other:?}"
        );
    }
}

#[test]
fn schemes_of_others_are_no_token_whatever_commas_they_have() {
    let all = everywhere();
    for value in [
        "Digest username=\"Mufasa\", realm=\"a@b\", nonce=\"x\", uri=\"/\"",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-date, Signature=c",
        "Basic dTpw, Basic dTpw",
        "Negotiate a,b,c",
    ] {
        let headers: &[(&str, &[u8])] = &[("authorization", value.as_bytes())];
        assert_eq!(find(&all, "/", headers), MISSING, "{value}");
    }
    for value in [
        "Digest username=\"a\",Bearer b",
        "Bearer a,b",
        "Bearer a, Digest b",
        "a,bearer b",
    ] {
        let headers: &[(&str, &[u8])] = &[("authorization", value.as_bytes())];
        assert_eq!(find(&all, "/", headers), MALFORMED, "{value}");
    }
}

#[test]
fn a_cookie_may_have_quotes_the_word_bearer_and_pieces() {
    let all = everywhere();
    let found = |cookie: &str| find(&all, "/", &[("cookie", cookie.as_bytes())]);
    for cookie in [
        "session=aaa.bbb.ccc",
        "session=\"aaa.bbb.ccc\"",
        "session=Bearer aaa.bbb.ccc",
        "session=bearer%20aaa.bbb.ccc",
        "session=\"Bearer+aaa.bbb.ccc\"",
        "session.0=aaa.bb; session.1=b.ccc",
        "session.1=b.ccc; x=1; session.0=Bearer aaa.bb",
        "session=; session.0=aaa.bbb.ccc",
        "session.10=c; session.2=a; session.0=aa; session.1=a.; session.3=b; session.4=b; \
         session.5=b; session.6=.; session.7=; session.8=c; session.9=c",
    ] {
        let expected = if cookie.contains("session.10") {
            "aaa.abbb.ccc"
        } else {
            JWT
        };
        assert_eq!(found(cookie).unwrap(), expected, "{cookie}");
    }
    for cookie in [
        "session.0=aaa; session.2=ccc",
        "session.1=aaa",
        "session.0=aaa; session.0=bbb",
        "session=Bearer Bearer a",
    ] {
        assert_eq!(found(cookie), MALFORMED, "{cookie}");
    }
    let both = found("session=aaa.bbb.ccc; session.0=ddd");
    assert_eq!(both, Err(Reason::SeveralTokens));
    // A piece that is left over from an older, longer cookie.
    assert_eq!(found("session=aaa.bbb.ccc; session.1=ddd").unwrap(), JWT);
    for cookie in [
        "session.00=a",
        "session.=a",
        "session.x=a",
        "session_0=a",
        "session.-1=a",
    ] {
        assert_eq!(found(cookie), MISSING, "{cookie}");
    }
}

#[test]
fn a_websocket_may_list_its_token_among_its_protocols() {
    let bearer = sources("sources: [{websocket_protocol: bearer}]");
    let kubernetes = "base64url.bearer.authorization.k8s.io";
    let dotted = sources(&format!("sources: [{{websocket_protocol: {kubernetes}}}]"));
    let found = |sources: &Sources, value: &str| {
        find(
            sources,
            "/",
            &[("Sec-WebSocket-Protocol", value.as_bytes())],
        )
    };
    for value in [
        "bearer, aaa.bbb.ccc",
        "chat,bearer,aaa.bbb.ccc,v2",
        "bearer.aaa.bbb.ccc, chat",
    ] {
        assert_eq!(found(&bearer, value).unwrap(), JWT, "{value}");
    }
    let encoded = format!("v4.channel.k8s.io, {kubernetes}.YWFhLmJiYi5jY2M");
    assert_eq!(found(&dotted, &encoded).unwrap(), JWT);
    for value in ["chat", "bearer", "bearer,", "Bearer, a", "bearers, a"] {
        assert_eq!(found(&bearer, value), MISSING, "{value}");
    }
    for value in [
        "bearer, a, bearer, b",
        "bearer, a, bearer,, b",
        "bearer.!",
        "bearer, a b",
    ] {
        assert_eq!(found(&bearer, value), MALFORMED, "{value}");
    }
}

#[test]
fn an_escaped_parameter_name_is_never_missed() {
    let first = sources(
        "{several: first, sources: [{header: authorization, scheme: Bearer}, {query: access_token}]}",
    );
    let bearer: (&str, &[u8]) = ("authorization", b"Bearer a");
    assert_eq!(find(&first, "/?access_token=b", &[bearer]).unwrap(), "a");
    assert_eq!(find(&first, "/?access%5Ftoken=b", &[bearer]), MALFORMED);
}

#[test]
fn every_mistake_in_the_configuration_is_named() {
    let config: Config = serde_saphyr::from_str(
        "{max_size: 1MiB, sources: [{header: a, cookie: b}, {scheme: Bearer}, {header: cookie}, \
         {query: 'a&b'}, {header: a, scheme: 'two words'}, {websocket_protocol: 'a,b'}]}",
    )
    .unwrap();
    let mut errors = ConfigErrors::new();
    config.check(&mut errors);
    let paths: Vec<_> = errors
        .into_vec()
        .into_iter()
        .map(|error| error.path)
        .collect();
    assert_eq!(
        paths,
        [
            "max_size",
            "sources[0]",
            "sources[1]",
            "sources[1].scheme",
            "sources[2].header",
            "sources[3].query",
            "sources[4].scheme",
            "sources[5].websocket_protocol",
        ]
    );
}

#[test]
fn a_token_never_shows() {
    assert_eq!(format!("{:?}", Token::new(JWT)), "***");
}
