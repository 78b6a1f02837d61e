//! What the namespaces of a table share.
//!
//! Place in the flow: each table has one. Invariant: entries for the next snapshot are behind those of the one being written.

use crate::checkpoint::entry::{Entry, Place};
use crate::error::{Error, Result};
use crate::state::backend::{SpillBatch, StateBackend};
use crate::state::delta::Deltas;
use crate::state::keyed::StateConfig;

/// Set in the number of a table whose values begin with the time of their last change.
pub(super) const HAS_TIME: u8 = 0x80;

/// What all parts of one table share.
#[derive(Debug)]
pub(in crate::state) struct Common {
    /// Number of the table among those of its operator.
    pub(super) table: u8,
    /// Settings.
    pub(super) config: StateConfig,
    /// The snapshot being written.
    pub(super) running: Deltas,
    /// What the next snapshot begins with: deletes and evicted changes.
    pub(super) next: Deltas,
    /// Where keys go that do not fit into memory; opened with the first.
    pub(super) backend: Option<Box<dyn StateBackend>>,
    /// Keys on their way to the backend; empty between two calls.
    pub(super) spilling: SpillBatch,
    /// A value's stored form, kept for its memory.
    pub(super) scratch: Vec<u8>,
}

impl Common {
    /// Of a table with this number.
    pub(in crate::state) fn new(table: u8, config: StateConfig) -> Self {
        let time = if config.ttl_ms.is_some() { HAS_TIME } else { 0 };
        Self {
            table: table | time,
            config,
            running: Deltas::default(),
            next: Deltas::default(),
            backend: None,
            spilling: SpillBatch::default(),
            scratch: Vec::new(),
        }
    }

    /// Number of the table.
    pub(in crate::state) fn table(&self) -> u8 {
        self.table & !HAS_TIME
    }

    /// Key groups of the statement.
    pub(in crate::state) fn key_groups(&self) -> u32 {
        self.config.key_groups
    }

    /// A place in the table.
    pub(super) fn place(&self, namespace: i64) -> Place {
        Place {
            table: self.table,
            namespace,
        }
    }

    /// The barrier: what was kept for the next snapshot begins it.
    pub(in crate::state) fn freeze(&mut self) {
        let mut next = std::mem::take(&mut self.next);
        next.append_to(&mut self.running);
    }

    /// Memory of the snapshot, in bytes.
    pub(in crate::state) fn snapshot_bytes(&self) -> usize {
        self.running.memory_bytes()
    }

    /// Memory of what the next snapshot begins with, in bytes.
    pub(in crate::state) fn begun_bytes(&self) -> usize {
        self.next.memory_bytes()
    }

    /// Takes what the next snapshot begins with.
    pub(in crate::state) fn take_begun(&mut self, out: &mut Deltas) {
        self.next.append_to(out);
    }

    /// Takes what was written of the snapshot.
    pub(in crate::state) fn take(&mut self, out: &mut Deltas) {
        self.running.append_to(out);
    }

    /// Notes that a namespace is gone.
    pub(in crate::state) fn drop_namespace(&mut self, namespace: i64, key_group: u32) {
        let place = self.place(namespace);
        self.next.push(key_group, &Entry::Drop { place });
    }

    /// Whether keys may be moved out of memory.
    pub(in crate::state) fn may_spill(&self) -> bool {
        self.config.spill.is_some()
    }

    /// The backend, opened if needed; absent when nothing may be spilled.
    pub(super) fn backend(&mut self) -> Result<Option<&mut Box<dyn StateBackend>>> {
        if self.backend.is_none()
            && let Some(space) = &self.config.spill
        {
            let name = format!("{}-{}", self.config.name, self.table());
            self.backend = Some(space.open(&name)?);
        }
        Ok(self.backend.as_mut())
    }

    /// Puts a key on its way to the backend, and stores those that are when they are enough.
    pub(super) fn spill(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.spilling.push(key, value);
        let enough = self.backend()?.map_or(0, |backend| backend.batch_bytes());
        if self.spilling.bytes() >= enough {
            self.store_spilling()?;
        }
        Ok(())
    }

    /// Stores the keys on their way to the backend.
    pub(super) fn store_spilling(&mut self) -> Result<()> {
        let mut batch = std::mem::take(&mut self.spilling);
        let Some(backend) = self.backend()? else {
            return Err(Error::internal("state was spilled without a place for it"));
        };
        backend.put_all(&mut batch)?;
        self.spilling = batch;
        Ok(())
    }

    /// Memory held, in bytes.
    pub(in crate::state) fn memory_bytes(&self) -> usize {
        self.running.memory_bytes() + self.next.memory_bytes() + self.scratch.capacity()
    }
}
