//! Reads the paths out of Rust source: enough of the grammar to follow `use` trees, `super` and
//! inline modules, and to leave out comments, strings and code under `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One thing that a file refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// A path below the crate's root, such as `verify::claims::Claims`.
    Inside(String),
    /// The first name of a path that begins nowhere in the crate.
    Outside(String),
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: String,
    /// Such as `verify::claims`.
    pub(super) module: String,
    pub(super) uses: BTreeSet<Use>,
    /// Names that the file takes from elsewhere, with their paths.
    pub(super) imports: BTreeMap<String, String>,
    /// The paths of names that the file passes on by `pub use` and does not mention itself.
    pub(super) passed_on: BTreeSet<String>,
    /// Modules in files of their own that exist for tests only.
    test_modules: Vec<String>,
}

/// Every source below `root` but those for tests only.
pub(super) fn read(root: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    collect(root, root, &mut sources);
    let for_tests: Vec<_> = sources
        .iter()
        .flat_map(|source| source.test_modules.clone())
        .collect();
    let inside = |module: &str, of: &str| {
        module
            .strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    sources.retain(|source| !for_tests.iter().any(|of| inside(&source.module, of)));
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let file = path.strip_prefix(root).unwrap().to_str().unwrap();
            sources.push(Source::parse(
                file,
                &std::fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

impl Source {
    /// `file` is the path below `src/`.
    pub(super) fn parse(file: &str, text: &str) -> Self {
        let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = stem.replace('/', "::");
        let root = if matches!(stem, "lib" | "main") {
            Vec::new()
        } else {
            segments(&module)
        };
        let tokens = tokens(text);
        let children = tokens
            .windows(3)
            .filter(|it| it[0] == "mod" && it[2] == ";");
        let mut reader = Reader {
            children: children.map(|it| it[1].clone()).collect(),
            tokens,
            at: 0,
            here: root,
            outer: Vec::new(),
            uses: BTreeSet::new(),
            leaves: Vec::new(),
            test_modules: Vec::new(),
        };
        reader.read();
        let code = reader.tokens.windows(2);
        let named = code.filter(|it| !matches!(it[0].as_str(), "::" | "mod"));
        let mentioned: BTreeSet<&str> = named.map(|it| it[1].as_str()).collect();
        let passed_on = reader
            .leaves
            .iter()
            .filter(|leaf| leaf.is_public && !mentioned.contains(leaf.name.as_str()));
        Self {
            file: file.to_owned(),
            module,
            passed_on: passed_on.map(|leaf| leaf.path.clone()).collect(),
            imports: reader
                .leaves
                .into_iter()
                .map(|leaf| (leaf.name, leaf.path))
                .collect(),
            uses: reader.uses,
            test_modules: reader.test_modules,
        }
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

/// A name at the end of a `use` tree.
struct Leaf {
    name: String,
    path: String,
    is_public: bool,
}

struct Reader {
    /// Without those of tests and of `use`, as far as they were read.
    tokens: Vec<String>,
    at: usize,
    /// The modules that the file declares and that have files of their own.
    children: BTreeSet<String>,
    /// The module that the reader is in.
    here: Vec<String>,
    /// For each open brace, whether it closes an inline module.
    outer: Vec<bool>,
    uses: BTreeSet<Use>,
    leaves: Vec<Leaf>,
    test_modules: Vec<String>,
}

const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

impl Reader {
    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn read(&mut self) {
        while self.at < self.tokens.len() {
            let is_cfg_test = (0..CFG_TEST.len()).all(|i| self.peek(i) == CFG_TEST[i]);
            let is_path =
                self.peek(1) == "::" && (self.at == 0 || self.tokens[self.at - 1] != "::");
            match self.peek(0) {
                "#" if is_cfg_test => {
                    let start = self.at;
                    self.at += CFG_TEST.len();
                    self.skip_item();
                    self.forget_from(start);
                }
                "mod" if self.peek(2) == "{" => {
                    self.here.push(self.peek(1).to_owned());
                    self.outer.push(true);
                    self.at += 3;
                }
                "{" => {
                    self.outer.push(false);
                    self.at += 1;
                }
                "}" => {
                    if self.outer.pop() == Some(true) {
                        self.here.pop();
                    }
                    self.at += 1;
                }
                "use" => {
                    let start = self.at;
                    let before = start.checked_sub(1).map(|at| self.tokens[at].as_str());
                    let is_public = matches!(before, Some("pub" | ")"));
                    let first = self.leaves.len();
                    self.at += 1;
                    self.path();
                    for leaf in &mut self.leaves[first..] {
                        leaf.is_public = is_public;
                    }
                    self.forget_from(start);
                }
                // As in `pub(in crate::verify)`.
                "in" if self.at > 0 && self.tokens[self.at - 1] == "(" => self.at += 2,
                name if is_path && self.begins_inside(name) => {
                    let first = self.leaves.len();
                    self.path();
                    self.leaves.truncate(first);
                }
                name if is_path && is_name(name) => {
                    let outside = Use::Outside(name.to_owned());
                    self.uses.insert(outside);
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
    }

    fn begins_inside(&self, name: &str) -> bool {
        matches!(name, "crate" | "super" | "self") || self.children.contains(name)
    }

    /// Forgets the tokens from `start` to here.
    fn forget_from(&mut self, start: usize) {
        let end = self.at.min(self.tokens.len());
        self.tokens.drain(start..end);
        self.at = start;
    }

    /// Skips an item for tests, to its `;` or its last brace, and remembers a module's name.
    fn skip_item(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "mod" if depth == 0 && self.peek(2) == ";" => {
                    let path = [self.here.join("::"), self.peek(1).to_owned()].join("::");
                    self.test_modules.push(path);
                }
                ";" if depth == 0 => break,
                "{" => depth += 1,
                "}" if depth <= 1 => break,
                "}" => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
    }

    /// A path with the tree behind it, if it begins in the crate.
    fn path(&mut self) {
        match self.peek(0) {
            "crate" if self.peek(1) == "::" => {
                self.at += 2;
                self.tree(&[]);
            }
            "super" | "self" => {
                let mut base = self.here.clone();
                while matches!(self.peek(0), "super" | "self") && self.peek(1) == "::" {
                    if self.peek(0) == "super" {
                        base.pop();
                    }
                    self.at += 2;
                }
                self.tree(&base);
            }
            name if self.children.contains(name) => {
                let base = self.here.clone();
                self.tree(&base);
            }
            // Begins elsewhere, or is `use<'a>`.
            _ => {}
        }
    }

    fn tree(&mut self, base: &[String]) {
        let mut path = base.to_vec();
        loop {
            match self.peek(0) {
                "{" => {
                    self.at += 1;
                    while !matches!(self.peek(0), "}" | "") {
                        self.tree(&path);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "self" | "*" => self.at += 1,
                name if is_name(name) => {
                    path.push(name.to_owned());
                    self.at += 1;
                }
                // Such as the `<` of a turbofish: the path is over.
                _ => break,
            }
            if self.peek(0) != "::" {
                break;
            }
            self.at += 1;
        }
        let Some(mut name) = path.last().cloned() else {
            return;
        };
        if self.peek(0) == "as" {
            self.peek(1).clone_into(&mut name);
            self.at += 2;
        }
        let path = path.join("::");
        self.uses.insert(Use::Inside(path.clone()));
        self.leaves.push(Leaf {
            name,
            path,
            is_public: false,
        });
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::`, and every other sign by itself; no comments, no literals' contents.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        at += match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"', ..] | ['r', '#', '"' | '#', ..] => raw_string(rest),
            ['"', ..] | ['\'', '\\', ..] => quoted(rest),
            ['\'', _, '\'', ..] => 3,
            [':', ':', ..] => {
                found.push("::".to_owned());
                2
            }
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let name: String = rest
                    .iter()
                    .take_while(|c| c.is_alphanumeric() || **c == '_')
                    .collect();
                let length = name.chars().count();
                found.push(name);
                length
            }
            [c, ..] if c.is_whitespace() => 1,
            [c, ..] => {
                found.push(c.to_string());
                1
            }
            [] => break,
        };
    }
    found
}

fn block_comment(rest: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// A string or character literal; its first sign is its last.
fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != rest[0] {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 1; // A raw name such as `r#type`.
    }
    let mut end = vec!['"'];
    end.resize(1 + hashes, '#');
    let start = hashes + 2;
    let body = &rest[start.min(rest.len())..];
    let length = body.windows(end.len()).position(|window| window == end);
    length.map_or(rest.len(), |length| start + length + end.len())
}
