//! Changes on their way into a checkpoint, by key group.
//!
//! Place in the flow: state tables write entries here, the subtask takes them and acknowledges the barrier with them. Invariant:
//! entries of one key group keep the order in which they were written, so that the last one for a key counts.

use crate::checkpoint::entry::{Entry, KeyGroupDelta};

/// Entries by key group.
#[derive(Debug, Default)]
pub struct Deltas {
    /// One buffer per key group; grown when a key group is first written.
    groups: Vec<Vec<u8>>,
}

impl Deltas {
    /// Appends an entry.
    pub fn push(&mut self, key_group: u32, entry: &Entry<'_>) {
        entry.write(self.buffer(key_group));
    }

    /// The buffer of a key group.
    fn buffer(&mut self, key_group: u32) -> &mut Vec<u8> {
        let index = key_group as usize;
        if self.groups.len() <= index {
            self.groups.resize_with(index + 1, Vec::new);
        }
        &mut self.groups[index]
    }

    /// Moves everything behind what another one holds.
    pub fn append_to(&mut self, other: &mut Self) {
        for (key_group, entries) in (0..).zip(&mut self.groups) {
            if entries.is_empty() {
                continue;
            }
            let target = other.buffer(key_group);
            if target.is_empty() {
                *target = std::mem::take(entries);
            } else {
                target.append(entries);
            }
        }
        self.groups.clear();
    }

    /// The deltas of the key groups that have changed.
    pub fn into_groups(self) -> Vec<KeyGroupDelta> {
        (0..)
            .zip(self.groups)
            .filter(|(_, entries)| !entries.is_empty())
            .map(|(key_group, entries)| KeyGroupDelta { key_group, entries })
            .collect()
    }

    /// Memory held, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.groups.iter().map(Vec::capacity).sum()
    }
}
