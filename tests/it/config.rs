//! The configuration as an operator meets it: files in, messages and exit codes out. Hostile files
//! first.

use std::fmt::Write;
use std::process::{Command, Output};

const SMALLEST: &str = "\
listen:
  ext_authz: 127.0.0.1:9191
  forward_auth: 127.0.0.1:9192
  events: 127.0.0.1:9193
  admin: 127.0.0.1:9194
issuers:
  - issuer: https://id.example.com
    jwks: { uri: https://id.example.com/.well-known/jwks.json }
    audiences: [shop-api]
    algorithms: [RS256, ES256]
    max_token_lifetime: 1h
events:
  - name: fusionauth
    format: fusionauth
    issuer: https://id.example.com
    auth: { basic: { username: hooks, password_file: /run/secrets/hooks } }
revocations:
  store: { embedded: { path: ./data } }
";

/// The smallest configuration with one text in it replaced.
fn with(old: &str, new: &str) -> String {
    assert!(SMALLEST.contains(old), "{old:?} is not in the smallest");
    SMALLEST.replacen(old, new, 1)
}

fn portcullis(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .env_clear()
        .envs(env.iter().copied())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What `check-config` says: its exit code, and its lines without the file's name.
fn check(content: impl AsRef<[u8]>, env: &[(&str, &str)]) -> (i32, Vec<String>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let name = file.path().to_str().unwrap();
    let output = portcullis(&["check-config", "--config", name], env);
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = stdout(&output);
    let lines = text
        .lines()
        .map(|line| line.replacen(&format!("{name}:"), "", 1));
    (output.status.code().unwrap(), lines.collect())
}

#[track_caller]
fn refused(content: impl AsRef<[u8]>, expected: &[&str]) {
    let (code, lines) = check(content, &[]);
    assert_eq!(lines, expected);
    assert_eq!(code, 1);
}

/// Refused with one message, of which this is the beginning.
#[track_caller]
fn refused_once(content: impl AsRef<[u8]>, beginning: &str) {
    let (code, lines) = check(content, &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(beginning), "{lines:?}");
    assert_eq!(code, 1);
}

#[track_caller]
fn accepted(content: impl AsRef<[u8]>, env: &[(&str, &str)]) {
    let (code, lines) = check(content, env);
    assert_eq!(code, 0, "{lines:?}");
    assert!(
        lines.len() == 1 && lines[0].starts_with(" good: "),
        "{lines:?}"
    );
}

// What is no configuration at all.

#[test]
fn files_that_hold_nothing_are_refused() {
    for nothing in [
        "",
        "\n",
        "   \n\n",
        "# only a comment\n",
        "---\n",
        "---\n...\n",
        "~\n",
        "\u{feff}",
    ] {
        refused(nothing, &[" the file is empty"]);
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    refused("- a\n- b\n", &["1:1: expected a mapping, found a list"]);
    refused("hello\n", &["1:1: expected a mapping, found text"]);
    refused("42\n", &["1:1: expected a mapping, found a number"]);
}

#[test]
fn bytes_that_are_not_utf8_are_named_by_their_place() {
    let mut bytes = b"listen:\n  # gr\xc3\xbc\xc3\x9fe \xff\n".to_vec();
    refused(&bytes, &["2:11: this byte is not UTF-8"]);
    bytes = b"\xff\xfel\0i\0".to_vec();
    refused(&bytes, &["1:1: this byte is not UTF-8"]);
}

#[test]
fn control_characters_are_refused() {
    refused_once("listen:\n  a: \0\n", "2:6: the control character '\\0'");
    refused_once("listen:\n  a: \u{1b}[2J\n", "2:6: the control character");
}

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let huge = format!("{SMALLEST}# {}\n", "x".repeat(1 << 20));
    refused(huge, &[" the file is larger than 1048576 bytes"]);
    let output = portcullis(&["check-config", "--config", "/dev/zero"], &[]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    for (name, why) in [("/nowhere/p.yaml", "No such file"), ("/", "Is a directory")] {
        let output = portcullis(&["check-config", "--config", name], &[]);
        let text = stdout(&output);
        assert!(
            text.starts_with(&format!("{name}: cannot be read: {why}")),
            "{text}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn tabs_get_a_hint() {
    let tabs = SMALLEST.replace("  ", "\t");
    let (code, lines) = check(tabs, &[]);
    assert_eq!(code, 1);
    assert!(lines[0].starts_with("2:"), "{lines:?}");
    assert!(
        lines[0].ends_with("indent with spaces, not with tabs"),
        "{lines:?}"
    );
}

#[test]
fn broken_yaml_is_named_by_its_place() {
    refused_once("listen: {\n", "2:1: this is not YAML: ");
    refused_once("listen: 'a\n", "1:9: this is not YAML: ");
    refused_once("listen: *nobody\n", "1:9: this is not YAML: ");
    refused_once("listen:\n  a: b: c\n", "2:7: this is not YAML: ");
    refused_once("%YAML 1.2\n", "2:1: this is not YAML: ");
}

#[test]
fn a_second_document_is_refused() {
    refused(
        format!("{SMALLEST}---\nlisten: {{}}\n"),
        &["19:1: a second document begins here; the configuration is one"],
    );
}

// Bombs.

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut bomb = "a0: &a0 [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n".to_owned();
    for i in 1..40 {
        let copies = format!("*a{}, ", i - 1).repeat(10);
        writeln!(bomb, "a{i}: &a{i} [{copies}]").unwrap();
    }
    let (code, lines) = check(bomb, &[]);
    assert_eq!(code, 1);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("the aliases up to here copy more")),
        "{lines:?}"
    );
}

#[test]
fn a_large_text_copied_often_is_bounded() {
    let bomb = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(500_000),
        "*a, ".repeat(10_000)
    );
    refused_once(bomb, "2:37: b[8]: the aliases up to here copy more than");
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    refused_once("a: &a [*a]\n", "1:8: a[0]: an alias cannot contain itself");
    refused_once(
        "a: &a { b: *a }\n",
        "1:12: a.b: an alias cannot contain itself",
    );
}

#[test]
fn deep_nesting_is_bounded() {
    for (open, count) in [
        ("[", 100_000),
        ("{a: ", 50_000),
        ("- ", 100_000),
        ("? ", 100_000),
    ] {
        let (code, lines) = check(open.repeat(count), &[]);
        assert_eq!(code, 1);
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
    let nested = format!("a: {}{}\n", "[".repeat(33), "]".repeat(33));
    let (code, _) = check(nested, &[]);
    assert_eq!(code, 1);
}

// YAML that means several things.

#[test]
fn duplicate_keys_name_both_lines() {
    let twice = with(
        "    max_token_lifetime: 1h\n",
        "    max_token_lifetime: 1h\n    max_token_lifetime: 9h\n",
    );
    refused(
        twice,
        &["12:5: issuers[0].max_token_lifetime: given twice; the first is in line 11"],
    );
    refused(
        format!("{SMALLEST}listen: {{}}\n"),
        &["19:1: listen: given twice; the first is in line 1"],
    );
    let inside = with("{ path: ./data }", "{ path: ./data, path: /elsewhere }");
    refused(
        inside,
        &["18:39: revocations.store.embedded.path: given twice; the first is in line 18"],
    );
}

#[test]
fn merge_keys_and_tags_are_refused() {
    let (code, lines) = check(
        with("  admin: ", "  <<: { admin: 127.0.0.1:1 }\n  admin: "),
        &[],
    );
    assert_eq!(code, 1);
    assert!(
        lines[0].starts_with("5:3: listen.\"<<\": merge keys are not understood"),
        "{lines:?}"
    );
    refused_once(
        with("./data", "!include data"),
        "18:32: revocations.store.embedded.path: tags (\"!…\") are not understood",
    );
}

#[test]
fn keys_that_are_no_text_are_refused() {
    refused_once("[a, b]: c\n", "1:1: a key has to be plain text");
    refused_once("? { a: b }\n: c\n", "1:3: a key has to be plain text");
    refused_once("a: &a b\n*a : c\n", "2:1: a key has to be plain text");
}

#[test]
fn an_odd_key_cannot_write_to_the_terminal() {
    let (_, lines) = check(format!("{SMALLEST}\"\\e[2J\\n\": 1\n"), &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("19:1: \"\\u{1b}[2J\\n\": unknown key"),
        "{lines:?}"
    );
    let (_, lines) = check(format!("{SMALLEST}{}: 1\n", "k".repeat(900)), &[]);
    assert!(lines[0].chars().count() < 300, "{lines:?}");
}

// Mistakes.

#[test]
fn every_mistake_is_told_at_once() {
    let file = "\
listen:
  ext_authz: nonsense
  admn: 127.0.0.1:9194
issuers:
  - issuer: https://id.example.com
    jwks: { uri: https://id.example.com/jwks }
    audience: [shop-api]
    algorithms: [RS265, ES256]
    max_token_lifetime: 30
  - issuer: https://other.example.com
    jwks: {}
    audiences: [shop-api]
    max_token_lifetime: 5 parsecs
revocations:
  store: { embeded: { path: ./data } }
cache: yes please
";
    refused(
        file,
        &[
            "2:14: listen.ext_authz: \"nonsense\" is neither an address such as 127.0.0.1:9191 \
             nor unix:/path",
            "3:3: listen.admn: unknown key; did you mean \"admin\"?",
            "7:5: issuers[0].audience: unknown key; did you mean \"audiences\"?",
            "8:18: issuers[0].algorithms[0]: \"RS265\" is unknown; did you mean \"RS256\"?",
            "9:25: issuers[0].max_token_lifetime: \"30\" is not of the right form; write it like \
             500ms, 30s or 1h",
            "13:25: issuers[1].max_token_lifetime: \"5 parsecs\" is not a length of time such as \
             500ms, 30s or 1h: unknown time unit \"parsecs\", supported units: ns, us/µs, ms, \
             sec, min, hours, days, weeks, months, years (and few variations)",
            "15:12: revocations.store.embeded: unknown key; did you mean \"embedded\"?",
            "16:8: cache: expected a mapping, found text",
        ],
    );
}

#[test]
fn a_mistake_in_one_item_does_not_hide_the_meaning_of_another() {
    let file = with(
        "issuers:\n",
        "issuers:\n  - issuer: https://other.example.com\n    jwks: {}\n    audiences: [a]\n    \
         max_token_lifetime: 0s\n",
    );
    let file = file.replace("    audiences: [shop-api]", "    audienses: [shop-api]");
    refused(
        file,
        &[
            "8:5: issuers[0].jwks: give exactly one of uri, discovery, file",
            "10:25: issuers[0].max_token_lifetime: must be longer than 0s",
            "13:5: issuers[1].audienses: unknown key; did you mean \"audiences\"?",
        ],
    );
}

#[test]
fn a_stranger_among_the_keys_is_told_who_is_known() {
    refused(
        format!("{SMALLEST}shutdown: {{ colour: red }}\n"),
        &["19:13: shutdown.colour: unknown key; known here: drain_timeout"],
    );
}

#[test]
fn missing_keys_are_told_where_they_belong() {
    refused(
        with(
            "    jwks: { uri: https://id.example.com/.well-known/jwks.json }\n",
            "",
        ),
        &["7:5: issuers[0]: \"jwks\" is missing"],
    );
    refused(
        with("{ embedded: { path: ./data } }", "{ embedded: {} }"),
        &["18:12: revocations.store.embedded: \"path\" is missing"],
    );
    let (_, lines) = check("listen:\n  admin: 127.0.0.1:1\n", &[]);
    assert_eq!(
        lines,
        [
            "1:1: \"issuers\" is missing",
            "1:1: \"revocations\" is missing",
            "1:1: listen: give ext_authz or forward_auth: without a door nothing is checked",
        ]
    );
}

#[test]
fn wrong_kinds_of_values_are_told_apart() {
    for (old, new, expected) in [
        (
            "audiences: [shop-api]",
            "audiences: shop-api",
            "9:16: issuers[0].audiences: expected a list, found text",
        ),
        (
            "audiences: [shop-api]",
            "audiences: { a: b }",
            "9:16: issuers[0].audiences: expected a list, found a mapping",
        ),
        (
            "audiences: [shop-api]",
            "audiences:",
            "9:5: issuers[0].audiences: no value is given; give one or remove the key",
        ),
        (
            "https://id.example.com\n    jwks",
            "[a]\n    jwks",
            "7:13: issuers[0].issuer: expected text, found a list",
        ),
        (
            "max_token_lifetime: 1h",
            "max_token_lifetime: 1h\n    require_iat: \"true\"",
            "12:18: issuers[0].require_iat: expected true or false, found text",
        ),
        (
            "max_token_lifetime: 1h",
            "max_token_lifetime: 1h\n    require_iat: yes",
            "12:18: issuers[0].require_iat: expected true or false, found text",
        ),
        (
            "format: fusionauth",
            "format: [fusionauth]",
            "14:13: events[0].format: expected one of fusionauth, keycloak, found a list",
        ),
        (
            "format: fusionauth",
            "format: webhook",
            "14:13: events[0].format: \"webhook\" is unknown; known here: fusionauth, keycloak",
        ),
        (
            "revocations:\n",
            "cache: { shards: 0 }\nrevocations:\n",
            "17:18: cache.shards: must be at least 1",
        ),
        (
            "revocations:\n",
            "cache: { shards: 1.5 }\nrevocations:\n",
            "17:18: cache.shards: expected a whole number, found a number",
        ),
        (
            "revocations:\n",
            "cache: { size: 64 }\nrevocations:\n",
            "17:16: cache.size: \"64\" is not of the right form; write it like 16KiB or 64MiB",
        ),
        (
            "ext_authz: 127.0.0.1:9191",
            "ext_authz: []",
            "2:14: listen.ext_authz: the list must not be empty",
        ),
        (
            "ext_authz: 127.0.0.1:9191",
            "ext_authz: [127.0.0.1:1, localhost]",
            "2:28: listen.ext_authz[1]: \"localhost\" is neither an address such as \
          127.0.0.1:9191 nor unix:/path",
        ),
        (
            "{ embedded: { path: ./data } }",
            "embedded",
            "18:10: revocations.store: expected a mapping, found text",
        ),
    ] {
        refused(with(old, new), &[expected]);
    }
}

#[test]
fn values_on_later_lines_are_named_by_their_key() {
    refused(
        with("audiences: [shop-api]", "audiences:\n      shop-api"),
        &["9:5: issuers[0].audiences: expected a list, found text"],
    );
}

#[test]
fn sections_that_contradict_each_other_are_told() {
    let twice = SMALLEST.replace("events:\n  - ", "  - issuer: https://id.example.com\n    jwks: { discovery: true }\n    audiences: [a]\n    max_token_lifetime: 1h\nevents:\n  - ");
    refused(
        twice,
        &["12:13: issuers[1].issuer: \"https://id.example.com\" is already that of issuers[0]"],
    );
    refused(
        with(
            "    issuer: https://id.example.com\n",
            "    issuer: https://id.example.org\n",
        ),
        &[
            "15:13: events[0].issuer: \"https://id.example.org\" is not in the list of issuers; \
           did you mean \"https://id.example.com\"?",
        ],
    );
    refused(
        with("127.0.0.1:9194", "0.0.0.0:9191"),
        &["5:10: listen.admin: 0.0.0.0:9191 is taken by listen.ext_authz"],
    );
    refused(
        with("  events: 127.0.0.1:9193\n", ""),
        &["11:1: events: nobody can deliver these events: give listen.events an address"],
    );
}

// What is fine.

#[test]
fn the_smallest_configuration_works() {
    accepted(SMALLEST, &[]);
    accepted(format!("\u{feff}{SMALLEST}"), &[]);
    accepted(SMALLEST.replace('\n', "\r\n"), &[]);
    accepted(format!("---\n{SMALLEST}...\n"), &[]);
}

#[test]
fn a_listener_has_one_address_or_several() {
    let several = "[127.0.0.1:0, \"[::1]:0\", 127.0.0.1:0, unix:/run/portcullis/authz.sock]";
    accepted(with("127.0.0.1:9191", several), &[]);
}

#[test]
fn text_needs_no_quotes() {
    accepted(with("username: hooks", "username: no"), &[]);
    accepted(with("[shop-api]", "[1.10, 0123, true, 0x10, 1e3]"), &[]);
}

#[test]
fn an_alias_stands_for_a_whole_value() {
    let aliased = SMALLEST
        .replacen(
            "- issuer: https://id.example.com",
            "- issuer: &id https://id.example.com",
            1,
        )
        .replacen("    issuer: https://id.example.com", "    issuer: *id", 1);
    accepted(aliased, &[]);
}

#[test]
fn the_shipped_example_works() {
    let output = portcullis(&["check-config", "--config", "envoy/portcullis.yaml"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

// The environment.

#[test]
fn a_variable_that_is_not_set_is_told_by_name() {
    refused(
        with("username: hooks", "username: \"${HOOKS_USER}\""),
        &[
            "16:30: events[0].auth.basic.username: the environment variable HOOKS_USER is not set, \
           and ${HOOKS_USER:-…} gives no default",
        ],
    );
}

#[test]
fn variables_are_put_in_whole_or_in_part() {
    let host = with("127.0.0.1:9191", "${HOST:-127.0.0.1}:${PORT}");
    accepted(&host, &[("PORT", "9191")]);
    accepted(&host, &[("PORT", "9191"), ("HOST", "")]);
    accepted(&host, &[("PORT", "9191"), ("HOST", "10.0.0.1")]);
    let number = format!("{SMALLEST}cache: {{ shards: \"${{SHARDS}}\" }}\n");
    accepted(&number, &[("SHARDS", "8")]);
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
fn dollars_that_name_nothing_stay() {
    for dollars in ["'$'", "a$b", "$$$${x}", "'$${HOME}'", "100$"] {
        accepted(
            with("[shop-api]", "[shop-api]").replace(
                "./data",
                &format!("./data\", \"x\": \"{dollars}").replace("\", \"x\": \"", ""),
            ),
            &[],
        );
    }
}

#[test]
fn names_that_are_none_are_refused() {
    for wrong in ["${}", "${1A}", "${A B}", "${A-b}", "${a.b}", "${ A}"] {
        refused_once(
            with("./data", &format!("'{wrong}'")),
            "18:32: revocations.store.embedded.path: what stands in \"${…}\" is no name",
        );
    }
    refused_once(
        with("./data", "'${HOME'"),
        "18:32: revocations.store.embedded.path: \"${\" has no \"}\"",
    );
    refused_once(
        with("./data", "'${A:-${B}}'"),
        "18:32: revocations.store.embedded.path: the default of ${A} cannot name a variable",
    );
}

#[test]
fn what_a_variable_holds_cannot_become_structure() {
    let file = with("username: hooks", "username: \"${EVIL}\"");
    let plain = file.replace("./data", "./data\n    # a comment\n");
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
    drop(plain);
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

// Secrets.

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
        format!("password: [{secret}]"),
        format!("password: {{ a: {secret} }}"),
        format!("password: {secret}, password: {secret}"),
        format!("password: !x {secret}"),
        format!("password: {secret}, x: *nobody"),
        format!("password: {secret} {secret}"),
    ] {
        files.push(with(password, &wrong));
    }
    files.push(format!("{SMALLEST}log: {{ format: {secret} }}\n"));
    files.push(format!("{SMALLEST}cache: {{ shards: {secret} }}\n"));
    files.push(format!("{SMALLEST}cache: {{ size: {secret} }}\n"));
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
