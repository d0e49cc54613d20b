use super::*;
use crate::request::Headers;

const JWT: &str = "aaa.bbb.ccc";

fn sources(yaml: &str) -> Sources {
    let config: Config = serde_saphyr::from_str(yaml).unwrap();
    let mut problems = Problems::new();
    config.check(&mut problems);
    assert_eq!(problems.into_vec(), []);
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
    };
    sources
        .find(&request)
        .map(|token| token.expose().to_owned())
}

const MALFORMED: Result<String, Reason> = Err(Reason::MalformedToken);
const MISSING: Result<String, Reason> = Err(Reason::MissingToken);

#[test]
fn two_tokens_in_one_place_are_refused() {
    let all = everywhere();
    let headers: [&[(&str, &[u8])]; 9] = [
        &[
            ("authorization", b"Bearer a"),
            ("Authorization", b"Bearer b"),
        ],
        &[("authorization", b"Bearer a,Bearer b")],
        &[("authorization", b"Basic a, Bearer b")],
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
        "/?access_token=a&access_token",
        "/?access%5Ftoken=a",
        "/?access_token=a%2eb",
    ] {
        assert_eq!(find(&all, target, &[]), MALFORMED, "{target}");
    }
}

#[test]
fn what_is_no_text_or_too_long_is_refused() {
    let all = everywhere();
    assert_eq!(
        find(&all, "/", &[("authorization", b"Bearer \xff")]),
        MALFORMED
    );
    assert_eq!(find(&all, "/", &[("cookie", b"session=\xff")]), MALFORMED);
    let small = sources("max_size: 4B");
    assert_eq!(
        find(&small, "/", &[("authorization", b"Bearer 12345")]),
        MALFORMED
    );
    assert_eq!(
        find(&small, "/", &[("authorization", b"Bearer 1234")]).unwrap(),
        "1234"
    );
}

#[test]
fn nothing_is_missing_and_so_is_an_empty_place() {
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
fn every_place_is_found_and_the_first_wins() {
    let all = everywhere();
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
fn every_mistake_in_the_configuration_is_named() {
    let config: Config = serde_saphyr::from_str(
        "{max_size: 1MiB, sources: [{header: a, cookie: b}, {scheme: Bearer}, {header: cookie}, \
         {query: 'a&b'}, {header: a, scheme: 'two words'}]}",
    )
    .unwrap();
    let mut problems = Problems::new();
    config.check(&mut problems);
    let paths: Vec<_> = problems
        .into_vec()
        .into_iter()
        .map(|problem| problem.path)
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
        ]
    );
}

#[test]
fn a_token_never_shows() {
    assert_eq!(format!("{:?}", Token::new(JWT)), "***");
}
