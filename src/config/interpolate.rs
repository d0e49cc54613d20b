//! Environment variables in values: `${NAME}`, `${NAME:-default}`, and `$$` for a dollar sign.
//!
//! This happens after the YAML was parsed, value by value: whatever a variable holds, it stays
//! inside the one value that names it and cannot add a key or end a list.

use std::ffi::OsString;

use super::report::{Finding, Redactions};
use super::tree::{Node, Value, join_index, join_key};

/// Looks an environment variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// No value may grow past this, however often it names a large variable.
const LONGEST: usize = 256 * 1024;

/// Resolves every value of the tree in place. What cannot be resolved becomes
/// [`Value::Broken`] and is reported.
pub(super) fn interpolate(
    node: &mut Node,
    path: &str,
    env: Environment<'_>,
    redactions: &mut Redactions,
    findings: &mut Vec<Finding>,
) {
    match &mut node.value {
        Value::Broken => {}
        Value::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                interpolate(item, &join_index(path, i), env, redactions, findings);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let path = join_key(path, &entry.key);
                interpolate(&mut entry.value, &path, env, redactions, findings);
            }
        }
        Value::Scalar(scalar) => match expand(&scalar.text, env, redactions) {
            Ok(None) => {}
            Ok(Some(expanded)) => {
                scalar.text = expanded.text;
                scalar.from_env = expanded.from_env;
                // What a variable holds is never read as null.
                scalar.plain &= !expanded.from_env;
            }
            Err(message) => {
                findings.push(Finding::at(node.mark, path, message));
                node.value = Value::Broken;
            }
        },
    }
}

struct Expanded {
    text: String,
    from_env: bool,
}

fn expand(
    text: &str,
    env: Environment<'_>,
    redactions: &mut Redactions,
) -> Result<Option<Expanded>, String> {
    if !text.contains('$') {
        return Ok(None);
    }
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
                "the value is longer than {LONGEST} bytes once its variables are put in"
            ));
        }
    }
    expanded.push_str(rest);
    Ok(Some(Expanded {
        text: expanded,
        from_env,
    }))
}

/// The value of what stands between `${` and `}`.
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
            "what stands in \"${…}\" is no name of a variable, as in ${NAME} or \
             ${NAME:-default}; write \"$${\" for the text itself"
                .to_owned(),
        );
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(format!("the default of ${{{name}}} cannot name a variable"));
    }
    let value = match env(name) {
        Some(value) => Some(value.into_string().map_err(|_| {
            format!("the environment variable {name} is not text (it is not UTF-8)")
        })?),
        None => None,
    };
    // As in a shell: behind `:-`, empty counts as not set.
    match (value, default) {
        (Some(value), default) if default.is_none() || !value.is_empty() => {
            redactions.variable(name, &value);
            Ok(value)
        }
        (_, Some(default)) => Ok(default.to_owned()),
        (_, None) => Err(format!(
            "the environment variable {name} is not set, and ${{{name}:-…}} gives no default"
        )),
    }
}

fn is_name(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(begins) && name.chars().all(|c| begins(c) || c.is_ascii_digit())
}
