//! The reference of the configuration, for people: a hand-written prologue, and a section for each
//! object of the schema.

use portcullis::config::schema;
use serde_json::Value as Json;

const PROLOGUE: &str = include_str!("prologue.md");

/// The reference, in Markdown.
#[must_use]
pub(crate) fn markdown() -> String {
    let schema = schema();
    let mut reference = Reference {
        reader: Reader::new(&schema),
        text: format!("{PROLOGUE}# Reference\n"),
        written: Vec::new(),
    };
    reference.object("", &schema);
    let note = "<!-- Made by `make reference`. Change the doc comments of the types, or \
                tools/reference/prologue.md, and run it again. -->";
    format!("{note}\n\n{}", reference.text)
}

struct Reference<'s> {
    reader: Reader<'s>,
    text: String,
    /// Which objects have a section already, and under which path.
    written: Vec<(&'s Json, String)>,
}

/// Keys under a heading.
struct Table<'s> {
    heading: String,
    rows: Vec<Row<'s>>,
}

struct Row<'s> {
    key: &'s str,
    schema: &'s Json,
    required: bool,
    /// What the variant says that this key chooses.
    about: Option<String>,
}

/// An object inside an object, to be described in a section of its own.
struct Child<'s> {
    path: String,
    schema: &'s Json,
}

impl<'s> Reference<'s> {
    fn object(&mut self, path: &str, schema: &'s Json) {
        let schema = self.reader.resolve(schema);
        let title = match path {
            "" => "The whole file".to_owned(),
            _ => format!("`{path}`"),
        };
        self.text.extend(["\n## ", &title, "\n\n"]);
        if let Some((_, earlier)) = self
            .written
            .iter()
            .find(|(one, _)| std::ptr::eq(*one, schema))
        {
            let link = format!("The same keys as [`{earlier}`](#{}).\n", anchor(earlier));
            self.text.push_str(&link);
            return;
        }
        self.written.push((schema, path.to_owned()));
        if let Some(description) = description(schema) {
            self.text.push_str(&description);
            self.text.push_str("\n\n");
        }
        let mut children = Vec::new();
        for table in self.tables(schema) {
            self.text.push_str(&table.heading);
            self.table(path, &table.rows, &mut children);
        }
        for child in children {
            self.object(&child.path, child.schema);
        }
    }

    /// The tables of an object: its own keys, those of each tagged variant, and those of which
    /// exactly one chooses a variant.
    fn tables(&self, schema: &'s Json) -> Vec<Table<'s>> {
        let own = schema.get("properties").is_some().then(|| Table {
            heading: String::new(),
            rows: rows(schema),
        });
        let mut choice = Vec::new();
        let branches = match own {
            Some(_) => variants(schema).into_iter().flatten().collect(),
            None => self.reader.alternatives(schema),
        };
        let mut tables: Vec<Table<'s>> = own.into_iter().collect();
        for variant in branches {
            let leaf = self.reader.resolve(variant);
            let mut rows = rows(leaf);
            if let Some((key, value)) = constant(leaf) {
                let heading = format!("\nWith `{key}: {value}`:\n\n");
                tables.push(Table { heading, rows });
                continue;
            }
            for row in &mut rows {
                row.required = false;
                row.about = description(variant);
            }
            choice.extend(rows);
        }
        if !choice.is_empty() {
            tables.push(Table {
                heading: "Exactly one of these:\n\n".to_owned(),
                rows: choice,
            });
        }
        tables
    }

    fn table(&mut self, path: &str, rows: &[Row<'s>], children: &mut Vec<Child<'s>>) {
        self.text
            .push_str("| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
        for row in rows {
            let (key, schema) = (row.key, row.schema);
            let inside = match path {
                "" => key.to_owned(),
                _ => format!("{path}.{key}"),
            };
            let kind = self.kind(schema, &inside, children);
            let sectioned = self.reader.resolve(schema).get("properties").is_some();
            let default = match schema.get("default") {
                // Its keys say their defaults in their own section.
                Some(_) if sectioned => String::new(),
                Some(default) if !default.is_null() => format!("`{}`", cell(&yaml(default))),
                _ if row.required => "**required**".to_owned(),
                _ => String::new(),
            };
            let meaning = match &row.about {
                Some(about) if description(schema).is_none() => cell(about),
                _ => self.meaning(schema),
            };
            let row = format!("| `{key}` | {kind} | {default} | {meaning} |\n");
            self.text.push_str(&row);
        }
    }

    /// A type in words. Objects are queued for sections of their own, and linked.
    fn kind(&self, schema: &'s Json, path: &str, children: &mut Vec<Child<'s>>) -> String {
        let mut kinds: Vec<String> = Vec::new();
        let resolved = self.reader.resolve(schema);
        if self.has_section(resolved) {
            let link = format!("[mapping](#{})", anchor(path));
            children.push(Child {
                path: path.to_owned(),
                schema: resolved,
            });
            let texts = self.reader.alternatives(resolved).into_iter();
            let texts: Vec<String> = texts.filter_map(listed).collect();
            return [texts, vec![link]].concat().join(" or ");
        }
        for leaf in self.reader.alternatives(schema) {
            let kind = self.leaf(leaf, path, children);
            if !kind.is_empty() && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds.join(" or ")
    }

    /// Whether this is an object with known keys, or a choice between such objects.
    fn has_section(&self, schema: &'s Json) -> bool {
        if schema.get("properties").is_some() {
            return described(schema);
        }
        // An optional object is a choice between it and null, and no choice worth a section.
        let mut leaves = self.reader.alternatives(schema);
        leaves.retain(|leaf| leaf.get("type").is_none_or(|kind| kind != "null"));
        let choice = leaves.len() > 1 || schema.get("oneOf").is_some();
        choice && leaves.iter().any(|leaf| described(leaf))
    }

    fn leaf(&self, leaf: &'s Json, path: &str, children: &mut Vec<Child<'s>>) -> String {
        if described(leaf) {
            return self.kind(leaf, path, children);
        }
        if let Some((_, values)) = properties(leaf).next() {
            let keys: Vec<String> = properties(leaf)
                .map(|(key, _)| format!("`{key}`"))
                .collect();
            let values = self.kind(values, path, children);
            return format!("mapping of {} to {values}", keys.join(", "));
        }
        if let Some(listed) = listed(leaf) {
            return listed;
        }
        let format = leaf.get("format").and_then(Json::as_str);
        let pattern = leaf.get("pattern").and_then(Json::as_str);
        let is = |kind: &str| leaf.get("type").is_some() && admits(leaf, kind);
        if let Some(items) = leaf.get("items").filter(|_| is("array")) {
            return format!(
                "list of {}",
                self.kind(items, &format!("{path}[]"), children)
            );
        }
        if let Some(values) = leaf
            .get("additionalProperties")
            .filter(|more| more.is_object())
        {
            let values = self.kind(values, &format!("{path}.*"), children);
            return format!("mapping of names to {values}");
        }
        match () {
            () if format == Some("duration") => "duration",
            () if pattern.is_some_and(|pattern| pattern.contains("KiB")) => "size",
            () if leaf.get("writeOnly").is_some() => "secret text",
            () if is("string") => "text",
            () if is("boolean") => "`true` or `false`",
            () if is("integer") => "whole number",
            () if is("number") => "number",
            () if is("object") => "mapping",
            () if is("array") => "list",
            () if is("null") => "",
            () => "anything",
        }
        .to_owned()
    }

    /// The description of a field, and of each of the values that it lists.
    fn meaning(&self, schema: &'s Json) -> String {
        let resolved = self.reader.resolve(schema);
        let own = description(schema).or_else(|| description(resolved));
        let mut meaning = own.unwrap_or_default();
        for leaf in self.reader.alternatives(schema) {
            if let (Some(value), Some(about)) = (listed(leaf), description(leaf))
                && leaf.get("const").is_some()
            {
                meaning.extend(["\n\n", &value, ": ", &about]);
            }
        }
        cell(&meaning)
    }
}

/// The keys of an object, the required ones first.
fn rows(leaf: &Json) -> Vec<Row<'_>> {
    let needed: Vec<&str> = required(leaf).collect();
    let row = |(key, schema)| Row {
        key,
        schema,
        required: needed.contains(&key),
        about: None,
    };
    let mut rows: Vec<_> = properties(leaf).map(row).collect();
    rows.sort_by_key(|row| !row.required);
    rows
}

/// Whether an object has keys of which each says what it means. Otherwise it is a map with a closed
/// set of names.
fn described(leaf: &Json) -> bool {
    properties(leaf)
        .any(|(_, schema)| description(schema).is_some() || schema.get("$ref").is_some())
}

/// The texts that a leaf lists.
fn listed(leaf: &Json) -> Option<String> {
    let names: Vec<String> = names(leaf).iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The tag of a variant and its value.
fn constant(leaf: &Json) -> Option<(&str, &str)> {
    properties(leaf).find_map(|(key, schema)| Some((key, schema.get("const")?.as_str()?)))
}

/// A description with Rust's links to other items turned into plain code.
fn description(schema: &Json) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    Some(text.replace("[`", "`").replace("`]", "`"))
}

/// A default as an operator would write it, on one line.
fn yaml(value: &Json) -> String {
    match value {
        Json::String(text) if text.is_empty() => "\"\"".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(yaml).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Json::Object(entries) => {
            let entry = |(key, value): (&String, &Json)| format!("{key}: {}", yaml(value));
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// Text inside one cell of a table.
fn cell(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|one| one.trim().replace('\n', " "));
    let paragraphs: Vec<String> = paragraphs.filter(|one| !one.is_empty()).collect();
    paragraphs.join("<br>").replace('|', "\\|")
}

/// The anchor that common renderers give to the heading of a path.
fn anchor(path: &str) -> String {
    let keeps = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    path.to_lowercase().chars().filter(keeps).collect()
}

/// Reads JSON Schema: the few keywords that schemars writes.
#[derive(Clone, Copy)]
struct Reader<'s> {
    root: &'s Json,
}

impl<'s> Reader<'s> {
    fn new(root: &'s Json) -> Self {
        Self { root }
    }

    /// Follows `$ref`.
    fn resolve(self, schema: &'s Json) -> &'s Json {
        let mut schema = schema;
        while let Some(target) = schema.get("$ref").and_then(Json::as_str) {
            let pointer = target.trim_start_matches('#');
            match self.root.pointer(pointer) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// What a value may be: the leaves of `anyOf` and `oneOf`, references followed. An object
    /// with properties of its own is a leaf, whatever else it says; see [`variants`].
    fn alternatives(self, schema: &'s Json) -> Vec<&'s Json> {
        let schema = self.resolve(schema);
        if schema.get("properties").is_some() {
            return vec![schema];
        }
        match variants(schema).or_else(|| schema.get("allOf").and_then(Json::as_array)) {
            Some(branches) => branches
                .iter()
                .flat_map(|branch| self.alternatives(branch))
                .collect(),
            None => vec![schema],
        }
    }
}

/// The branches of `oneOf` or `anyOf`.
fn variants(schema: &Json) -> Option<&Vec<Json>> {
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
    branches.as_array()
}

/// Whether a leaf admits this JSON type. One that names no type admits every type.
fn admits(leaf: &Json, kind: &str) -> bool {
    match leaf.get("type") {
        Some(Json::String(only)) => only == kind,
        Some(Json::Array(several)) => several.iter().any(|one| one == kind),
        _ if leaf.get("const").is_some() || leaf.get("enum").is_some() => {
            names(leaf).is_empty() != (kind == "string")
        }
        _ => true,
    }
}

/// The texts of `const` and `enum`.
fn names(leaf: &Json) -> Vec<&str> {
    let only = leaf.get("const").and_then(Json::as_str);
    let listed = leaf.get("enum").and_then(Json::as_array);
    let listed = listed.into_iter().flatten().filter_map(Json::as_str);
    only.into_iter().chain(listed).collect()
}

/// The properties of an object, in the order of the type.
fn properties(leaf: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let object = leaf.get("properties").and_then(Json::as_object);
    object
        .into_iter()
        .flatten()
        .map(|(key, schema)| (key.as_str(), schema))
}

/// The keys that an object must have.
fn required(leaf: &Json) -> impl Iterator<Item = &str> {
    let list = leaf.get("required").and_then(Json::as_array);
    list.into_iter().flatten().filter_map(Json::as_str)
}
