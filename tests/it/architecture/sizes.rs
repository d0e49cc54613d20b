//! Files and functions of `src/`, but for its tests, stay short enough to be read at once. The lines of a function are
//! found by the indentation that rustfmt gives it.

use std::path::Path;

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;

/// Returns the first line, counted from 1, and the length of each function.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let before = code.split_once("fn ").map(|(before, _)| before);
        let is_function = before.is_some_and(|words| words.split(' ').all(is_qualifier));
        if !is_function || code.ends_with(['}', ';', ',']) {
            continue;
        }
        let ends = |line: &&str| {
            let behind = line.strip_prefix(indent);
            behind.is_some_and(|code| code == "}" || code.starts_with(')') && code.ends_with(';'))
        };
        let length = lines[first..].iter().position(ends);
        found.push((first + 1, length.expect("a function has an end") + 1));
    }
    found
}

/// Whether the word may stand in front of `fn`, as in `pub(in crate::verify) const fn`.
fn is_qualifier(word: &str) -> bool {
    matches!(word, "" | "const" | "async" | "unsafe")
        || word.starts_with("pub")
        || word.ends_with(')')
}

fn too_long(root: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("tests") || path.ends_with("tests.rs") {
            continue;
        }
        if path.is_dir() {
            too_long(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (lines, path) = (text.lines().count(), path.display());
            if lines > LONGEST_FILE {
                found.push(format!("{path} has {lines} lines"));
            }
            for (first, length) in functions(&text) {
                if length > LONGEST_FUNCTION {
                    found.push(format!("{path}:{first}: a function of {length} lines"));
                }
            }
        }
    }
}

#[test]
fn files_and_functions_are_short() {
    let mut found = Vec::new();
    too_long(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let body = "        x();\n".repeat(70);
    let long = format!(
        "impl A {{\n    pub(super) const fn a(\n        self,\n    ) -> u8 {{\n{body}    }}\n}}\n"
    );
    assert_eq!(functions(&long), [(2, 74)]);
    let text = "fn a() {}\ntrait A {\n    fn a(\n        &self,\n    ) -> u8;\n    async fn b<T>() {\n    }\n}\n// fn c() {\n";
    assert_eq!(functions(text), [(3, 3), (6, 2)]);
}
