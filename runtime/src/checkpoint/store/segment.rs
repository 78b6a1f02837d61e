//! Segments: the deltas of a subtask at an epoch, back to back in one object.
//!
//! Place in the flow: a subtask's deltas go into a [`SegmentWriter`], [`super::CheckpointStore::write_segment`] stores it, and the
//! slices go into the manifest. Invariant: pure; every stored byte belongs to exactly one slice, and the slice has its checksum.

use std::sync::Arc;

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

/// Builds a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentWriter {
    /// The segment so far.
    bytes: Vec<u8>,
    /// Node, key group, length and checksum of each slice, in order.
    parts: Vec<(u32, u32, u64, u32)>,
}

impl SegmentWriter {
    /// Adds the delta of a key group; an empty one leaves no trace. The same key group of a node may be added again: its slices count
    /// in order.
    pub fn push(&mut self, node: u32, delta: &KeyGroupDelta) {
        if delta.entries.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(&delta.entries);
        let crc = crc32c::crc32c(&delta.entries);
        let len = delta.entries.len() as u64;
        self.parts.push((node, delta.key_group, len, crc));
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The bytes to be stored under a name, and the slices in it.
    pub fn finish(self, segment: &str) -> (Vec<u8>, Vec<Written>) {
        let segment: Arc<str> = segment.into();
        let mut offset = 0;
        let slices = self.parts.into_iter().map(|(node, key_group, len, crc)| {
            let slice = Slice {
                segment: segment.clone(),
                offset,
                len,
                crc,
            };
            offset += len;
            Written {
                node,
                key_group,
                slice,
            }
        });
        let slices = slices.collect();
        (self.bytes, slices)
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
            writer.push(node, &KeyGroupDelta { key_group, entries });
        }
        assert_eq!((writer.len(), writer.is_empty()), (8, false));
        let (bytes, written) = writer.finish("segments/r/1-0");
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
