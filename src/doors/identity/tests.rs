use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::gate::testing;

fn one(claim: &serde_json::Value) -> Option<String> {
    let verified = testing::verified(&json!({ "iss": "https://id.example.com", "c": claim }));
    let client = Client {
        claims: &verified.claims,
        payload: &|| None,
    };
    Source::Claim(ClaimPath::parse("c").unwrap(), Join::Comma).value(client)
}

/// What `yaml` under `answer.headers.x-test` makes of these claims.
fn told(yaml: &str, claims: &serde_json::Value) -> Option<String> {
    let config = format!("headers: {{ x-test: {yaml} }}");
    let identity = Identity::new(&serde_saphyr::from_str(&config).unwrap(), &BTreeSet::new());
    let verified = testing::verified(claims);
    let payload = || Some(URL_SAFE_NO_PAD.encode(claims.to_string()));
    let client = Client {
        claims: &verified.claims,
        payload: &payload,
    };
    let mut values = identity.values(Some(client), false);
    values.next().unwrap().1
}

#[test]
fn claims_are_joined_and_written_as_json_as_configured() {
    let claims = json!({
        "iss": "https://id.example.com", "n": 1.50, "list": ["a b", "c;d", "e,f", "%"],
        "realm": { "roles": ["x", 7, true], "deep": { "ü": null } }, "none": null,
    });
    let list = |join| told(&format!("{{ claim: list, join: {join} }}"), &claims).unwrap();
    assert_eq!(list("comma"), "a b,c;d,e%2Cf,%25");
    assert_eq!(list("space"), "a%20b c;d e,f %25");
    assert_eq!(list("semicolon"), "a b;c%3Bd;e,f;%25");
    let read = |yaml: &str| {
        let text = told(yaml, &claims).unwrap();
        let text = URL_SAFE_NO_PAD.decode(text).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()
    };
    assert_eq!(read("{ as: json }"), claims);
    assert_eq!(read("{ claim: realm, as: json }"), claims["realm"]);
    assert_eq!(
        read("{ claim: realm.roles, as: json }"),
        json!(["x", 7, true])
    );
    assert_eq!(read("{ claim: absent|n, as: json }"), json!(1.5));
    for nothing in ["absent", "none", "realm.roles.x"] {
        let yaml = format!("{{ claim: {nothing}, as: json }}");
        assert_eq!(told(&yaml, &claims), None, "{nothing}");
    }
    let long = json!({ "iss": "https://id.example.com", "x": "y".repeat(LONGEST) });
    assert_eq!(told("{ as: json }", &long), None);
}

#[test]
fn a_value_that_users_choose_stays_within_its_header() {
    for (claim, expected) in [
        (json!("alice"), "alice"),
        (json!("auth0|123"), "auth0|123"),
        (json!("a b"), "a b"),
        (json!("x\r\nx-role: admin"), "x%0D%0Ax-role: admin"),
        (json!("a\u{0}b"), "a%00b"),
        (json!("\tx\u{7f}"), "%09x%7F"),
        (json!("Zoë"), "Zo%C3%AB"),
        (json!("bob "), "bob%20"),
        (json!(" bob"), "%20bob"),
        (json!(" "), "%20"),
        (json!("100%2C"), "100%252C"),
        (json!("x,admin"), "x%2Cadmin"),
        (json!(["user", "x,admin", 7, true]), "user,x%2Cadmin,7,true"),
        (json!(["a", null, {"b": "c"}, ["d"], "", "e"]), "a,e"),
    ] {
        assert_eq!(one(&claim).as_deref(), Some(expected), "{claim}");
    }
}

#[test]
fn a_claim_without_a_value_removes_its_header() {
    for claim in [
        json!(null),
        json!(""),
        json!([]),
        json!({"a": "b"}),
        json!([""]),
        json!("x".repeat(LONGEST + 1)),
        json!(vec!["ü"; LONGEST / 2]),
    ] {
        assert_eq!(one(&claim), None);
    }
    assert_eq!(one(&json!("x".repeat(LONGEST))).unwrap().len(), LONGEST);
}

/// Every name that differs from `x-portcullis-subject` in one byte, or in its separators.
fn neighbours() -> Vec<String> {
    let name = "x-portcullis-subject";
    let mut names = vec![name.to_owned(), name.to_uppercase()];
    for byte in (b'!'..=b'~').map(char::from) {
        names.push(name.replace('-', &byte.to_string()));
        names.push(name.replacen('-', &byte.to_string(), 1));
        names.push(name.replace('-', &format!("-{byte}")));
        names.push(format!("{byte}{name}"));
        names.push(format!("{name}{byte}"));
        for at in 0..name.len() {
            names.push(format!("{}{byte}{}", &name[..at], &name[at + 1..]));
        }
    }
    names
}

#[test]
fn look_alikes_are_the_names_that_cgi_reads_as_ours() {
    let cgi = |name: &str| {
        let upper = name.to_ascii_uppercase();
        let mapped = upper.chars().map(|c| match c {
            'A'..='Z' | '0'..='9' => c,
            _ => '_',
        });
        mapped.collect::<String>()
    };
    let identity = Identity::new(&Config::default(), &BTreeSet::new());
    let regex = regex::Regex::new(&format!("^(?:{})$", pattern("X-Portcullis_Subject")));
    let regex = regex.unwrap();
    let mut alike = 0;
    for name in neighbours() {
        let mut headers = Headers::new();
        headers.push("x-portcullis-subjec", b"root");
        headers.push(&name, b"root");
        headers.push("accept", b"*/*");
        let expected = cgi(&name) == "X_PORTCULLIS_SUBJECT";
        let claimed: Vec<_> = identity.claimed(&headers).collect();
        assert_eq!(claimed == [name.as_bytes()], expected, "{name}");
        let others: Vec<_> = identity.look_alikes(&headers).collect();
        let is_ours = name.eq_ignore_ascii_case("x-portcullis-subject");
        assert_eq!(others == [&*name], expected && !is_ours, "{name}");
        assert_eq!(regex.is_match(&name.to_lowercase()), expected, "{name}");
        alike += usize::from(expected);
    }
    assert!(alike > 100, "{alike}");
}

proptest! {
    #[test]
    fn any_value_is_one_header_value_and_reads_back(value in ".+") {
        let text = one(&json!(value)).unwrap();
        prop_assert!(HeaderValue::from_str(&text).is_ok());
        prop_assert_eq!(text.trim(), &text);
        prop_assert!(!text.contains(','));
        let mut bytes = text.bytes();
        let mut read = Vec::new();
        while let Some(byte) = bytes.next() {
            read.push(match byte {
                b'%' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                plain => plain,
            });
        }
        prop_assert_eq!(read, value.into_bytes());
    }
}
