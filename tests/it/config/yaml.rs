//! Files that are no configuration, YAML bombs, and YAML that means several things.

use std::fmt::Write;

use super::{SMALLEST, check, portcullis, refused, refused_once, stdout, with};

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
    refused_once("listen: {\n", "1:9: this is not YAML: ");
    refused_once("listen: 'a\n", "2:1: this is not YAML: ");
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

#[test]
fn duplicate_keys_name_both_lines() {
    let twice = with(
        "    max_token_lifetime: 1h\n",
        "    max_token_lifetime: 1h\n    max_token_lifetime: 9h\n",
    );
    refused(
        twice,
        &["12:5: issuers[0].max_token_lifetime: duplicate key; the first is in line 11"],
    );
    refused(
        format!("{SMALLEST}listen: {{}}\n"),
        &["19:1: listen: duplicate key; the first is in line 1"],
    );
    let inside = with("{ path: ./data }", "{ path: ./data, path: /elsewhere }");
    refused(
        inside,
        &["18:38: revocations.store.embedded.path: duplicate key; the first is in line 18"],
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
        lines[0].starts_with("5:3: listen.\"<<\": merge keys are not supported"),
        "{lines:?}"
    );
    refused_once(
        with("./data", "!include data"),
        "18:30: revocations.store.embedded.path: tags (\"!…\") are not supported",
    );
}

#[test]
fn keys_that_are_no_text_are_refused() {
    refused_once("[a, b]: c\n", "1:1: a key must be plain text");
    refused_once("? { a: b }\n: c\n", "1:3: a key must be plain text");
    refused_once("a: &a b\n*a : c\n", "2:1: a key must be plain text");
}

#[test]
fn a_setting_name_with_control_characters_is_escaped() {
    let (_, lines) = check(format!("{SMALLEST}\"\\e[2J\\n\": 1\n"), &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("19:1: \"\\u{1b}[2J\\n\": unknown key"),
        "{lines:?}"
    );
    let (_, lines) = check(format!("{SMALLEST}{}: 1\n", "k".repeat(900)), &[]);
    assert!(lines[0].chars().count() < 300, "{lines:?}");
}

#[test]
fn a_flood_of_mistakes_comes_to_an_end() {
    let flood = with("127.0.0.1:9191", &format!("[{}]", "x, ".repeat(30_000)));
    let (code, lines) = check(flood, &[]);
    assert_eq!(code, 1);
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[0], " only the first 100 mistakes are listed");
    let mut keys = SMALLEST.to_owned();
    (0..3_000).for_each(|i| writeln!(keys, "k{i}: 1").unwrap());
    let (code, lines) = check(keys, &[]);
    assert_eq!(code, 1);
    assert_eq!(lines.len(), 101);
}
