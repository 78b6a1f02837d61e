//! Values in the order in which they came.
//!
//! Place in the flow: accumulators whose result depends on the order of rows keep one for each group. Invariant: the first copy of a
//! value is the one that is taken away, and what is not there cannot be, as in Flink's list views.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
use crate::state::codec::{Reader, Writer};
use crate::state::column;

/// Bytes of a list past which taking a value away makes an index of it: what a scan reads in about a microsecond (guess, unmeasured).
const SCAN_BYTES_MAX: usize = 4096;

/// Values of an index below which it becomes a list again (guess, unmeasured).
const INDEX_VALUES_MIN: usize = 16;

/// Memory of an indexed value beside its bytes: its place, pointer and length, hash and place, and room in both trees (guess,
/// unmeasured).
const ENTRY_BYTES: usize = 64;

/// Bytes of a length in a list.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Values in order.
#[derive(Debug, Default)]
pub(super) enum Sequence {
    /// None.
    #[default]
    Empty,
    /// Each value behind its length, which is as small as it gets.
    List {
        /// Lengths and values.
        bytes: Vec<u8>,
        /// Where the last one begins.
        last: usize,
    },
    /// Values by place, so that one in the middle is found.
    Index(Box<Index>),
}

/// Values by place.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Values in order.
    values: BTreeMap<u64, Box<[u8]>>,
    /// Hash and place of each value.
    places: BTreeSet<(u64, u64)>,
    /// The next place.
    next: u64,
    /// Memory of the values, bytes.
    bytes: usize,
}

impl Index {
    /// Appends a value.
    fn push(&mut self, value: &[u8]) {
        self.values.insert(self.next, value.into());
        self.places.insert((xxh3_64(value), self.next));
        self.next += 1;
        self.bytes += value.len() + ENTRY_BYTES;
    }

    /// Takes the first copy of a value away.
    fn remove(&mut self, value: &[u8]) {
        let hash = xxh3_64(value);
        let mut same = self.places.range((hash, 0)..=(hash, u64::MAX));
        let found = same.find(|(_, place)| self.values.get(place).is_some_and(|v| **v == *value));
        if let Some(entry) = found.copied() {
            self.places.remove(&entry);
            self.values.remove(&entry.1);
            self.bytes -= value.len() + ENTRY_BYTES;
        }
    }
}

/// Values of a list from some byte on.
#[derive(Debug, Clone)]
struct ListIter<'a> {
    /// Lengths and values.
    rest: &'a [u8],
}

impl<'a> Iterator for ListIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(value)
    }
}

impl Sequence {
    /// Values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let (list, index) = match self {
            Self::Empty => (&[][..], None),
            Self::List { bytes, .. } => (bytes.as_slice(), None),
            Self::Index(index) => (&[][..], Some(&index.values)),
        };
        let index = index.into_iter().flatten();
        ListIter { rest: list }.chain(index.map(|(_, value)| &**value))
    }

    /// The last value.
    pub(super) fn last(&self) -> Option<&[u8]> {
        match self {
            Self::Empty => None,
            Self::List { bytes, last } => ListIter {
                rest: &bytes[*last..],
            }
            .next(),
            Self::Index(index) => index.values.last_key_value().map(|(_, value)| &**value),
        }
    }

    /// Memory of the values, bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::List { bytes, .. } => bytes.capacity(),
            Self::Index(index) => size_of::<Index>() + index.bytes,
        }
    }

    /// Appends a value.
    pub(super) fn push(&mut self, value: &[u8]) {
        match self {
            Self::Empty => {
                let mut bytes = Vec::with_capacity(LENGTH_BYTES + value.len());
                bytes.put_bytes(value);
                *self = Self::List { bytes, last: 0 };
            }
            Self::List { bytes, last } => {
                *last = bytes.len();
                bytes.put_bytes(value);
            }
            Self::Index(index) => index.push(value),
        }
    }

    /// Takes the first copy of a value away, if there is one.
    pub(super) fn remove(&mut self, value: &[u8]) {
        if let Self::List { bytes, .. } = self
            && bytes.len() > SCAN_BYTES_MAX
        {
            let mut index = Index::default();
            self.iter().for_each(|value| index.push(value));
            *self = Self::Index(Box::new(index));
        }
        match self {
            Self::Empty => {}
            Self::List { bytes, last } => {
                remove_from_list(bytes, last, value);
                if bytes.is_empty() {
                    *self = Self::Empty;
                }
            }
            Self::Index(index) => {
                index.remove(value);
                if index.values.len() < INDEX_VALUES_MIN {
                    let mut list = Self::Empty;
                    self.iter().for_each(|value| list.push(value));
                    *self = list;
                }
            }
        }
    }

    /// Appends it to a snapshot.
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u32(0);
        let mut count = 0_u32;
        for value in self.iter() {
            out.put_bytes(value);
            count += 1;
        }
        out[start..start + LENGTH_BYTES].copy_from_slice(&count.to_le_bytes());
    }

    /// Appends what a snapshot holds.
    fn read(&mut self, input: &mut Reader<'_>) -> Result<()> {
        for _ in 0..input.u32()? {
            self.push(input.bytes()?);
        }
        Ok(())
    }
}

/// Takes the first copy of a value away from a list.
fn remove_from_list(bytes: &mut Vec<u8>, last: &mut usize, value: &[u8]) {
    let (mut start, mut before) = (0, 0);
    for held in (ListIter { rest: bytes }) {
        let end = start + LENGTH_BYTES + held.len();
        if held == value {
            if start == *last {
                *last = before;
            } else {
                *last -= end - start;
            }
            bytes.drain(start..end);
            return;
        }
        before = start;
        start = end;
    }
}

/// The sequences of all groups.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// One per group.
    sequences: Vec<Sequence>,
    /// Memory of all values, bytes.
    values_bytes: usize,
}

impl Sequences {
    /// Makes room for `groups` groups; new ones are empty.
    pub(super) fn resize(&mut self, groups: usize) {
        column::resize_with(&mut self.sequences, groups, Sequence::default);
    }

    /// The values of a group.
    pub(super) fn of(&self, group: u32) -> &Sequence {
        &self.sequences[group as usize]
    }

    /// Appends a value to a group, or takes its first copy away.
    pub(super) fn add(&mut self, group: usize, value: &[u8], is_retraction: bool) {
        let sequence = &mut self.sequences[group];
        let before = sequence.bytes();
        if is_retraction {
            sequence.remove(value);
        } else {
            sequence.push(value);
        }
        self.values_bytes = self.values_bytes + sequence.bytes() - before;
    }

    /// Appends the values of another group.
    pub(super) fn append(&mut self, group: u32, other: &Sequence) {
        let sequence = &mut self.sequences[group as usize];
        let before = sequence.bytes();
        other.iter().for_each(|value| sequence.push(value));
        self.values_bytes = self.values_bytes + sequence.bytes() - before;
    }

    /// Empties a group.
    pub(super) fn clear(&mut self, group: u32) {
        let values = std::mem::take(&mut self.sequences[group as usize]);
        self.values_bytes -= values.bytes();
    }

    /// Appends a group to a snapshot.
    pub(super) fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.of(group).write(out);
    }

    /// Reads a group from a snapshot.
    pub(super) fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        let sequence = &mut self.sequences[group as usize];
        let before = sequence.bytes();
        sequence.read(input)?;
        self.values_bytes = self.values_bytes + sequence.bytes() - before;
        Ok(())
    }

    /// Memory of all groups, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.values_bytes + self.sequences.capacity() * size_of::<Sequence>()
    }

    /// Memory of the values apart from their column, bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.values_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_copy_goes(
            changes in prop::collection::vec((0_usize..40, prop::bool::weighted(0.45)), 0..400),
            width in 1_usize..60,
        ) {
            let mut sequences = Sequences::default();
            sequences.resize(1);
            let mut model: Vec<Vec<u8>> = Vec::new();
            for (value, is_retraction) in changes {
                let value = vec![u8::try_from(value).unwrap(); width];
                sequences.add(0, &value, is_retraction);
                if !is_retraction {
                    model.push(value);
                } else if let Some(at) = model.iter().position(|held| *held == value) {
                    model.remove(at);
                }
                let sequence = sequences.of(0);
                prop_assert!(sequence.iter().eq(model.iter().map(Vec::as_slice)));
                prop_assert_eq!(sequence.last(), model.last().map(Vec::as_slice));
                prop_assert_eq!(sequence.bytes(), sequences.heap_bytes());
            }
            let mut stored = Vec::new();
            sequences.write(0, &mut stored);
            let mut restored = Sequences::default();
            restored.resize(1);
            let mut reader = Reader::new(&stored);
            restored.read(0, &mut reader).unwrap();
            prop_assert!(reader.is_empty());
            prop_assert!(restored.of(0).iter().eq(sequences.of(0).iter()));
            sequences.clear(0);
            prop_assert_eq!(sequences.heap_bytes(), 0);
        }
    }
}
