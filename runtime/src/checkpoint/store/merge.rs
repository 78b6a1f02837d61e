//! Merging the deltas of a key group into one.
//!
//! Place in the flow: [`super::CheckpointStore::compact`] reads slices, this makes one of them. Invariant: pure; whatever is applied
//! after the merged entries ends in the same state as after the slices, and equal input gives equal bytes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::checkpoint::entry::{Entry, Place};
use crate::error::Result;
use crate::state::codec::Reader;

/// What the slices are merged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of the chain up to here: what is deleted has nothing before it and leaves no trace.
    WithBase,
    /// A part of it: deletes must still reach what comes before.
    DeltasOnly,
}

/// A put or delete, with what sorting looks at.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    /// Where the key is.
    place: Place,
    /// The first eight bytes of the key as a big-endian number, which orders most keys without a look at them.
    prefix: u64,
    /// The key.
    key: &'a [u8],
    /// Index in the input, drops not counted.
    index: usize,
}

/// What slices hold.
#[derive(Debug, Default)]
struct Input<'a> {
    /// Puts and deletes, in order.
    entries: Vec<Entry<'a>>,
    /// Dropped namespaces, with the number of entries before the last drop.
    drops: BTreeMap<Place, usize>,
}

impl<'a> Input<'a> {
    /// Reads slices, oldest first.
    fn read(slices: &[&'a [u8]]) -> Result<Self> {
        let mut read = Self::default();
        for slice in slices {
            let mut input = Reader::new(slice);
            while let Some(entry) = Entry::read(&mut input)? {
                match entry {
                    Entry::Drop { place } => {
                        read.drops.insert(place, read.entries.len());
                    }
                    Entry::Put { .. } | Entry::Delete { .. } => read.entries.push(entry),
                }
            }
        }
        Ok(read)
    }

    /// The last entry of each key that no later drop covers, sorted by place and key.
    fn survivors(&self) -> Vec<Candidate<'a>> {
        let mut candidates: Vec<Candidate<'a>> = self
            .entries
            .iter()
            .enumerate()
            .map(|(index, entry)| Candidate::new(index, entry))
            .filter(|candidate| {
                let drop = self.drops.get(&candidate.place);
                drop.is_none_or(|before| candidate.index >= *before)
            })
            .collect();
        // Stable, so that entries of one key stay in order; merged slices are sorted already, which makes this a merge of runs.
        candidates.sort_by(Candidate::order);
        let mut kept = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            match kept.last_mut() {
                Some(last) if candidate.order(last) == Ordering::Equal => *last = candidate,
                Some(_) | None => kept.push(candidate),
            }
        }
        kept
    }
}

impl<'a> Candidate<'a> {
    /// An entry of the input.
    fn new(index: usize, entry: &Entry<'a>) -> Self {
        let key = match entry {
            Entry::Put { key, .. } | Entry::Delete { key, .. } => key,
            Entry::Drop { .. } => &[][..],
        };
        let mut prefix = [0; 8];
        let len = key.len().min(8);
        prefix[..len].copy_from_slice(&key[..len]);
        Self {
            place: entry.place(),
            prefix: u64::from_be_bytes(prefix),
            key,
            index,
        }
    }

    /// Order by place, then key. Equal prefixes say nothing: a short key is filled up with zeros.
    fn order(&self, other: &Self) -> Ordering {
        self.place
            .cmp(&other.place)
            .then_with(|| self.prefix.cmp(&other.prefix))
            .then_with(|| self.key.cmp(other.key))
    }
}

/// Merges slices, oldest first: the last entry for a key counts, a dropped namespace loses what came before.
///
/// The result is sorted by place and key, with a namespace's drop before its keys.
///
/// # Errors
/// `Corrupt` when a slice does not hold entries.
pub fn merge(slices: &[&[u8]], scope: Scope) -> Result<Vec<u8>> {
    let input = Input::read(slices)?;
    let survivors = input.survivors();
    let mut out = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
    let mut drops = input.drops.keys().peekable();
    for survivor in survivors {
        if scope == Scope::DeltasOnly {
            while let Some(place) = drops.next_if(|place| **place <= survivor.place) {
                Entry::Drop { place: *place }.write(&mut out);
            }
        }
        let Some(entry) = input.entries.get(survivor.index) else {
            continue;
        };
        let is_needed = match (entry, scope) {
            (Entry::Delete { .. }, Scope::WithBase) => false,
            // A drop has removed the key from whatever comes before.
            (Entry::Delete { .. }, Scope::DeltasOnly) => !input.drops.contains_key(&survivor.place),
            (Entry::Put { .. } | Entry::Drop { .. }, _) => true,
        };
        if is_needed {
            entry.write(&mut out);
        }
    }
    if scope == Scope::DeltasOnly {
        for place in drops {
            Entry::Drop { place: *place }.write(&mut out);
        }
    }
    out.shrink_to_fit();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// State as a naive model keeps it.
    type Model = BTreeMap<(Place, Vec<u8>), Vec<u8>>;

    /// An entry that owns its bytes.
    #[derive(Debug, Clone)]
    enum Owned {
        /// A put of a key's value.
        Put(Place, Vec<u8>, Vec<u8>),
        /// A delete of a key.
        Delete(Place, Vec<u8>),
        /// A drop of a namespace.
        Drop(Place),
    }

    /// Entries back to back.
    fn encode(entries: &[Owned]) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in entries {
            match entry {
                Owned::Put(place, key, value) => Entry::Put {
                    place: *place,
                    key,
                    value,
                },
                Owned::Delete(place, key) => Entry::Delete { place: *place, key },
                Owned::Drop(place) => Entry::Drop { place: *place },
            }
            .write(&mut out);
        }
        out
    }

    /// Applies entries to a model.
    fn apply(model: &mut Model, bytes: &[u8]) {
        let mut input = Reader::new(bytes);
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            match entry {
                Entry::Put { place, key, value } => {
                    model.insert((place, key.to_vec()), value.to_vec());
                }
                Entry::Delete { place, key } => {
                    model.remove(&(place, key.to_vec()));
                }
                Entry::Drop { place } => model.retain(|(at, _), _| *at != place),
            }
        }
    }

    /// Few places and keys, so that entries meet.
    fn entry() -> impl Strategy<Value = Owned> {
        let place = (0_u8..2, -1_i64..2).prop_map(|(table, namespace)| Place { table, namespace });
        let key = prop::collection::vec(0_u8..3, 0..2);
        let value = prop::collection::vec(any::<u8>(), 0..3);
        prop_oneof![
            6 => (place.clone(), key.clone(), value).prop_map(|(p, k, v)| Owned::Put(p, k, v)),
            3 => (place.clone(), key).prop_map(|(p, k)| Owned::Delete(p, k)),
            1 => place.prop_map(Owned::Drop),
        ]
    }

    /// A delta.
    fn delta() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(entry(), 0..12).prop_map(|entries| encode(&entries))
    }

    proptest! {
        #[test]
        fn merged_deltas_do_what_the_deltas_did(
            base in delta(),
            deltas in prop::collection::vec(delta(), 0..6),
            later in delta(),
        ) {
            let slices: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
            let merged = merge(&slices, Scope::DeltasOnly).unwrap();
            let (mut expected, mut found) = (Model::new(), Model::new());
            apply(&mut expected, &base);
            apply(&mut found, &base);
            for slice in &slices {
                apply(&mut expected, slice);
            }
            apply(&mut found, &merged);
            prop_assert_eq!(&found, &expected);
            apply(&mut expected, &later);
            apply(&mut found, &later);
            prop_assert_eq!(found, expected);
            // Merging once more changes nothing, however the slices are cut.
            prop_assert_eq!(merge(&[&merged], Scope::DeltasOnly).unwrap(), merged.clone());
            prop_assert_eq!(merge(&[&slices.concat()], Scope::DeltasOnly).unwrap(), merged);
        }

        #[test]
        fn a_merged_base_holds_nothing_but_the_state(deltas in prop::collection::vec(delta(), 0..6)) {
            let slices: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
            let merged = merge(&slices, Scope::WithBase).unwrap();
            let mut expected = Model::new();
            for slice in &slices {
                apply(&mut expected, slice);
            }
            let mut plain = Vec::new();
            for ((place, key), value) in &expected {
                Entry::Put { place: *place, key, value }.write(&mut plain);
            }
            prop_assert_eq!(merged, plain);
        }
    }

    #[test]
    fn damaged_slices_are_refused() {
        let bytes = encode(&[Owned::Delete(
            Place {
                table: 0,
                namespace: 1,
            },
            vec![1, 2],
        )]);
        assert!(merge(&[&bytes[..bytes.len() - 1]], Scope::WithBase).is_err());
    }
}
