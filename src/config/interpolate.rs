//! Environment variables in values: `${NAME}`, `${NAME:-default}`, and `$$` for a dollar sign.
//!
//! They are expanded value by value after the YAML was parsed, so what a variable holds cannot add a
//! key or end a list.

use std::ffi::OsString;

use super::report::{Finding, Redactions};
use super::tree::{Node, Value};

/// Looks an environment variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The longest value, however often it names a large variable.
const LONGEST: usize = 256 * 1024;

/// Resolves every value of the tree in place. Reports those that cannot be resolved and leaves them
/// as they are.
pub(super) fn interpolate(
    node: &mut Node,
    env: Environment<'_>,
    redactions: &mut Redactions,
    findings: &mut Vec<Finding>,
) {
    for child in node.children_mut() {
        interpolate(child, env, redactions, findings);
    }
    if let Value::Scalar(scalar) = &mut node.value
        && scalar.text.contains('$')
    {
        match expand(&scalar.text, env, redactions) {
            Ok((text, from_env)) => {
                scalar.text = text;
                scalar.from_env = from_env;
                // What a variable holds is never read as null.
                scalar.plain &= !from_env;
            }
            Err(message) => findings.push(Finding::at(node.mark, node.path.as_str(), message)),
        }
    }
}

/// Returns the text with its variables expanded, and whether it had any.
fn expand(
    text: &str,
    env: Environment<'_>,
    redactions: &mut Redactions,
) -> Result<(String, bool), String> {
    let mut expanded = String::with_capacity(text.len());
    let mut from_env = false;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inside, after) = after
                .split_once('}')
                .ok_or("\"${\" has no \"}\"; write \"$${\" for the text itself")?;
            expanded.push_str(&variable(inside, env, redactions)?);
            from_env = true;
            rest = after;
        } else {
            expanded.push('$');
        }
        if expanded.len() > LONGEST {
            return Err(format!(
                "the value is longer than {LONGEST} bytes with its variables expanded"
            ));
        }
    }
    expanded.push_str(rest);
    Ok((expanded, from_env))
}

/// Returns the value of what is between `${` and `}`.
fn variable(
    inside: &str,
    env: Environment<'_>,
    redactions: &mut Redactions,
) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(
            "\"${…}\" does not contain a variable's name, as in ${NAME} or ${NAME:-default}; \
             write \"$${\" for the text itself"
                .to_owned(),
        );
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(format!(
            "the default of ${{{name}}} cannot contain a variable"
        ));
    }
    let value = env(name).map(OsString::into_string).transpose();
    let value = value.map_err(|_| format!("the environment variable {name} is not UTF-8"))?;
    // As in a shell: behind `:-`, empty counts as not set.
    match (value, default) {
        (Some(value), default) if default.is_none() || !value.is_empty() => {
            redactions.variable(name, &value);
            Ok(value)
        }
        (_, Some(default)) => Ok(default.to_owned()),
        (_, None) => Err(format!(
            "the environment variable {name} is not set; ${{{name}:-…}} would give a default"
        )),
    }
}

fn is_name(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(begins) && name.chars().all(|c| begins(c) || c.is_ascii_digit())
}
