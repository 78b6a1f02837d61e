//! Segments: the deltas of a subtask at an epoch, back to back in one object.
//!
//! Place in the flow: a subtask's deltas go into a [`SegmentWriter`], [`super::CheckpointStore::write_segment`] stores it, and the
//! slices go into the manifest. Invariant: pure; every stored byte belongs to exactly one slice, and the slice has its checksum.

use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::entry::KeyGroupDelta;
use crate::error::{Error, Result};

/// A part of a segment: entries of one key group of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Name of the object.
    pub segment: Arc<str>,
    /// Where in the object it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// CRC-32C of its bytes.
    pub crc: u32,
}

impl Slice {
    /// The offset behind it.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Compares bytes with length and checksum.
    ///
    /// # Errors
    /// `Corrupt`, naming the part of the segment.
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        let place = || format!("bytes {}..{}", self.offset, self.end());
        if bytes.len() as u64 != self.len {
            return Err(Error::corrupt(format!(
                "{} are {} and not {} long",
                place(),
                bytes.len(),
                self.len
            )));
        }
        if crc32c::crc32c(bytes) != self.crc {
            return Err(Error::corrupt(format!(
                "the checksum of {} does not match",
                place()
            )));
        }
        Ok(())
    }
}

/// A slice and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Node id of the plan.
    pub node: u32,
    /// Key group.
    pub key_group: u32,
    /// Where its entries are.
    pub slice: Slice,
}

/// Builds a segment. Deltas are kept as they come and copied by nobody before they are sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentWriter {
    /// Deltas in order.
    deltas: Vec<Delta>,
    /// Bytes of all of them.
    len: usize,
}

/// A delta of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Delta {
    /// Node id of the plan.
    node: u32,
    /// Key group.
    key_group: u32,
    /// Entries.
    entries: Bytes,
}

impl SegmentWriter {
    /// Adds the delta of a key group; an empty one leaves no trace. The same key group of a node may be added again: its slices count
    /// in order.
    pub fn push(&mut self, node: u32, delta: KeyGroupDelta) {
        if delta.entries.is_empty() {
            return;
        }
        self.len += delta.entries.len();
        self.deltas.push(Delta {
            node,
            key_group: delta.key_group,
            entries: Bytes::from(delta.entries),
        });
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }

    /// The parts to be stored under a name, and the slices that they are. Computes the checksums.
    pub fn finish(self, segment: &str) -> (Vec<Bytes>, Vec<Written>) {
        let segment: Arc<str> = segment.into();
        let mut offset = 0;
        let mut slice_of = |delta: &Delta| {
            let slice = Slice {
                segment: segment.clone(),
                offset,
                len: delta.entries.len() as u64,
                crc: crc32c::crc32c(&delta.entries),
            };
            offset += slice.len;
            Written {
                node: delta.node,
                key_group: delta.key_group,
                slice,
            }
        };
        let written = self.deltas.iter().map(&mut slice_of).collect();
        let parts = self.deltas.into_iter().map(|delta| delta.entries);
        (parts.collect(), written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_covered_by_one_slice_and_flips_are_noticed() {
        let mut writer = SegmentWriter::default();
        for (node, key_group, entries) in [(1, 0, "abc"), (1, 5, ""), (1, 7, "d"), (4, 0, "efgh")] {
            let entries = entries.as_bytes().to_vec();
            writer.push(node, KeyGroupDelta { key_group, entries });
        }
        assert_eq!((writer.len(), writer.is_empty()), (8, false));
        let (parts, written) = writer.finish("segments/r/1-0");
        let bytes = parts.concat();
        assert_eq!(written.len(), 3);
        let part = |slice: &Slice| -> std::ops::Range<usize> {
            usize::try_from(slice.offset).unwrap()..usize::try_from(slice.end()).unwrap()
        };
        let covered: Vec<usize> = written.iter().flat_map(|w| part(&w.slice)).collect();
        assert_eq!(covered, (0..bytes.len()).collect::<Vec<_>>());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let damaged = |w: &&Written| w.slice.check(&flipped[part(&w.slice)]).is_err();
            let damaged: Vec<_> = written.iter().filter(damaged).collect();
            assert!(matches!(damaged.as_slice(), [only] if part(&only.slice).contains(&at)));
        }
        assert!(written[0].slice.check(&bytes[..2]).is_err());
    }
}
