//! What the documents and the messages name exists: files, sections, tests, make targets.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `place` with this extension.
fn files(place: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let here = fs::read_dir(root()).unwrap();
    let here = here.map(|entry| entry.unwrap().path());
    let here = here.filter(|path| path.extension().is_some_and(|own| own == "md"));
    here.chain(files(&root().join("docs"), "md")).collect()
}

/// What stands between `open` and `close`, each time.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    let after = text.split(open).skip(1);
    after
        .filter_map(|rest| Some(rest.split_once(close)?.0))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in between(&text, "](", ")") {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            let target = match path {
                "" => document.clone(),
                _ => document.parent().unwrap().join(path),
            };
            if !target.exists() || !(anchor.is_empty() || has_section(&target, anchor)) {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

/// Whether a heading gets this anchor from the common renderers.
fn has_section(document: &Path, anchor: &str) -> bool {
    let text = fs::read_to_string(document).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .any(|heading| {
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().replace(' ', "-") == anchor
        })
}

#[test]
fn documents_that_the_code_names_exist() {
    let mut missing = Vec::new();
    let code = [root().join("src"), root().join("tests")];
    for file in code.iter().flat_map(|place| files(place, "rs")) {
        let text = fs::read_to_string(&file).unwrap();
        let end = |c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c));
        for rest in text.split("docs/").skip(1) {
            let name = rest.split(end).next().unwrap().trim_end_matches('.');
            if name.contains('.') && !root().join("docs").join(name).exists() {
                missing.push(format!("{}: docs/{name}", file.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn tests_that_guard_a_promise_exist() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let promises = between(&architecture, "\n## Promises\n", "\n## ");
    let code: String = [root().join("src"), root().join("tests")]
        .iter()
        .flat_map(|place| files(place, "rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let names: BTreeSet<&str> = promises[0]
        .split('`')
        .filter(|name| name.matches('_').count() > 2)
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !code.contains(&format!("fn {name}(")))
        .collect();
    assert_eq!(missing, Vec::<&&str>::new());
    for module in between(promises[0], "`it::", "`") {
        let file = root().join("tests/it").join(format!("{module}.rs"));
        assert!(file.exists(), "{module}");
    }
}

#[test]
fn recipes_that_the_documents_name_exist() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut missing = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let commands = between(&text, "`make ", "`").into_iter();
        let lines = text.lines().filter_map(|line| line.strip_prefix("make "));
        for command in commands.chain(lines) {
            let recipe = command.split_whitespace().next().unwrap_or_default();
            if !makefile.contains(&format!("\n{recipe}:")) {
                missing.push(format!("{}: make {recipe}", document.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}
