//! Ordered rows against a sorted list.

use std::ops::{ControlFlow, RangeBounds};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt as _, SeedableRng as _};

use super::chunk::{CHUNK_ROWS_MAX, is_within};
use super::*;
use crate::checkpoint::entry::{Entry, KeyGroupDelta};
use crate::state::codec::Reader;
use crate::state::{Deltas, FjallSpace};

/// A partition.
const KEY: PartitionKey<'static> = PartitionKey {
    bytes: b"key",
    key_group: 5,
};

/// Another one of the same key group.
const OTHER: PartitionKey<'static> = PartitionKey {
    bytes: b"other",
    key_group: 5,
};

/// Rows that are there: sort key, row.
type Model = Vec<(Vec<u8>, Vec<u8>)>;

/// No rows, with a TTL or without.
fn empty(ttl_ms: Option<i64>) -> OrderedRows {
    let config = StateConfig {
        ttl_ms,
        ..StateConfig::in_memory("test", 128)
    };
    OrderedRows::new(0, config)
}

/// All rows of a partition within bounds.
fn rows(
    ordered: &mut OrderedRows,
    key: PartitionKey<'_>,
    range: (Bound<&[u8]>, Bound<&[u8]>),
) -> Model {
    let mut found = Vec::new();
    let visit = |sort: &[u8], row: &[u8]| {
        found.push((sort.to_vec(), row.to_vec()));
        Ok(ControlFlow::Continue(()))
    };
    ordered.visit(key, range, 0, visit).unwrap();
    found
}

/// The same from the last to the first.
fn rows_back(ordered: &mut OrderedRows, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Model {
    let mut found = Vec::new();
    let visit = |sort: &[u8], row: &[u8]| {
        found.push((sort.to_vec(), row.to_vec()));
        Ok(ControlFlow::Continue(()))
    };
    ordered.visit_back(KEY, range, 0, visit).unwrap();
    found.reverse();
    found
}

/// What a checkpoint writes.
fn snapshot(ordered: &mut OrderedRows) -> Vec<KeyGroupDelta> {
    let table = ordered.table();
    table.freeze();
    while !table.write_frozen(usize::MAX).unwrap() {}
    let mut deltas = Deltas::default();
    table.take_snapshot(&mut deltas);
    deltas.into_groups()
}

/// Loads what checkpoints have written.
fn load(ordered: &mut OrderedRows, deltas: &[KeyGroupDelta]) {
    for delta in deltas {
        let mut input = Reader::new(&delta.entries);
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            ordered.table().load(delta.key_group, &entry).unwrap();
        }
    }
}

/// Compares every look at the rows with a sorted list.
fn compare(ordered: &mut OrderedRows, model: &Model) {
    let everything = (Bound::Unbounded, Bound::Unbounded);
    assert_eq!(&rows(ordered, KEY, everything), model);
    assert_eq!(&rows_back(ordered, everything), model);
    assert_eq!(ordered.len(KEY, 0).unwrap(), model.len());
    for place in [
        0,
        1,
        model.len() / 2,
        model.len().saturating_sub(1),
        model.len(),
    ] {
        let expected = model.get(place).map(|(sort, row)| (&sort[..], &row[..]));
        assert_eq!(ordered.nth(KEY, place, 0).unwrap(), expected);
    }
    for at in [0_u8, 7, 8, 100, 255] {
        let sort = [at];
        let bounds = [Bound::Included(&sort[..]), Bound::Excluded(&sort[..])];
        for bound in bounds {
            let until = |(sort, _): &&(Vec<u8>, Vec<u8>)| is_within(sort, bound);
            let expected: Model = model.iter().filter(until).cloned().collect();
            let range = (Bound::Unbounded, bound);
            assert_eq!(rows(ordered, KEY, range), expected);
            assert_eq!(rows_back(ordered, range), expected);
            assert_eq!(ordered.count_until(KEY, bound, 0).unwrap(), expected.len());
            let from = |(other, _): &&(Vec<u8>, Vec<u8>)| {
                RangeBounds::<&[u8]>::contains(&(bound, Bound::Unbounded), &&other[..])
            };
            let expected: Model = model.iter().filter(from).cloned().collect();
            let range = (bound, Bound::Unbounded);
            assert_eq!(rows(ordered, KEY, range), expected);
            assert_eq!(rows_back(ordered, range), expected);
        }
    }
}

#[test]
fn every_look_agrees_with_a_sorted_list() {
    let mut random = StdRng::seed_from_u64(11);
    for kinds in [1_u8, 5, 200] {
        let mut ordered = empty(None);
        let mut model = Model::new();
        let mut written = Vec::new();
        for step in 0..3_000_u32 {
            let sort = vec![random.random_range(0..kinds)];
            let row =
                vec![b'.'; random.random_range(0..if step % 20 == 0 { 3_000_usize } else { 20 })];
            // It grows first and shrinks then.
            if random.random_range(0..3_000) > step {
                let is_first = ordered.insert(KEY, (&sort, &row), 0).unwrap();
                assert_eq!(is_first, model.is_empty());
                let place = model.partition_point(|(other, _)| *other <= sort);
                model.insert(place, (sort, row));
            } else if step % 3 == 0 && !model.is_empty() {
                let (sort, old) = model.choose(&mut random).cloned().unwrap();
                let replaced = (&sort[..], &old[..], &row[..]);
                assert!(ordered.replace(KEY, replaced, 0).unwrap());
                let place = model
                    .iter()
                    .position(|other| *other == (sort.clone(), old.clone()));
                model[place.unwrap()].1 = row;
            } else if let Some((sort, row)) = model.choose(&mut random).cloned() {
                let place = model
                    .iter()
                    .position(|other| *other == (sort.clone(), row.clone()));
                if step % 3 == 0 {
                    let new = vec![b'!'; row.len()];
                    assert!(ordered.replace(KEY, (&sort, &row, &new), 0).unwrap());
                    model[place.unwrap()].1 = new;
                    continue;
                }
                assert!(ordered.remove(KEY, (&sort, &row), 0).unwrap());
                model.remove(place.unwrap());
            }
            if step % 100 == 0 {
                compare(&mut ordered, &model);
                written.extend(snapshot(&mut ordered));
            }
            if step % 500 == 499 {
                written.extend(snapshot(&mut ordered));
                ordered = empty(None);
                load(&mut ordered, &written);
                written = snapshot_of_all(&mut ordered);
                compare(&mut ordered, &model);
            }
        }
        while !model.is_empty() {
            let len = random.random_range(0..model.len());
            model.truncate(len);
            ordered.truncate(KEY, len, 0).unwrap();
            compare(&mut ordered, &model);
        }
        assert_eq!(ordered.table().keys(), 0);
        let memory = ordered.table().memory_bytes();
        assert_eq!(empty(None).table().keys(), 0);
        assert!(memory < 1 << 20, "{memory} bytes for nothing");
    }
}

/// Everything that is held, as a full snapshot.
fn snapshot_of_all(ordered: &mut OrderedRows) -> Vec<KeyGroupDelta> {
    let mut deltas = Deltas::default();
    let visit = &mut |key_group: u32, entry: &Entry<'_>| {
        deltas.push(key_group, entry);
        Ok(())
    };
    ordered.table().export(visit).unwrap();
    deltas.into_groups()
}

#[test]
fn rows_before_a_bound_go_all_at_once() {
    let mut ordered = empty(None);
    for number in 0..1_000_u32 {
        ordered
            .insert(KEY, (&number.to_be_bytes(), b"row"), 0)
            .unwrap();
        ordered
            .insert(OTHER, (&number.to_be_bytes(), b"row"), 0)
            .unwrap();
    }
    let until = |number: u32| number.to_be_bytes();
    let removed = ordered.remove_until(KEY, Bound::Excluded(&until(700)), 0);
    assert_eq!(removed.unwrap(), 700);
    let left = rows(&mut ordered, KEY, (Bound::Unbounded, Bound::Unbounded));
    assert_eq!(left.len(), 300);
    assert_eq!(left[0].0, until(700));
    let removed = ordered.remove_until(KEY, Bound::Included(&until(700)), 0);
    assert_eq!(removed.unwrap(), 1);
    assert_eq!(
        ordered
            .remove_until(KEY, Bound::Included(&until(700)), 0)
            .unwrap(),
        0
    );
    assert_eq!(ordered.len(OTHER, 0).unwrap(), 1_000);
}

#[test]
fn the_first_rows_are_taken_bit_by_bit() {
    let mut ordered = empty(None);
    for number in 0..1_000_u32 {
        ordered
            .insert(KEY, (&number.to_be_bytes(), b"row"), 0)
            .unwrap();
    }
    let until = 700_u32.to_be_bytes();
    let mut taken = Vec::new();
    let mut calls = 0;
    loop {
        let before = taken.len();
        let count = ordered
            .take_first(KEY, (Bound::Excluded(&until), 100), 0, |sort, _| {
                taken.push(u32::from_be_bytes(sort.try_into().unwrap()));
            })
            .unwrap();
        assert_eq!(count, taken.len() - before);
        if count == 0 {
            break;
        }
        assert!(count < 100 + CHUNK_ROWS_MAX as usize);
        calls += 1;
    }
    assert!(calls >= 5, "{calls} calls");
    assert_eq!(taken, (0..700).collect::<Vec<_>>());
    assert_eq!(ordered.len(KEY, 0).unwrap(), 300);
}

#[test]
fn a_row_that_is_not_there_is_not_taken_away() {
    let mut ordered = empty(None);
    assert!(!ordered.remove(KEY, (b"a", b"row"), 0).unwrap());
    ordered.insert(KEY, (b"a", b"row"), 0).unwrap();
    assert!(!ordered.remove(KEY, (b"a", b"other"), 0).unwrap());
    assert!(!ordered.remove(KEY, (b"b", b"row"), 0).unwrap());
    assert!(!ordered.replace(KEY, (b"a", b"other", b"new"), 0).unwrap());
    assert!(ordered.remove(KEY, (b"a", b"row"), 0).unwrap());
    assert_eq!(ordered.table().keys(), 0);
}

#[test]
fn a_checkpoint_writes_the_chunks_that_changed() {
    let mut ordered = empty(None);
    let chunks = 20;
    for number in 0..CHUNK_ROWS_MAX * chunks {
        ordered
            .insert(KEY, (&number.to_be_bytes(), b"row"), 0)
            .unwrap();
    }
    snapshot(&mut ordered);
    ordered
        .insert(KEY, (&100_u32.to_be_bytes(), b"row"), 0)
        .unwrap();
    let mut entries = 0;
    for delta in snapshot(&mut ordered) {
        let mut input = Reader::new(&delta.entries);
        while Entry::read(&mut input).unwrap().is_some() {
            entries += 1;
        }
    }
    assert_eq!(entries, 3, "the head and both halves of the chunk");
}

#[test]
fn a_partition_that_was_not_written_for_the_ttl_is_gone() {
    let mut ordered = empty(Some(100));
    for number in 0..500_u32 {
        ordered
            .insert(KEY, (&number.to_be_bytes(), b"row"), 0)
            .unwrap();
    }
    assert_eq!(ordered.len(KEY, 99).unwrap(), 500);
    assert_eq!(ordered.len(KEY, 100).unwrap(), 0);
    ordered.insert(KEY, (b"new", b"row"), 150).unwrap();
    assert_eq!(ordered.len(KEY, 150).unwrap(), 1);
    for number in 0..500_u32 {
        ordered
            .insert(KEY, (&number.to_be_bytes(), b"row"), 150)
            .unwrap();
    }
    assert_eq!(ordered.len(KEY, 150).unwrap(), 501);
}

#[test]
fn spilled_chunks_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = StateConfig {
        spill: Some(FjallSpace::new(folder.path().join("spill"), 1 << 20)),
        ..StateConfig::in_memory("test", 128)
    };
    let mut ordered = OrderedRows::new(0, config);
    let numbers: Vec<u32> = (0..2_000).collect();
    for number in &numbers {
        ordered
            .insert(KEY, (&number.to_be_bytes(), b"row"), 0)
            .unwrap();
    }
    ordered.truncate(KEY, 3_000, 0).unwrap();
    ordered.table().shrink(4_096).unwrap();
    let found = rows(&mut ordered, KEY, (Bound::Unbounded, Bound::Unbounded));
    let found: Vec<u32> = found
        .iter()
        .map(|(sort, _)| u32::from_be_bytes(sort.as_slice().try_into().unwrap()))
        .collect();
    assert_eq!(found, numbers);
}

#[test]
fn damaged_rows_are_refused() {
    let mut ordered = empty(None);
    ordered.insert(KEY, (b"a", b"row"), 0).unwrap();
    let mut written = snapshot(&mut ordered);
    let entries = &mut written[0].entries;
    let length = entries.len();
    entries[length - 8] ^= 1;
    let mut input = Reader::new(&written[0].entries);
    let entry = Entry::read(&mut input).unwrap().unwrap();
    assert!(empty(None).table().load(5, &entry).is_err());
}

#[test]
fn rows_are_drained_up_to_a_limit_and_shown() {
    let mut ordered = empty(None);
    assert!(ordered.find_partition(KEY, 0).unwrap().is_none());
    let many = 3 * CHUNK_ROWS_MAX;
    for number in 0..many {
        ordered
            .insert(KEY, (&number.to_be_bytes(), b"row"), 0)
            .unwrap();
    }
    let mut shown = 0_u32;
    let until = (many - 1).to_be_bytes();
    let limit = 50;
    loop {
        let head = ordered.find_partition(KEY, 0).unwrap().unwrap();
        assert_eq!(ordered.first_of(head), Some(&shown.to_be_bytes()[..]));
        let before = shown;
        let drained = ordered
            .drain_until(KEY, (Bound::Excluded(&until), limit), 0, |sort, row| {
                assert_eq!((sort, row), (&shown.to_be_bytes()[..], &b"row"[..]));
                shown += 1;
            })
            .unwrap();
        assert_eq!(drained, (shown - before) as usize);
        if drained < limit {
            break;
        }
    }
    assert_eq!((shown, ordered.len(KEY, 0).unwrap()), (many - 1, 1));
    assert_eq!(ordered.remove_until(KEY, Bound::Unbounded, 0).unwrap(), 1);
    assert_eq!(ordered.table().keys(), 0);
}

#[test]
fn a_row_that_is_not_there_is_not_replaced() {
    let mut ordered = empty(None);
    assert!(!ordered.replace(KEY, (b"a", b"old", b"new"), 0).unwrap());
    ordered.insert(KEY, (b"a", b"row"), 0).unwrap();
    assert!(!ordered.replace(KEY, (b"a", b"old", b"new"), 0).unwrap());
    assert!(!ordered.replace(KEY, (b"b", b"row", b"new"), 0).unwrap());
    assert!(!ordered.replace(OTHER, (b"a", b"row", b"new"), 0).unwrap());
}

#[test]
fn a_partition_that_is_touched_lives_on_for_the_ttl() {
    let mut ordered = empty(Some(100));
    let many = 2 * CHUNK_ROWS_MAX;
    for number in 0..many {
        ordered
            .insert(KEY, (&number.to_be_bytes(), b"row"), 0)
            .unwrap();
    }
    ordered.touch(KEY, 90).unwrap();
    ordered.touch(OTHER, 90).unwrap();
    let mut count = 0;
    let visit = |_: &[u8], _: &[u8]| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    };
    ordered.visit(KEY, .., 189, visit).unwrap();
    assert_eq!(count, many);
    assert!(ordered.find_partition(KEY, 190).unwrap().is_none());
    assert!(ordered.find_partition(OTHER, 90).unwrap().is_none());
}
