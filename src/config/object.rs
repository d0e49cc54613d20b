//! Which keys an object may have: its own, and those of the variant that it chose.

use serde_json::Value as Json;

use super::nearest::suggest;
use super::schema::{Reader, names, properties, required, variants};
use super::tree::{Entry, Value};

/// The keys of an object.
pub(super) struct Shape<'s> {
    properties: Vec<(&'s str, &'s Json)>,
    pub required: Vec<&'s str>,
    /// What keys outside `properties` hold, where any are allowed.
    pub others: Option<&'s Json>,
    /// Whether no key outside `properties` is allowed.
    pub closed: bool,
}

/// Why no variant fits.
pub(super) struct Wrong {
    /// The entry at fault, by its index; none means the object itself.
    pub key: Option<usize>,
    /// Whether it is the entry's value that is at fault.
    pub value: bool,
    pub message: String,
}

impl<'s> Shape<'s> {
    pub(super) fn property(&self, key: &str) -> Option<&'s Json> {
        let found = self.properties.iter().find(|(name, _)| *name == key);
        found.map(|(_, schema)| *schema)
    }

    pub(super) fn names(&self) -> Vec<&'s str> {
        self.properties.iter().map(|(name, _)| *name).collect()
    }

    fn of(leaf: &'s Json) -> Self {
        let closes = |name: &str| leaf.get(name).and_then(Json::as_bool) == Some(false);
        Self {
            properties: properties(leaf).collect(),
            required: required(leaf).collect(),
            others: leaf
                .get("additionalProperties")
                .filter(|more| more.is_object()),
            closed: closes("additionalProperties") || closes("unevaluatedProperties"),
        }
    }

    fn join(&mut self, other: Self) {
        self.properties.extend(other.properties);
        self.required.extend(other.required);
        self.others = self.others.or(other.others);
        self.closed |= other.closed;
    }
}

/// The shape of the object with these entries.
///
/// # Errors
/// When it has variants and the entries choose none of them, or several.
pub(super) fn shape<'s>(
    reader: Reader<'s>,
    objects: &[&'s Json],
    entries: &[Entry],
) -> Result<Shape<'s>, Wrong> {
    let leaf = match objects {
        [only] => only,
        several => choose(several, entries)?,
    };
    let mut shape = Shape::of(leaf);
    // An enum that was flattened into a struct stands beside the struct's own properties.
    if !shape.properties.is_empty()
        && let Some(branches) = variants(leaf)
    {
        let branches: Vec<_> = branches
            .iter()
            .map(|branch| reader.resolve(branch))
            .collect();
        shape.join(Shape::of(choose(&branches, entries)?));
    }
    Ok(shape)
}

/// The variant that the entries name: by the value of the tag (`format: fusionauth`), or by the
/// one key that is there (`embedded: …`).
fn choose<'s>(variants: &[&'s Json], entries: &[Entry]) -> Result<&'s Json, Wrong> {
    let tag = variants.first().and_then(|variant| tag(variant));
    match tag {
        Some(tag) => by_tag(variants, tag, entries),
        None => by_key(variants, entries),
    }
}

/// The property whose value names the variant.
fn tag(variant: &Json) -> Option<&str> {
    let constant = |(_, schema): &(&str, &Json)| schema.get("const").is_some();
    properties(variant).find(constant).map(|(name, _)| name)
}

fn by_tag<'s>(variants: &[&'s Json], tag: &str, entries: &[Entry]) -> Result<&'s Json, Wrong> {
    let Some(index) = entries.iter().position(|entry| entry.key == tag) else {
        return Err(Wrong {
            key: None,
            value: false,
            message: format!("{tag:?} is missing"),
        });
    };
    let value = |variant: &'s Json| properties(variant).find(|(name, _)| *name == tag);
    let known = variants
        .iter()
        .filter_map(|variant| value(variant))
        .flat_map(|(_, schema)| names(schema));
    let known: Vec<&str> = known.collect();
    let given = match &entries[index].value.value {
        Value::Scalar(scalar) => scalar.text.as_str(),
        _ => "",
    };
    let chosen = variants
        .iter()
        .find(|variant| value(variant).is_some_and(|(_, schema)| names(schema).contains(&given)));
    let from_env = matches!(&entries[index].value.value, Value::Scalar(scalar) if scalar.from_env);
    chosen.copied().ok_or_else(|| Wrong {
        key: Some(index),
        value: true,
        message: if from_env {
            format!(
                "the value from the environment is none of {}",
                known.join(", ")
            )
        } else {
            format!("{given:?} is unknown{}", suggest(given, &known))
        },
    })
}

fn by_key<'s>(variants: &[&'s Json], entries: &[Entry]) -> Result<&'s Json, Wrong> {
    let known: Vec<&str> = variants
        .iter()
        .flat_map(|variant| properties(variant))
        .map(|(name, _)| name)
        .collect();
    let object = |message: String| Wrong {
        key: None,
        value: false,
        message,
    };
    if let Some(index) = entries
        .iter()
        .position(|entry| !known.contains(&entry.key.as_str()))
    {
        let key = &entries[index].key;
        return Err(Wrong {
            key: Some(index),
            value: false,
            message: format!("unknown key{}", suggest(key, &known)),
        });
    }
    let all_there = |variant: &&&Json| {
        let has = |key: &str| entries.iter().any(|entry| entry.key == key);
        required(variant).all(has)
            && entries
                .iter()
                .all(|entry| properties(variant).any(|(name, _)| name == entry.key))
    };
    match variants.iter().find(all_there) {
        Some(variant) => Ok(variant),
        None if entries.is_empty() => Err(object(format!("give one of {}", known.join(", ")))),
        None => Err(object(format!("give exactly one of {}", known.join(", ")))),
    }
}
