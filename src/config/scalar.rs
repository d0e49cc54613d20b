//! Whether a scalar is what the schema wants in its place.

use regex::Regex;
use serde_json::Value as Json;

use super::nearest::suggest;
use super::report::Redactions;
use super::schema::{admits, example, is_anything, is_free_text, names};
use super::tree::Scalar;

/// Fits the scalar to the first leaf that admits it and settles what it is: text where text is
/// wanted, however much it looks like a number.
///
/// # Errors
/// What was expected. The message holds no secret.
pub(super) fn fit(
    scalar: &mut Scalar,
    leaves: &[&Json],
    redactions: &mut Redactions,
) -> Result<(), String> {
    if scalar.is_null() {
        let allowed = leaves.iter().any(|leaf| admits(leaf, "null"));
        let nothing = || "no value is given; give one or remove the key".to_owned();
        return allowed.then_some(()).ok_or_else(nothing);
    }
    if leaves.iter().any(|leaf| leaf.get("writeOnly").is_some()) {
        redactions.secret(&scalar.text);
    }
    // What takes anything takes it as it is.
    if leaves.iter().any(|leaf| is_anything(leaf)) {
        return Ok(());
    }
    let find = |kind: &str| leaves.iter().find(|leaf| admits(leaf, kind));
    if scalar.as_bool().is_some() && find("boolean").is_some() {
        return settle(scalar, true);
    }
    if let (Some(integer), Some(leaf)) = (scalar.as_integer(), find("integer")) {
        range(integer, leaf)?;
        return settle(scalar, true);
    }
    if scalar.as_float().is_some() && find("number").is_some() {
        return settle(scalar, true);
    }
    if leaves
        .iter()
        .any(|leaf| names(leaf).contains(&scalar.text.as_str()))
    {
        return settle(scalar, false);
    }
    if let Some(leaf) = leaves.iter().find(|leaf| is_free_text(leaf)) {
        form(scalar, leaf)?;
        scalar.example = example(leaf).map(str::to_owned);
        return settle(scalar, false);
    }
    Err(misfit(scalar, leaves))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the last step of every good branch of `fit`"
)]
fn settle(scalar: &mut Scalar, plain: bool) -> Result<(), String> {
    scalar.plain = plain;
    Ok(())
}

fn misfit(scalar: &Scalar, leaves: &[&Json]) -> String {
    let known: Vec<&str> = leaves.iter().flat_map(|leaf| names(leaf)).collect();
    if known.is_empty() {
        let found = match scalar {
            _ if scalar.as_bool().is_some() => "true or false",
            _ if scalar.as_float().is_some() => "a number",
            _ => "text",
        };
        return format!("expected {}, found {found}", expected(leaves));
    }
    if scalar.from_env {
        return format!(
            "the value from the environment is none of {}",
            known.join(", ")
        );
    }
    format!(
        "{} is unknown{}",
        echo(&scalar.text),
        suggest(&scalar.text, &known)
    )
}

/// A value that is no secret, shortened.
fn echo(text: &str) -> String {
    let start: String = text.chars().take(64).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{more}")
}

fn range(integer: i128, leaf: &Json) -> Result<(), String> {
    let bound = |name: &str| leaf.get(name).and_then(Json::as_i64).map(i128::from);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), _) if integer < least => Err(format!("must be at least {least}")),
        (_, Some(most)) if integer > most => Err(format!("must be at most {most}")),
        _ => Ok(()),
    }
}

fn form(scalar: &Scalar, leaf: &Json) -> Result<(), String> {
    let length = scalar.text.chars().count();
    let bound = |name: &str| {
        let bound = leaf.get(name).and_then(Json::as_u64);
        bound.and_then(|bound| usize::try_from(bound).ok())
    };
    match (bound("minLength"), bound("maxLength")) {
        (Some(_), _) if length == 0 => return Err("must not be empty".to_owned()),
        (Some(least), _) if length < least => {
            return Err(format!("must have at least {least} characters"));
        }
        (_, Some(most)) if length > most => {
            return Err(format!("must have at most {most} characters"));
        }
        _ => {}
    }
    let pattern = leaf.get("pattern").and_then(Json::as_str);
    let Some(Ok(pattern)) = pattern.map(Regex::new) else {
        return Ok(());
    };
    if pattern.is_match(&scalar.text) {
        return Ok(());
    }
    let secret = scalar.from_env || leaf.get("writeOnly").is_some();
    let what = if secret {
        "the value".to_owned()
    } else {
        echo(&scalar.text)
    };
    let examples = leaf.get("examples").and_then(Json::as_array);
    let examples: Vec<&str> = examples
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    Err(if examples.is_empty() {
        format!("{what} does not have the form {}", pattern.as_str())
    } else {
        format!(
            "{what} is not of the right form; write it like {}",
            either(&examples)
        )
    })
}

/// What would fit, in words.
pub(super) fn expected(leaves: &[&Json]) -> String {
    const KINDS: [(&str, &str); 6] = [
        ("boolean", "true or false"),
        ("integer", "a whole number"),
        ("number", "a number"),
        ("string", "text"),
        ("array", "a list"),
        ("object", "a mapping"),
    ];
    let names: Vec<&str> = leaves.iter().flat_map(|leaf| names(leaf)).collect();
    if !names.is_empty() && !leaves.iter().any(|leaf| is_free_text(leaf)) {
        let mapping = leaves.iter().any(|leaf| admits(leaf, "object"));
        let mapping = if mapping { ", or a mapping" } else { "" };
        return format!("one of {}{mapping}", names.join(", "));
    }
    let fitting = KINDS
        .iter()
        .filter(|(kind, _)| leaves.iter().any(|leaf| admits(leaf, kind)));
    let fitting: Vec<&str> = fitting.map(|(_, words)| *words).collect();
    either(&fitting)
}

/// `a`, `a or b`, `a, b or c`.
fn either(choices: &[&str]) -> String {
    match choices {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}
