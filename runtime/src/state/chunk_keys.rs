//! Keys of chunks: what is kept of a key in parts, each an entry of state.
//!
//! Place in the flow: tables of rows make the keys of a batch's first chunks here, to look them all up at once. Invariant: the key of chunk
//! `n` is that of what it is a part of, then `n`; its hash leads to the same key group.

use crate::graph::key_group::key_group;
use crate::state::EncodedKeys;
use crate::state::keyed::hash_in;

/// The keys of the first chunks of a batch's keys.
#[derive(Debug, Default)]
pub struct ChunkKeys(EncodedKeys);

impl ChunkKeys {
    /// Those of keys whose hashes lead to their key groups.
    pub fn first(keys: &EncodedKeys, key_groups: u32) -> Self {
        let mut first = EncodedKeys {
            bytes: Vec::with_capacity(keys.bytes.len() + keys.len() * size_of::<u32>()),
            ends: Vec::with_capacity(keys.len()),
            hashes: Vec::with_capacity(keys.len()),
        };
        for row in 0..keys.len() {
            let start = first.bytes.len();
            put_chunk_key(keys.key(row), 0, &mut first.bytes);
            let key_group = key_group(keys.hashes[row], key_groups);
            let hash = hash_in(&first.bytes[start..], key_group, key_groups);
            first.hashes.push(hash);
            first.ends.push(first.bytes.len());
        }
        Self(first)
    }

    /// The keys.
    pub fn keys(&self) -> &EncodedKeys {
        &self.0
    }
}

/// Appends the key of a chunk. The number is big-endian, so that the chunks of a key follow one another wherever keys are sorted.
pub fn put_chunk_key(key: &[u8], number: u32, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&number.to_be_bytes());
}
