use std::collections::HashMap;
use std::io;
use std::sync::Mutex;

use super::{KeyValueStore, Kind};

/// A store in memory, for tests.
#[derive(Debug, Default)]
pub struct InMemory(Mutex<HashMap<(Kind, String), Vec<u8>>>);

impl KeyValueStore for InMemory {
    fn load(&self, kind: Kind, name: &str) -> io::Result<Option<Vec<u8>>> {
        let drawer = self.0.lock().expect("no holder of this lock panics");
        Ok(drawer.get(&(kind, name.to_owned())).cloned())
    }

    fn save(&self, kind: Kind, name: &str, value: &[u8]) -> io::Result<()> {
        let mut drawer = self.0.lock().expect("no holder of this lock panics");
        drawer.insert((kind, name.to_owned()), value.to_vec());
        Ok(())
    }
}
