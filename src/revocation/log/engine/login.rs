//! Passwords and tokens for the servers.

use std::path::PathBuf;

use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Live, Secret, Sources};

/// Reports what is wrong with the fields `name` and `name_file`. Both may be left out.
pub(in crate::revocation::log) fn check(
    errors: &mut ConfigErrors,
    name: &str,
    given: Option<&Sources>,
    file: Option<&PathBuf>,
) {
    if (given.is_some() || file.is_some())
        && let Err(message) = Sources::of(name, given, file)
    {
        errors.push(name, message);
    }
}

/// Reads the secret in the fields `name` and `name_file`, which must be text.
///
/// # Errors
/// When it is missing or cannot be read, for people.
pub(in crate::revocation::log) fn read(
    name: &str,
    given: Option<&Sources>,
    file: Option<&PathBuf>,
) -> Result<Live, String> {
    let is_text = |secret: &Secret| text(secret).map(drop);
    let sources = Sources::of(name, given, file)?;
    let read = Live::read(sources, Encoding::Plain, Box::new(is_text));
    read.map_err(|error| format!("{name}: {error}"))
}

/// Returns the secret of this moment: the first of a list.
pub(in crate::revocation::log) fn current(secret: &Live) -> String {
    let first = secret.now().into_iter().next();
    first
        .and_then(|secret| text(&secret).ok())
        .unwrap_or_default()
}

/// Returns a secret as text.
///
/// # Errors
/// When it is none, for people.
pub(in crate::revocation::log) fn text(secret: &Secret) -> Result<String, String> {
    String::from_utf8(secret.expose().to_vec()).map_err(|_| "the secret must be UTF-8".to_owned())
}
