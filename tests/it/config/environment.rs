//! Environment variables in values, and secrets in messages.

use super::{SMALLEST, accepted, check, portcullis, refused, refused_once, with};

#[test]
fn an_unset_variable_is_named() {
    refused(
        with("username: hooks", "username: \"${HOOKS_USER}\""),
        &[
            "16:32: events[0].auth.basic.username: the environment variable HOOKS_USER is not \
           set; ${HOOKS_USER:-…} would give a default",
        ],
    );
}

#[test]
fn variables_are_put_in_whole_or_in_part() {
    let host = with("127.0.0.1:9191", "${HOST:-127.0.0.1}:${PORT}");
    accepted(&host, &[("PORT", "9191")]);
    accepted(&host, &[("PORT", "9191"), ("HOST", "")]);
    accepted(&host, &[("PORT", "9191"), ("HOST", "10.0.0.1")]);
    let number = format!("{SMALLEST}event_listener: {{ max_in_flight: \"${{AT_ONCE}}\" }}\n");
    accepted(&number, &[("AT_ONCE", "8")]);
    let flag = with(
        "max_token_lifetime: 1h",
        "max_token_lifetime: 1h\n    require_iat: ${IAT}",
    );
    accepted(&flag, &[("IAT", "true")]);
    let span = with(
        "max_token_lifetime: 1h",
        "max_token_lifetime: ${LIFE:-1h 30m}",
    );
    accepted(&span, &[]);
}

#[test]
fn dollar_signs_without_a_variable_stay() {
    for dollars in ["$", "a$b", "$$$${x}", "$${HOME}", "100$", "^[a-z]+$"] {
        accepted(with("./data", &format!("'{dollars}'")), &[]);
    }
}

#[test]
fn invalid_names_are_refused() {
    for wrong in ["${}", "${1A}", "${A B}", "${A-b}", "${a.b}", "${ A}"] {
        refused_once(
            with("./data", &format!("'{wrong}'")),
            "18:30: revocations.store.embedded.path: \"${…}\" does not contain a variable's name",
        );
    }
    refused_once(
        with("./data", "'${HOME'"),
        "18:30: revocations.store.embedded.path: \"${\" has no \"}\"",
    );
    refused_once(
        with("./data", "'${A:-${B}}'"),
        "18:30: revocations.store.embedded.path: the default of ${A} cannot contain a variable",
    );
}

#[test]
fn the_value_of_a_variable_is_never_parsed_as_yaml() {
    let file = with("./data", "\"${EVIL}\"");
    for evil in [
        "a: b",
        "a\nlisten: {}\n",
        "x, password: y",
        "]}",
        "\" , admin: \"",
        "- a\n- b",
        "# comment",
        "&a *a",
        "<<",
        "${EVIL}",
        "$$",
        "null",
        "~",
        "!!binary x",
        "| \n a",
    ] {
        accepted(&file, &[("EVIL", evil)]);
    }
    // Nor another kind of value.
    let list = with("[shop-api]", "${EVIL}");
    let (code, lines) = check(list, &[("EVIL", "[a, b]")]);
    assert_eq!(code, 1);
    assert_eq!(
        lines,
        ["9:16: issuers[0].audiences: expected a list, found text"]
    );
}

#[test]
fn variables_are_not_read_in_keys_or_comments() {
    accepted(format!("# ${{NOT_SET}}\n{SMALLEST}"), &[]);
    let (_, lines) = check(format!("{SMALLEST}${{LOG}}: {{}}\n"), &[("LOG", "log")]);
    assert!(
        lines[0].starts_with("19:1: \"${LOG}\": unknown key"),
        "{lines:?}"
    );
}

#[test]
fn no_value_grows_without_bound() {
    let big = "x".repeat(60_000);
    let file = with("./data", &format!("'{}'", "${BIG}".repeat(1000)));
    let (code, lines) = check(file, &[("BIG", &big)]);
    assert_eq!(code, 1);
    assert!(lines[0].contains("longer than 262144 bytes"));
    assert!(lines[0].len() < 300);
}

const SECRET: &str = "hunter2: \"S3cret\\\n{}";

/// Files in which something is wrong with, at or beside the value `${SECRET}`.
fn indiscreet() -> Vec<String> {
    let secret = "\"${SECRET}\"";
    let mut files: Vec<String> = [
        "127.0.0.1:9191",
        "https://id.example.com",
        "1h",
        "fusionauth\n    issuer",
        "[shop-api]",
        "[RS256, ES256]",
        "{ uri: https://id.example.com/.well-known/jwks.json }",
        "https://id.example.com/.well-known/jwks.json",
        "{ embedded: { path: ./data } }",
        "{ basic: { username: hooks, password_file: /run/secrets/hooks } }",
    ]
    .iter()
    .map(|place| with(place, secret))
    .collect();
    let password = "password_file: /run/secrets/hooks";
    for wrong in [
        format!("password: {secret}, {password}"),
        format!("pasword: {secret}"),
        format!("password: [[{secret}]]"),
        format!("password: [x, {{ a: {secret} }}]"),
        format!("password: [x, {{ file: [{secret}] }}]"),
        format!("password: {{ a: {secret} }}"),
        format!("password: {secret}, password: {secret}"),
        format!("password: !x {secret}"),
        format!("password: {secret}, x: *nobody"),
        format!("password: {secret} {secret}"),
    ] {
        files.push(with(password, &wrong));
    }
    files.push(format!("{SMALLEST}log: {{ format: {secret} }}\n"));
    files.push(format!(
        "{SMALLEST}event_listener: {{ max_in_flight: {secret} }}\n"
    ));
    files.push(format!("{SMALLEST}cache: {{ max_size: {secret} }}\n"));
    files.push(format!("{SMALLEST}shutdown: {secret}\n"));
    files.push(format!(
        "{SMALLEST}answer: {{ headers: {{ \"a b\": {secret} }} }}\n"
    ));
    files
}

#[test]
fn no_message_shows_what_a_variable_holds() {
    for file in indiscreet() {
        for secret in [SECRET, "hunter2", "é"] {
            let (_, lines) = check(&file, &[("SECRET", secret)]);
            let all = lines.join("\n");
            assert!(
                !all.contains("hunter2") && !all.contains("S3cret"),
                "{all}\n{file}"
            );
            assert!(!all.contains('é'), "{all}\n{file}");
        }
    }
}

#[test]
fn no_message_shows_a_password_in_the_file() {
    for file in indiscreet()
        .iter()
        .filter(|file| file.contains("password: "))
    {
        let (code, lines) = check(file.replace("${SECRET}", "hunter2"), &[]);
        assert_eq!(code, 1, "{file}");
        assert!(!lines.join("\n").contains("hunter2"), "{lines:?}\n{file}");
    }
}

#[test]
fn serve_shows_no_secret_either() {
    for wrong in indiscreet() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), wrong + "\nnonsense: 1\n").unwrap();
        let arguments = ["serve", "--config", file.path().to_str().unwrap()];
        let output = portcullis(&arguments, &[("SECRET", "hunter2")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(
            !errors.is_empty() && !errors.contains("hunter2"),
            "{errors}"
        );
    }
}
