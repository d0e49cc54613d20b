//! From a file to a [`Config`], or to everything that is wrong with it.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::interpolate::{Environment, interpolate};
use super::report::{Finding, Redactions, Report};
use super::tree::{Node, Value};
use super::walk::{Walk, replacement};
use super::{Config, cross, schema, yaml};
use crate::core::config_error::{ConfigError, ConfigErrors};

/// Reads the configuration from a file and from the environment variables that it names.
///
/// # Errors
/// Every mistake in the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<Config, Report> {
    let file = path.display().to_string();
    let bytes = read(path).map_err(|error| Report {
        file: file.clone(),
        errors: vec![Finding::of_file(format!("cannot be read: {error}"))],
    })?;
    parse(&file, &bytes, &|name| std::env::var_os(name))
}

/// Never more than what the parser refuses, also from a device that has no end.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = yaml::LARGEST as u64 + 1;
    std::fs::File::open(path)?
        .take(limit)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the configuration from the bytes of `file`, looking environment variables up with `env`.
///
/// # Errors
/// Every mistake in the file. No message contains the value of an environment variable or of a
/// secret.
pub fn parse(
    file: &str,
    bytes: &[u8],
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Config, Report> {
    let schema = schema();
    let (mut fitted, config) = fit::<Config>(bytes, env, &schema);
    if let (Some(config), Some(root)) = (&config, &fitted.root) {
        check(config, root, &mut fitted.walk);
    }
    let walk = fitted.walk;
    match config {
        Some(config) if walk.findings.is_empty() => Ok(config),
        _ => Err(walk.redactions.report(file, walk.findings)),
    }
}

/// A file that was made to fit its schema as far as possible.
pub(super) struct Fitted<'s> {
    root: Option<Node>,
    pub walk: Walk<'s>,
}

/// Everything up to the type itself, which is there also when something was wrong, if that could
/// be mended.
pub(super) fn fit<'s, T: DeserializeOwned>(
    bytes: &[u8],
    env: Environment<'_>,
    schema: &'s serde_json::Value,
) -> (Fitted<'s>, Option<T>) {
    let mut findings = Vec::new();
    let mut redactions = Redactions::default();
    let root = yaml::parse(bytes, &mut findings);
    let root = root.map_err(|fatal| findings.push(fatal)).ok();
    let mut walk = Walk::new(schema);
    let value = root.map(|mut root| {
        interpolate(&mut root, "", env, &mut redactions, &mut findings);
        walk.redactions = redactions;
        walk.root(&mut root);
        let value = deserialise(&mut root, &mut walk);
        (root, value)
    });
    walk.findings.append(&mut findings);
    let (root, value) = value.unzip();
    (Fitted { root, walk }, value.flatten())
}

/// After so many values that their types refuse, the rest is left for the next time: each costs a
/// pass over the file.
const MOST: usize = 100;

/// Makes the types. serde stops at the first value that its type refuses, so that one is reported
/// and replaced by an example, and the rest is tried again.
fn deserialise<T: DeserializeOwned>(root: &mut Node, walk: &mut Walk<'_>) -> Option<T> {
    for _ in 0..MOST {
        let error = match T::deserialize(&*root) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let path = error.path();
        // What was mended may be refused, and says nothing about the file.
        if !walk.mended.replaced(&path) || walk.findings.is_empty() {
            let mark = root.locate(&path);
            let message = message_for(root, &path, &error.message);
            walk.findings
                .push(Finding::at(mark, path.as_str(), message));
        }
        let node = root.at_mut(&path)?;
        node.value = Value::Scalar(replacement(node)?);
        walk.mended.add(&path);
    }
    None
}

/// The type's own words, unless the value may be secret: then a part of it could be in them.
fn message_for(root: &mut Node, path: &str, message: &str) -> String {
    match root.at_mut(path).map(|node| &node.value) {
        Some(Value::Scalar(scalar)) if scalar.from_env => match &scalar.example {
            Some(example) => {
                format!("the value from the environment does not fit; an example is {example}")
            }
            None => "the value from the environment does not fit".to_owned(),
        },
        _ => message.to_owned(),
    }
}

/// Asks every module about the meaning, and believes what is said about the parts that stand as
/// the operator wrote them.
fn check(config: &Config, root: &Node, walk: &mut Walk<'_>) {
    let mut errors = ConfigErrors::new();
    config.check(&mut errors);
    cross::check(config, &|section| walk.mended.spares(section), &mut errors);
    for ConfigError { path, message } in errors.into_vec() {
        if walk.mended.spares(&path) {
            let mark = root.locate(&path);
            walk.findings.push(Finding::at(mark, path, message));
        }
    }
    // Nothing may be wrong with the file and yet be believed.
    if !walk.mended.is_empty() && walk.findings.is_empty() {
        walk.findings
            .push(Finding::of_file("does not fit the schema"));
    }
}
