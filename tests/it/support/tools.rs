//! Where the real proxies are. `tools/setup` puts them there.

use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `PORTCULLIS_ENVOY` and its like win over `.cache/tools/bin/envoy`.
pub(crate) fn tool(name: &str) -> PathBuf {
    let variable = format!("PORTCULLIS_{}", name.to_uppercase());
    let path = std::env::var_os(&variable)
        .map_or_else(|| root().join(".cache/tools/bin").join(name), PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing: run `make setup`, or name your own in {variable}",
        path.display()
    );
    path
}

/// A shipped file with some of its texts replaced. Each must stand there exactly once, so that
/// what the tests run is what is shipped but for these.
pub(crate) fn shipped(file: &str, replacements: &[(&str, String)]) -> String {
    let path = root().join(file);
    let mut text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    for (old, new) in replacements {
        assert_eq!(
            text.matches(old).count(),
            1,
            "{file} should contain {old:?} once"
        );
        text = text.replace(old, new);
    }
    text
}
