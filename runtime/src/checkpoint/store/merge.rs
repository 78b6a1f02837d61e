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

/// An entry and where it stood.
#[derive(Debug, Clone, Copy)]
struct Numbered<'a> {
    /// The entry.
    entry: Entry<'a>,
    /// Its position in the whole input.
    position: usize,
}

/// Merges slices, oldest first: the last entry for a key counts, a dropped namespace loses what came before.
///
/// The result is sorted by place and key, with a namespace's drop before its keys.
///
/// # Errors
/// `Corrupt` when a slice does not hold entries.
pub fn merge(slices: &[&[u8]], scope: Scope) -> Result<Vec<u8>> {
    let mut entries: Vec<Numbered<'_>> = Vec::new();
    let mut drops: BTreeMap<Place, usize> = BTreeMap::new();
    let mut position = 0;
    for slice in slices {
        let mut input = Reader::new(slice);
        while let Some(entry) = Entry::read(&mut input)? {
            match entry {
                Entry::Drop { place } => {
                    drops.insert(place, position);
                }
                Entry::Put { .. } | Entry::Delete { .. } => {
                    entries.push(Numbered { entry, position });
                }
            }
            position += 1;
        }
    }
    if !drops.is_empty() {
        entries.retain(|numbered| {
            drops
                .get(&numbered.entry.place())
                .is_none_or(|drop| numbered.position > *drop)
        });
    }
    // Stable, so that entries of one key stay in order; merged slices are sorted already, which makes this a merge of runs.
    entries.sort_by(|a, b| order(&a.entry, &b.entry));
    let mut drops = match scope {
        Scope::WithBase => BTreeMap::new(),
        Scope::DeltasOnly => drops,
    };
    Ok(write(&entries, &mut drops, scope))
}

/// Order by place, then key.
fn order(a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
    a.place()
        .cmp(&b.place())
        .then_with(|| key_of(a).cmp(key_of(b)))
}

/// The key of an entry; that of a drop is empty.
fn key_of<'a>(entry: &Entry<'a>) -> &'a [u8] {
    match entry {
        Entry::Put { key, .. } | Entry::Delete { key, .. } => key,
        Entry::Drop { .. } => &[],
    }
}

/// Writes the last entry of each key, and the drops before their namespaces.
fn write(entries: &[Numbered<'_>], drops: &mut BTreeMap<Place, usize>, scope: Scope) -> Vec<u8> {
    let mut out = Vec::new();
    let mut dropped = None;
    for (index, Numbered { entry, .. }) in entries.iter().enumerate() {
        if entries
            .get(index + 1)
            .is_some_and(|next| order(entry, &next.entry) == Ordering::Equal)
        {
            continue;
        }
        let place = entry.place();
        while let Some(next) = drops.first_entry().filter(|next| *next.key() <= place) {
            dropped = Some(*next.key());
            Entry::Drop { place: *next.key() }.write(&mut out);
            next.remove();
        }
        let is_needed = match (entry, scope) {
            (Entry::Delete { .. }, Scope::WithBase) => false,
            // The drop has removed it from whatever comes before.
            (Entry::Delete { .. }, Scope::DeltasOnly) => dropped != Some(place),
            (Entry::Put { .. } | Entry::Drop { .. }, _) => true,
        };
        if is_needed {
            entry.write(&mut out);
        }
    }
    for place in drops.keys() {
        Entry::Drop { place: *place }.write(&mut out);
    }
    out
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
