//! Chunks: what checkpoints write of them, how they expire and what they weigh.

use super::*;
use crate::checkpoint::entry::{Entry, KeyGroupDelta};
use crate::state::{Deltas, FjallSpace};

/// The only key of these tests.
const KEY: JoinKey<'static> = JoinKey {
    bytes: b"key",
    key_group: 5,
};

/// A row of some length.
fn row(number: u32, bytes: usize) -> Vec<u8> {
    let mut row = number.to_le_bytes().to_vec();
    row.resize(bytes.max(4), b'.');
    row
}

/// A side with a TTL or without.
fn side(ttl_ms: Option<i64>) -> JoinSide {
    let config = StateConfig {
        ttl_ms,
        ..StateConfig::in_memory("test", 128)
    };
    JoinSide::new(0, config)
}

/// Rows of the key, chunk by chunk.
fn rows(side: &mut JoinSide, now_ms: i64) -> Vec<Vec<Vec<u8>>> {
    let Some(first) = side.find(KEY, 0, now_ms).unwrap() else {
        return Vec::new();
    };
    let chunks = side.rows().chunks_of(first);
    (0..chunks)
        .map(|number| match side.find(KEY, number, now_ms).unwrap() {
            Some(id) => side.rows().iter(id).map(|(row, _)| row.to_vec()).collect(),
            None => Vec::new(),
        })
        .collect()
}

/// What a checkpoint writes: entries of the table's only key group.
fn snapshot(side: &mut JoinSide) -> Vec<KeyGroupDelta> {
    let table = side.table();
    table.freeze();
    while !table.write_frozen(usize::MAX).unwrap() {}
    let mut deltas = Deltas::default();
    table.take_snapshot(&mut deltas);
    deltas.into_groups()
}

/// Entries of a snapshot.
fn entries(deltas: &[KeyGroupDelta]) -> usize {
    let mut count = 0;
    for delta in deltas {
        assert_eq!(delta.key_group, KEY.key_group);
        let mut input = Reader::new(&delta.entries);
        while Entry::read(&mut input).unwrap().is_some() {
            count += 1;
        }
    }
    count
}

#[test]
fn a_checkpoint_writes_the_changed_chunks_of_a_key_only() {
    let mut side = side(None);
    for number in 0..1000 {
        side.add(KEY, &row(number, 8), 0).unwrap();
    }
    assert_eq!(entries(&snapshot(&mut side)), 16);
    side.add(KEY, &row(1000, 8), 0).unwrap();
    assert_eq!(entries(&snapshot(&mut side)), 2, "first and last");
    side.remove(KEY, &row(500, 8), 0).unwrap();
    assert_eq!(entries(&snapshot(&mut side)), 3, "first, last and the hole");
    assert_eq!(entries(&snapshot(&mut side)), 0);
    let chunks = rows(&mut side, 0);
    let full = CHUNK_ROWS_MAX as usize;
    assert!(chunks[..15].iter().all(|chunk| chunk.len() == full));
    assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 1000);
}

#[test]
fn long_rows_fill_a_chunk_by_bytes() {
    let mut side = side(None);
    for number in 0..30 {
        side.add(KEY, &row(number, 1000), 0).unwrap();
    }
    let lengths: Vec<usize> = rows(&mut side, 0).iter().map(Vec::len).collect();
    assert_eq!(lengths, [5; 6]);
}

#[test]
fn chunks_of_a_snapshot_are_what_they_were_at_the_barrier() {
    let mut before = side(None);
    for number in 0..200 {
        before.add(KEY, &row(number, 8), 0).unwrap();
    }
    let held = rows(&mut before, 0);
    before.table().freeze();
    for number in 0..150 {
        before.remove(KEY, &row(number, 8), 0).unwrap();
    }
    while !before.table().write_frozen(1).unwrap() {}
    let mut deltas = Deltas::default();
    before.table().take_snapshot(&mut deltas);
    let mut after = side(None);
    for delta in deltas.into_groups() {
        let mut input = Reader::new(&delta.entries);
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            after.table().load(delta.key_group, &entry).unwrap();
        }
    }
    assert_eq!(rows(&mut after, 0), held);
    assert_eq!(rows(&mut before, 0).concat().len(), 50);
}

#[test]
fn a_key_expires_as_a_whole_and_begins_anew() {
    let mut side = side(Some(100));
    for number in 0..200 {
        side.add(KEY, &row(number, 8), 0).unwrap();
    }
    // A change keeps the first chunk, which tells of all others, and its own.
    side.add(KEY, &row(200, 8), 90).unwrap();
    let lengths: Vec<usize> = rows(&mut side, 150).iter().map(Vec::len).collect();
    assert_eq!(lengths, [64, 0, 0, 9]);
    // Rows of expired chunks are gone, and a retraction of one is none.
    side.remove(KEY, &row(70, 8), 150).unwrap();
    side.remove(KEY, &row(3, 8), 150).unwrap();
    assert_eq!(rows(&mut side, 150).concat().len(), 72);
    // What is left of old chunks does not come back with their numbers.
    for number in 0..150 {
        side.add(KEY, &row(number, 8), 400).unwrap();
    }
    let lengths: Vec<usize> = rows(&mut side, 400).iter().map(Vec::len).collect();
    assert_eq!(lengths, [64, 64, 22]);
}

#[test]
fn spilled_chunks_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = StateConfig {
        spill: Some(FjallSpace::new(dir.path().join("spill"), 1 << 20)),
        ..StateConfig::in_memory("test", 128)
    };
    let mut side = JoinSide::new(0, config);
    for number in 0..300 {
        side.add(KEY, &row(number, 100), 0).unwrap();
        if number % 50 == 0 {
            for _ in 0..10 {
                side.table().shrink(1).unwrap();
            }
        }
    }
    assert!(dir.path().join("spill").exists(), "something was spilled");
    for number in (0..300).step_by(2) {
        side.remove(KEY, &row(number, 100), 0).unwrap();
    }
    let mut left = rows(&mut side, 0).concat();
    left.sort_unstable();
    let mut expected: Vec<Vec<u8>> = (0..300).skip(1).step_by(2).map(|n| row(n, 100)).collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
}

#[test]
fn memory_is_given_back_with_the_rows() {
    let mut chunks = RowChunks::default();
    chunks.resize(2);
    let empty = chunks.memory_bytes();
    chunks.push(0, &row(1, 100), 1);
    assert_eq!(chunks.heap_bytes, 108, "one row is stored without slack");
    for number in 0..50 {
        chunks.push(1, &row(number, 20), 1);
    }
    assert_eq!(chunks.memory_bytes(), empty + Values::heap_bytes(&chunks));
    let mut stored = Vec::new();
    chunks.write(1, &mut stored);
    chunks.clear(0);
    chunks.clear(1);
    assert_eq!(chunks.memory_bytes(), empty);
    let mut input = Reader::new(&stored);
    chunks.read(1, &mut input).unwrap();
    assert!(input.is_empty());
    assert_eq!(chunks.copies(1), 50);
    assert!(chunks.repeats_last(1, &row(49, 20)));
    assert!(chunks.read(0, &mut Reader::new(&[0; 6])).is_err());
    let cut = &[0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1][..];
    assert!(chunks.read(0, &mut Reader::new(cut)).is_err());
}
