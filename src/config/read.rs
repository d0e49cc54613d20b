//! Reads a file into a [`Config`], or reports everything that is wrong with it.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::interpolate::{Environment, interpolate};
use super::mend::Document;
use super::outline::outline;
use super::report::{Finding, Redactions, Report};
use super::{Config, cross, schema, yaml};
use crate::core::config_error::{ConfigError, ConfigErrors};
use crate::core::hex::hex;
use crate::core::outline::Outline;

/// Reads the configuration from a file and from the environment variables that it names.
///
/// # Errors
/// Every mistake in the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<Config, Report> {
    let file = path.display().to_string();
    // Never more than what the parser refuses, also from a device that has no end.
    let mut bytes = Vec::new();
    let limit = yaml::LARGEST as u64 + 1;
    let opened = std::fs::File::open(path);
    match opened.and_then(|opened| opened.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => parse(&file, &bytes, &|name| std::env::var_os(name)),
        Err(error) => {
            let finding = Finding::of_file(format!("cannot be read: {error}"));
            Err(Redactions::default().report(&file, vec![finding]))
        }
    }
}

/// Reads another YAML file into its type.
///
/// # Errors
/// The first mistake in the file, or why it cannot be read.
pub(crate) fn load_as<T: DeserializeOwned>(path: &Path) -> Result<T, Report> {
    let file = path.display().to_string();
    let mut findings = Vec::new();
    let read = std::fs::read(path);
    let read = read.map_err(|error| Finding::of_file(format!("cannot be read: {error}")));
    let root = read.and_then(|bytes| yaml::parse(&bytes, &mut findings));
    let typed = root.and_then(|root| {
        serde_path_to_error::deserialize(root.to_json()).map_err(|error| {
            let at = error.path().to_string();
            Finding::at(root.nearest(&at).mark, at, error.into_inner().to_string())
        })
    });
    match typed {
        Ok(typed) if findings.is_empty() => Ok(typed),
        Ok(_) => Err(Redactions::default().report(&file, findings)),
        Err(finding) => {
            findings.push(finding);
            Err(Redactions::default().report(&file, findings))
        }
    }
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
    let mut redactions = Redactions::default();
    let schema = schema();
    let read = match document(bytes, env, &schema, &mut redactions) {
        Ok(document) => check(document, &schema),
        Err(findings) => Err(findings),
    };
    let mut config = read.map_err(|findings| redactions.report(file, findings))?;
    config.hash = hex(digest(&SHA256, bytes).as_ref());
    Ok(config)
}

/// Reads another file of settings than the configuration, from its bytes. Environment variables in it
/// count too.
///
/// # Errors
/// Every mistake in the file.
pub fn parse_other<T: DeserializeOwned + JsonSchema>(
    file: &str,
    bytes: &[u8],
) -> Result<T, Report> {
    let mut redactions = Redactions::default();
    let schema = schemars::schema_for!(T).to_value();
    let env = |name: &str| std::env::var_os(name);
    let read = document(bytes, &env, &schema, &mut redactions).and_then(|mut document| {
        let decoded = document.decode::<T>();
        let is_whole = document.findings.is_empty() && document.replaced.is_empty();
        decoded.filter(|_| is_whole).ok_or(document.findings)
    });
    read.map_err(|findings| redactions.report(file, findings))
}

/// Parses the file and expands its variables.
pub(super) fn document<'s>(
    bytes: &[u8],
    env: Environment<'_>,
    schema: &'s serde_json::Value,
    redactions: &mut Redactions,
) -> Result<Document<'s>, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut unresolved = Vec::new();
    let mut root = match yaml::parse(bytes, &mut findings) {
        Ok(root) => root,
        Err(fatal) => {
            findings.push(fatal);
            return Err(findings);
        }
    };
    interpolate(&mut root, env, redactions, &mut unresolved);
    let mut document = Document::new(root, schema, findings);
    for finding in unresolved {
        document.replace(finding);
    }
    Ok(document)
}

/// Makes the configuration and asks every module about the meaning of its part, as far as the file
/// could be read.
fn check(mut document: Document<'_>, schema: &serde_json::Value) -> Result<Config, Vec<Finding>> {
    let mut config = document.decode::<Config>();
    let Document {
        root,
        mut findings,
        replaced,
        ..
    } = document;
    let is_whole = replaced.is_empty();
    if let Some(config) = &mut config {
        let mut errors = ConfigErrors::without(replaced);
        config.insecure = root.insecure();
        config.outline = Outline::new(outline(&root, schema));
        config.build(&mut errors);
        cross::check(config, &mut errors);
        for ConfigError { path, message } in errors.into_vec() {
            findings.push(Finding::at(root.nearest(&path).mark, path, message));
        }
    }
    match config {
        Some(config) if findings.is_empty() && is_whole => Ok(config),
        _ if findings.is_empty() => Err(vec![Finding::of_file("does not fit the schema")]),
        _ => Err(findings),
    }
}
