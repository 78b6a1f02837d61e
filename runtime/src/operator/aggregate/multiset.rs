//! How often values are there.
//!
//! Place in the flow: accumulators that must take values away again keep one for each group. Invariant: no value is held zero times; one
//! that was taken away before it came is held less than zero times, until it comes.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::error::Result;
use crate::state::codec::{Reader, Writer};
use crate::state::column;

/// A value of a multiset, as it is looked up.
pub(super) trait Element: Ord {
    /// The value as it is held.
    type Owned: Ord + Borrow<Self> + Debug + Send + Sync;

    /// Makes what is held.
    fn own(&self) -> Self::Owned;

    /// Memory of the value apart from what holds it, bytes.
    fn heap_bytes(&self) -> usize;

    /// Writes the value.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads a value.
    ///
    /// # Errors
    /// `Corrupt` at the end of the input.
    fn read(input: &mut Reader<'_>) -> Result<Self::Owned>;
}

impl Element for [u8] {
    type Owned = Box<[u8]>;

    fn own(&self) -> Box<[u8]> {
        self.into()
    }

    fn heap_bytes(&self) -> usize {
        self.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_bytes(self);
    }

    fn read(input: &mut Reader<'_>) -> Result<Box<[u8]>> {
        Ok(input.bytes()?.into())
    }
}

impl Element for u64 {
    type Owned = Self;

    fn own(&self) -> Self {
        *self
    }

    fn heap_bytes(&self) -> usize {
        0
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i64(self.cast_signed());
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(input.i64()?.cast_unsigned())
    }
}

impl Element for u32 {
    type Owned = Self;

    fn own(&self) -> Self {
        *self
    }

    fn heap_bytes(&self) -> usize {
        0
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u32(*self);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        input.u32()
    }
}

/// Copies of values. Most groups have one value, for which a tree would take ten times its memory.
#[derive(Debug, Default)]
pub(super) enum Multiset<E: Element + ?Sized> {
    /// None.
    #[default]
    Empty,
    /// One.
    One(E::Owned, i64),
    /// Two or more.
    Many(BTreeMap<E::Owned, i64>),
}

/// Memory of a tree entry beside the value's bytes (guess, unmeasured).
const ENTRY_BYTES: usize = 48;

impl<E: Element + ?Sized> Multiset<E> {
    /// Values in order, each with its copies.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&E, i64)> + Clone {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(value, count) => (Some((value, *count)), None),
            Self::Many(values) => (None, Some(values)),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(value, count)| (value, *count)))
            .map(|(value, count)| (value.borrow(), count))
    }

    /// Values that are there, in order.
    pub(super) fn present(&self) -> impl DoubleEndedIterator<Item = &E> + Clone {
        self.iter()
            .filter(|(_, count)| *count > 0)
            .map(|(value, _)| value)
    }

    /// Values.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(..) => 1,
            Self::Many(values) => values.len(),
        }
    }

    /// Memory of the values, bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(value, _) => value.borrow().heap_bytes(),
            Self::Many(values) => {
                let values = values.keys();
                values.map(|v| v.borrow().heap_bytes() + ENTRY_BYTES).sum()
            }
        }
    }

    /// Adds copies of a value, or takes them away; by how much memory that has grown, bytes.
    pub(super) fn add(&mut self, value: &E, change: i64) -> isize {
        if change == 0 {
            return 0;
        }
        let value_bytes = value.heap_bytes().cast_signed();
        let entry_bytes = value_bytes + ENTRY_BYTES.cast_signed();
        match self {
            Self::Empty => {
                *self = Self::One(value.own(), change);
                value_bytes
            }
            Self::One(held, count) if (*held).borrow() == value => {
                *count = count.wrapping_add(change);
                if *count != 0 {
                    return 0;
                }
                *self = Self::Empty;
                -value_bytes
            }
            Self::One(..) => {
                let mut values = BTreeMap::from([(value.own(), change)]);
                if let Self::One(held, count) = std::mem::take(self) {
                    values.insert(held, count);
                }
                *self = Self::Many(values);
                entry_bytes + ENTRY_BYTES.cast_signed()
            }
            Self::Many(values) => {
                let Some(count) = values.get_mut(value) else {
                    values.insert(value.own(), change);
                    return entry_bytes;
                };
                *count = count.wrapping_add(change);
                if *count != 0 {
                    return 0;
                }
                values.remove(value);
                if values.len() > 1 {
                    return -entry_bytes;
                }
                let last = values.pop_first();
                *self = last.map_or(Self::Empty, |(value, count)| Self::One(value, count));
                -entry_bytes - ENTRY_BYTES.cast_signed()
            }
        }
    }

    /// Appends it to a snapshot.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.len()).unwrap_or(u32::MAX));
        for (value, count) in self.iter() {
            value.write(out);
            out.put_i64(count);
        }
    }

    /// Adds what a snapshot holds; by how much memory that has grown, bytes.
    pub(super) fn read(&mut self, input: &mut Reader<'_>) -> Result<isize> {
        let mut grown = 0;
        for _ in 0..input.u32()? {
            let value = E::read(input)?;
            grown += self.add(value.borrow(), input.i64()?);
        }
        Ok(grown)
    }
}

/// The multisets of all groups.
#[derive(Debug)]
pub(super) struct Multisets<E: Element + ?Sized> {
    /// One per group.
    sets: Vec<Multiset<E>>,
    /// Memory of all values, bytes.
    values_bytes: usize,
}

impl<E: Element + ?Sized> Default for Multisets<E> {
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            values_bytes: 0,
        }
    }
}

impl<E: Element + ?Sized> Multisets<E> {
    /// Makes room for `groups` groups; new ones are empty.
    pub(super) fn resize(&mut self, groups: usize) {
        column::resize_with(&mut self.sets, groups, Multiset::default);
    }

    /// The values of a group.
    pub(super) fn of(&self, group: u32) -> &Multiset<E> {
        &self.sets[group as usize]
    }

    /// Adds copies of a value to a group, or takes them away.
    pub(super) fn add(&mut self, group: usize, value: &E, change: i64) {
        self.grow(group, |set| set.add(value, change));
    }

    /// Adds the values of another group, each as often as it is there.
    pub(super) fn merge(&mut self, group: u32, other: &Multiset<E>) {
        for (value, count) in other.iter() {
            self.add(group as usize, value, count);
        }
    }

    /// Changes the values of a group; `change` says by how much memory they grow, bytes.
    pub(super) fn grow(&mut self, group: usize, change: impl FnOnce(&mut Multiset<E>) -> isize) {
        let grown = change(&mut self.sets[group]);
        self.values_bytes = self.values_bytes.saturating_add_signed(grown);
    }

    /// Empties a group.
    pub(super) fn clear(&mut self, group: u32) {
        let values = std::mem::take(&mut self.sets[group as usize]);
        self.values_bytes -= values.bytes();
    }

    /// Appends a group to a snapshot.
    pub(super) fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.of(group).write(out);
    }

    /// Reads a group from a snapshot.
    pub(super) fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        let grown = self.sets[group as usize].read(input)?;
        self.values_bytes = self.values_bytes.saturating_add_signed(grown);
        Ok(())
    }

    /// Memory of all groups, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.values_bytes + self.sets.capacity() * size_of::<Multiset<E>>()
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
        fn a_multiset_counts_copies_and_its_memory(
            changes in prop::collection::vec((0_u8..4, -2_i64..3), 0..60),
        ) {
            let (mut values, mut bytes) = (Multiset::<[u8]>::default(), 0);
            let mut model = BTreeMap::new();
            for (value, change) in changes {
                let text = vec![value; 1 + usize::from(value)];
                bytes += values.add(&text, change);
                let count = model.entry(text).or_insert(0);
                *count += change;
                model.retain(|_, count| *count != 0);
                let held: Vec<_> = values.iter().map(|(value, count)| (value.to_vec(), count)).collect();
                prop_assert_eq!(held, model.clone().into_iter().collect::<Vec<_>>());
                prop_assert_eq!(values.len(), model.len());
                prop_assert_eq!(values.bytes().cast_signed(), bytes);
                prop_assert_eq!(matches!(values, Multiset::Many(_)), model.len() > 1);
                let mut stored = Vec::new();
                values.write(&mut stored);
                let (mut restored, mut reader) = (Multiset::<[u8]>::default(), Reader::new(&stored));
                prop_assert_eq!(restored.read(&mut reader).unwrap(), bytes);
                prop_assert!(reader.is_empty());
                prop_assert!(restored.iter().eq(values.iter()));
            }
        }
    }
}
