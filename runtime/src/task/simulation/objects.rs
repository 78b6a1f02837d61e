//! The objects that checkpoints are made of.
//!
//! Place in the flow: the place below every process's store. Invariant: objects survive processes, and their age is by simulated time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::process::lock;
use crate::checkpoint::store::objects::{self, Object, Objects, PutMode};
use crate::checkpoint::store::testing::MemoryObjects;
use crate::testing::SimulatedClock;
use crate::time::{Clock as _, EpochMillis};

/// Objects with the simulated time of their writing.
#[derive(Debug)]
pub(super) struct Timed {
    /// The objects.
    inner: MemoryObjects,
    /// When each was written.
    written_ms: Mutex<BTreeMap<String, EpochMillis>>,
    /// Time.
    clock: Arc<SimulatedClock>,
}

impl Timed {
    /// No objects.
    pub(super) fn new(clock: Arc<SimulatedClock>) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryObjects::default(),
            written_ms: Mutex::default(),
            clock,
        })
    }

    /// Flips a bit of an object. Returns its name, if there is one at all.
    pub(super) fn damage(&self, choice: u64, place: u64) -> Option<String> {
        let names = self.inner.names();
        let chosen = usize::try_from(choice % names.len().max(1) as u64).ok()?;
        let name = names.get(chosen)?;
        self.inner.damage(name, |bytes| {
            let at = usize::try_from((place >> 3) % bytes.len().max(1) as u64).unwrap_or_default();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (place & 7);
            }
        });
        Some(name.clone())
    }
}

impl Objects for Timed {
    fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), objects::Fault> {
        self.inner.put(name, parts, mode)?;
        lock(&self.written_ms).insert(name.to_owned(), self.clock.now_ms());
        Ok(())
    }

    fn read(
        &self,
        name: &str,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<Bytes, objects::Fault> {
        self.inner.read(name, range)
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>, objects::Fault> {
        let written_ms = lock(&self.written_ms);
        let mut listed = self.inner.list(folder)?;
        for object in &mut listed {
            object.modified_ms = written_ms.get(&object.name).copied().unwrap_or_default();
        }
        Ok(listed)
    }

    fn delete(&self, name: &str) -> Result<(), objects::Fault> {
        self.inner.delete(name)
    }
}
