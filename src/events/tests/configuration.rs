use super::*;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::Encoding;
use crate::verify::Algorithm;

fn problems_of(sources: &[SourceConfig]) -> Vec<String> {
    let mut errors = ConfigErrors::new();
    check(sources, &mut errors);
    errors.into_vec().iter().map(ToString::to_string).collect()
}

fn read(yaml: &str) -> Result<SourceConfig, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

fn sound(format: &str) -> String {
    format!(
        "name: fusionauth\nformat: {format}\nissuer: {ISSUER}\n\
         auth: {{ basic: {{ username: hooks, password: x }} }}\n"
    )
}

#[test]
fn a_format_is_named_alone_or_with_options() {
    let alone = read(&sound("fusionauth")).unwrap();
    assert!(problems_of(&[alone]).is_empty());
    let options = "{ fusionauth: { session_scope: session, grace: 2s, \
                   on: { user.two-factor.method.add: false } } }";
    let Format::FusionAuth(config) = read(&sound(options)).unwrap().format else {
        panic!("another format was read");
    };
    assert_eq!(config.session_scope, fusionauth::SessionScope::Session);
    assert_eq!(config.grace, crate::core::units::Span::secs(2));
    assert!(!config.on[&fusionauth::Kind::UserTwoFactorMethodAdd]);
}

#[test]
fn formats_that_do_not_exist_are_refused() {
    for (format, expected) in [
        ("okra", "fusionauth"),
        ("{ okra: {} }", "fusionauth"),
        ("{}", ""),
        ("7", ""),
        ("{ fusionauth: { graces: 1s } }", "grace"),
        ("{ fusionauth: {}, okra: {} }", "one format"),
        (
            "{ fusionauth: { on: { user.deactivated: true } } }",
            "user.deactivate",
        ),
        ("{ fusionauth: { grace: 5 } }", ""),
    ] {
        let error = read(&sound(format)).unwrap_err();
        assert!(error.contains(expected), "{format}: {error}");
    }
}

#[test]
fn invalid_sources_are_refused_with_a_reason() {
    let signature = |algorithms: &[Algorithm], secret: Option<&str>| SignatureConfig {
        algorithms: algorithms.to_vec(),
        secret: secret.map(|secret| Secret::new(secret).into()),
        secret_file: None,
        encoding: Encoding::Plain,
    };
    let header = |name: &str, value: &str| HeaderConfig {
        name: name.to_owned(),
        value: Some(Secret::new(value).into()),
        value_file: None,
    };
    let auth = |change: &dyn Fn(&mut CredentialsConfig)| {
        let mut source = basic_source();
        change(&mut source.auth);
        source
    };
    let key = "0123456789abcdef0123456789abcdef";
    for (source, expected) in [
        (
            auth(&|auth| auth.basic = None),
            "events[0].auth: basic or header is missing",
        ),
        (
            auth(&|auth| {
                auth.basic = None;
                auth.signature = Some(signature(&[Algorithm::RS256], None));
            }),
            "events[0].auth: add basic or header: the signature has no time",
        ),
        (
            auth(&|auth| auth.signature = Some(signature(&[], None))),
            "events[0].auth.signature.algorithms: name the algorithms",
        ),
        (
            auth(&|auth| auth.signature = Some(signature(&[Algorithm::HS256], None))),
            "HS256 needs secret or secret_file",
        ),
        (
            auth(&|auth| auth.signature = Some(signature(&[Algorithm::RS256], Some(key)))),
            "RS256 uses the issuer's keys",
        ),
        (
            auth(&|auth| auth.signature = Some(signature(&[Algorithm::HS384], Some(key)))),
            "events[0].auth.signature.secret: the secret is shorter than 48 bytes",
        ),
        (
            auth(&|auth| auth.header = Some(header("authorization", "x"))),
            "events[0].auth.header.name: basic uses the Authorization header too",
        ),
        (
            auth(&|auth| auth.header = Some(header("a b", "x"))),
            "\"a b\" is no header name",
        ),
        (
            auth(&|auth| auth.header = Some(header("x", " x"))),
            "events[0].auth.header.value: a header cannot hold this value",
        ),
        (
            auth(&|auth| auth.header = Some(header("x", "a\nb"))),
            "events[0].auth.header.value: a header cannot hold this value",
        ),
        (
            auth(&|auth| auth.header = Some(header("x", ""))),
            "value is empty",
        ),
        (
            auth(&|auth| auth.basic.as_mut().unwrap().username = "a:b".to_owned()),
            "events[0].auth.basic.username",
        ),
        (
            auth(&|auth| auth.basic.as_mut().unwrap().password = None),
            "password or password_file is missing",
        ),
        (
            auth(&|auth| auth.basic.as_mut().unwrap().password_file = Some("x".into())),
            "password or password_file, not both",
        ),
    ] {
        let found = problems_of(&[source]);
        assert!(
            found.iter().any(|text| text.contains(expected)),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn names_are_checked() {
    let mut wrong = basic_source();
    wrong.name = "Fusion_Auth".to_owned();
    let found = problems_of(&[wrong]);
    assert!(
        found[0].starts_with("events[0].name: must have 1 to 64") && found.len() == 1,
        "{found:?}"
    );
    let found = problems_of(&[basic_source(), basic_source()]);
    assert_eq!(
        found,
        ["events[1].name: duplicate source name \"fusionauth\""]
    );
}

#[test]
fn an_unchecked_configuration_admits_nobody() {
    assert!(Source::build(&source(CredentialsConfig::default())).is_err());
    let mut mixed = basic_source();
    mixed.auth.signature = Some(SignatureConfig {
        algorithms: vec![Algorithm::RS256],
        secret: Some(Secret::new("0123456789abcdef0123456789abcdef").into()),
        secret_file: None,
        encoding: Encoding::Plain,
    });
    assert!(Source::build(&mixed).is_err());
}

#[test]
fn settings_of_the_event_listener_are_bounded() {
    let mut errors = ConfigErrors::new();
    ListenerConfig::default().check(&mut errors);
    assert!(errors.is_empty());
    ListenerConfig {
        body_limit: crate::core::units::Bytes::mib(17),
        header_timeout: crate::core::units::Span::secs(0),
        body_timeout: crate::core::units::Span::secs(301),
        record_timeout: Some(crate::core::units::Span::secs(0)),
        max_in_flight: 0,
    }
    .check(&mut errors);
    assert_eq!(errors.into_vec().len(), 5);
}

#[test]
fn the_examples_in_the_guides_are_valid() {
    #[derive(serde::Deserialize)]
    struct File {
        events: Vec<SourceConfig>,
    }
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
    let pages = ["events", "providers"]
        .iter()
        .flat_map(|place| std::fs::read_dir(format!("{docs}/{place}")).unwrap());
    let mut found = 0;
    for page in pages {
        let path = page.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for example in text.split("```yaml").skip(1) {
            let yaml = example.split("```").next().unwrap();
            if !yaml.trim_start().starts_with("events:") {
                continue;
            }
            let file: Result<File, _> = serde_saphyr::from_str(yaml);
            let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let problems = problems_of(&file.events);
            assert_eq!(problems, Vec::<String>::new(), "{}", path.display());
            found += 1;
        }
    }
    assert!(found >= 9, "{found}");
    let guide = std::fs::read_to_string(format!("{docs}/events/fusionauth.md")).unwrap();
    for kind in fusionauth::Kind::ALL {
        let name = kind
            .as_str()
            .replace("user.two-factor.method.remove", "`.remove`");
        assert!(guide.contains(&name), "{name} is not in the guide");
    }
}

#[test]
fn the_schema_knows_formats_switches_and_defaults() {
    let schema = schemars::schema_for!(SourceConfig);
    let text = serde_json::to_string(&schema).unwrap();
    for known in [
        "\"fusionauth\"",
        "jwt.refresh-token.revoke",
        "\"application\"",
        "\"0s\"",
    ] {
        assert!(text.contains(known), "{known} is not in {text}");
    }
    let schema = schemars::schema_for!(ListenerConfig);
    assert!(
        serde_json::to_string(&schema)
            .unwrap()
            .contains("\"default\":\"1MiB\"")
    );
}
