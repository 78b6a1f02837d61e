//! A number for each key, and the only key of an operator without keys.
//!
//! Place in the flow: ranks that a column bounds, rows that were counted and times that were reached are such numbers. Invariant: a
//! subtask that gets all rows owns the key group of [`whole_input`], as that of every key without columns.

use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::state::codec::{Reader, Writer};
use crate::state::{PartitionKey, Values, column};

/// A number for each key; 0 at first.
#[derive(Debug, Default)]
pub struct Numbers(pub Vec<i64>);

impl Values for Numbers {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.0, len, 0);
    }

    fn clear(&mut self, id: u32) {
        self.0[id as usize] = 0;
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.put_i64(self.0[id as usize]);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.0[id as usize] = input.i64()?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<i64>()
    }
}

/// The key of all rows together.
pub fn whole_input(key_groups: u32) -> PartitionKey<'static> {
    PartitionKey {
        bytes: &[],
        key_group: key_group(xxh3_64(&[]), key_groups),
    }
}
