//! The newest offset of each key.
//!
//! Place in the flow: a pass notes the keys of new segments, and then asks about every record. Invariant: keys are known by 128 bits of
//! a hash with a seed of this pass, so that nobody can make two keys look the same.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Keys after which no further segment is taken into a pass: about 50 MB, with those of one segment more (guess, unmeasured).
pub(super) const KEYS_MAX: usize = (1 << 21) / 8 * 7;

/// The newest offset of each key.
#[derive(Debug)]
pub(super) struct Keys {
    /// By the two halves of the hash, which need less room than one number of 128 bits.
    offsets: HashMap<[u64; 2], i64>,
    /// Of this pass.
    seed: u64,
}

impl Keys {
    /// No keys.
    pub(super) fn new() -> Self {
        Self {
            offsets: HashMap::new(),
            seed: RandomState::new().hash_one(0),
        }
    }

    /// Notes a record; offsets ascend.
    pub(super) fn note(&mut self, key: &[u8], offset: i64) {
        let hash = self.hash(key);
        self.offsets.insert(hash, offset);
    }

    /// Whether there is a newer record of the key.
    pub(super) fn is_superseded(&self, key: &[u8], offset: i64) -> bool {
        self.offsets
            .get(&self.hash(key))
            .is_some_and(|newest| *newest > offset)
    }

    /// Whether no further segment should be noted.
    pub(super) fn is_full(&self) -> bool {
        self.offsets.len() >= KEYS_MAX
    }

    /// The two halves of the hash of a key.
    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let hash = xxh3_128_with_seed(key, self.seed).to_le_bytes();
        let half = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&hash[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        [half(0), half(8)]
    }
}
