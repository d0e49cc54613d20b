//! Which build this is.

use std::sync::LazyLock;

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built, as `make build` names it in `PORTCULLIS_COMMIT`; empty for other builds.
pub const COMMIT: &str = match option_env!("PORTCULLIS_COMMIT") {
    Some(commit) => commit,
    None => "",
};

/// Both, for people.
pub static LONG: LazyLock<String> = LazyLock::new(|| match COMMIT {
    "" => VERSION.to_owned(),
    commit => format!("{VERSION} ({commit})"),
});
