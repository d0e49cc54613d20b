//! The in-memory index.
#[derive(Debug, Default)]
pub struct Index;
