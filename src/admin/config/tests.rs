use super::*;

fn mistakes(yaml: &str) -> Vec<String> {
    let config: Config = serde_saphyr::from_str(yaml).unwrap();
    let mut errors = ConfigErrors::new();
    config.check(&mut errors);
    errors.messages()
}

#[test]
fn names_are_plain_and_secrets_long_enough() {
    let good = "credentials: [{ name: ops, role: write, secret: 0123456789abcdef }]";
    assert_eq!(mistakes(good), Vec::<String>::new());
    assert_eq!(mistakes("{}"), Vec::<String>::new());
    for (wrong, expected) in [
        (
            "ops, role: read, secret: 0123456789abcde",
            "secret: the secret must have at least 16 bytes",
        ),
        (
            "ops, role: read, secret: [0123456789abcdef, short]",
            "secret: the secret must have",
        ),
        (
            "ops, role: read, secret: \"0123456789abcdef\\n\"",
            "secret: a header cannot hold",
        ),
        (
            "Ops, role: read, secret: 0123456789abcdef",
            "name: must have 1 to 64 characters",
        ),
        (
            "'', role: read, secret: 0123456789abcdef",
            "name: must have 1 to 64 characters",
        ),
    ] {
        let found = mistakes(&format!("credentials: [{{ name: {wrong} }}]"));
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
        let expected = format!("credentials[0].{expected}");
        assert!(found[0].starts_with(&expected), "{wrong}: {found:?}");
    }
    let one = "{ name: ops, role: read, secret: 0123456789abcdef }";
    let twice = mistakes(&format!("credentials: [{one}, {one}]"));
    assert_eq!(
        twice,
        ["credentials[1].name: duplicate credential name \"ops\""]
    );
}

#[test]
fn a_login_leads_to_a_credential_and_back() {
    let of = |login: &str| {
        let staff = "{ name: staff, role: write, issuer: 'https://id.example.com', scopes: [x] }";
        mistakes(&format!(
            "credentials: [{staff}]\nlogin: {{ client_id: c, {login} }}"
        ))
    };
    let issuer = "issuer: 'https://id.example.com'";
    let back = "redirect_uri: 'https://a.example:9194/console/login/done'";
    assert_eq!(of(&format!("{issuer}, {back}")), Vec::<String>::new());
    for (wrong, expected) in [
        (
            format!("issuer: 'https://id.example.org', {back}"),
            "login.issuer: must be the",
        ),
        (
            format!("{issuer}, redirect_uri: 'http://a.example/console/login/done'"),
            "login.redirect_uri: must be https",
        ),
        (
            format!("{issuer}, redirect_uri: 'https://a.example/console/'"),
            "login.redirect_uri: must end",
        ),
        (
            format!("{issuer}, redirect_uri: 'https://a.example/console/login/done?x=y'"),
            "login.redirect_uri: must end",
        ),
        (
            format!("{issuer}, {back}, parameters: {{ state: x }}"),
            "login.parameters: state is set",
        ),
    ] {
        let found = of(&wrong);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{wrong}: {found:?}"
        );
    }
}

#[test]
fn approval_needs_two_people() {
    let of = |credentials: &str, more: &str| {
        mistakes(&format!(
            "approval: {{{more}}}\ncredentials: [{credentials}]"
        ))
    };
    let secret = |role: &str| format!("{{ name: {role}, role: {role}, secret: 0123456789abcdef }}");
    let (write, approve) = (secret("write"), secret("approve"));
    let staff = "{ name: staff, role: approve, issuer: a, scopes: [x] }";
    for good in [format!("{write}, {approve}"), staff.to_owned()] {
        assert_eq!(of(&good, ""), Vec::<String>::new(), "{good}");
    }
    assert_eq!(of(staff, "expires_after: 59s").len(), 1);
    for (alone, expected) in [
        (&write, "approval: needs a credential with the role approve"),
        (&approve, "approval: needs a second person"),
    ] {
        let found = of(alone, "");
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{found:?}"
        );
    }
}

#[test]
fn a_credential_is_a_secret_or_tokens_or_certificates_and_says_enough() {
    let of = |rest: &str| {
        mistakes(&format!(
            "credentials: [{{ name: ops, role: write{rest} }}]"
        ))
    };
    for good in [
        ", issuer: a, scopes: [portcullis:write]",
        ", issuer: a, scopes: [x, y], audiences: [portcullis]",
        ", certificates: [ops.example.org, spiffe://example.org/ops]",
    ] {
        assert_eq!(of(good), Vec::<String>::new(), "{good}");
    }
    let one = "credentials[0]: give exactly one of secret, issuer and certificates";
    for (wrong, expected) in [
        ("", one),
        (", certificates: [a], secret: 0123456789abcdef", one),
        (", issuer: a, scopes: [x], certificates: [a]", one),
        (", issuer: a", "credentials[0].issuer: needs scopes"),
        (
            ", issuer: a, scopes: ['']",
            "credentials[0].scopes: a scope has",
        ),
        (
            ", issuer: a, scopes: ['a b']",
            "credentials[0].scopes: a scope has",
        ),
        (
            ", certificates: [a], scopes: [x]",
            "credentials[0].scopes: needs issuer",
        ),
        (
            ", certificates: [a], audiences: [x]",
            "credentials[0].audiences: needs issuer",
        ),
        (
            ", certificates: ['']",
            "credentials[0].certificates: must not hold",
        ),
        (
            ", issuer: a, scopes: [x], audiences: ['']",
            "credentials[0].audiences: must not",
        ),
    ] {
        let found = of(wrong);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{wrong}: {found:?}"
        );
    }
}
