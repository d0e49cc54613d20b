//! Tells whether a file changed, without reading it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What differs between two versions of a file: device, inode, length and time of change. Symbolic
/// links are followed, so a link that is swapped shows too. `None` when there is no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Stamp {
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let meta = std::fs::metadata(path).ok();
        Self(meta.map(|meta| {
            let changed = (meta.mtime(), meta.mtime_nsec());
            (meta.dev(), meta.ino(), meta.len(), changed.0, changed.1)
        }))
    }
}
