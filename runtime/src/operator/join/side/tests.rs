//! Chunks: what checkpoints write of them, how they expire and what they weigh.

use super::*;
use crate::checkpoint::entry::{Entry, KeyGroupDelta, Place};
use crate::operator::join::chunks::CHUNK_ROWS_MAX;
use crate::state::codec::{Reader, Writer};
use crate::state::{Deltas, FjallSpace, Values};

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
    JoinSide::new(0, Counts::Derived, config)
}

/// Adds a row.
fn add(side: &mut JoinSide, number: u32, now_ms: i64) -> KeyChange {
    side.add(KEY, (&row(number, 8), 0), now_ms).unwrap()
}

/// Takes a row away.
fn remove(side: &mut JoinSide, number: u32, now_ms: i64) -> KeyChange {
    side.remove(KEY, &row(number, 8), now_ms).unwrap()
}

/// Rows of the key that are not expired, chunk by chunk.
fn rows(side: &mut JoinSide, now_ms: i64) -> Vec<Vec<Vec<u8>>> {
    let Some(first) = side.find(KEY, 0, now_ms).unwrap() else {
        return Vec::new();
    };
    let expired_ms = side.expired_ms(now_ms);
    let chunks = side.rows().chunks_of(first);
    (0..chunks)
        .map(|number| match side.find(KEY, number, now_ms).unwrap() {
            Some(id) => {
                let rows = side.rows().iter(id);
                let held = rows.filter(|row| row.written_ms > expired_ms || expired_ms == i64::MIN);
                held.map(|row| row.row.to_vec()).collect()
            }
            None => Vec::new(),
        })
        .collect()
}

/// The numbers of the rows of the key.
fn numbers(side: &mut JoinSide, now_ms: i64) -> Vec<u32> {
    let rows = rows(side, now_ms).concat();
    let number = |row: &Vec<u8>| u32::from_le_bytes(row[..4].try_into().unwrap());
    let mut numbers: Vec<u32> = rows.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
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

/// Restores what snapshots have written.
fn load(side: &mut JoinSide, deltas: &[KeyGroupDelta]) {
    for delta in deltas {
        let mut input = Reader::new(&delta.entries);
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            side.table().load(delta.key_group, &entry).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_writes_the_changed_chunks_of_a_key_only() {
    let mut side = side(None);
    for number in 0..1000 {
        add(&mut side, number, 0);
    }
    assert!(entries(&snapshot(&mut side)) > 10);
    add(&mut side, 1000, 0);
    assert!((1..=4).contains(&entries(&snapshot(&mut side))));
    remove(&mut side, 500, 0);
    assert!((1..=2).contains(&entries(&snapshot(&mut side))));
    assert_eq!(entries(&snapshot(&mut side)), 0);
    let lengths: Vec<usize> = rows(&mut side, 0).iter().map(Vec::len).collect();
    let most = CHUNK_ROWS_MAX as usize * 2;
    assert!(lengths.iter().all(|length| *length < most), "{lengths:?}");
    assert_eq!(lengths.iter().sum::<usize>(), 1000);
}

#[test]
fn a_key_says_when_its_first_row_comes_and_its_last_goes() {
    let mut side = side(None);
    for _ in 0..2 {
        for number in 0..500 {
            let change = add(&mut side, number, 0);
            assert_eq!(change == KeyChange::Opened, number == 0);
        }
        assert_eq!(add(&mut side, 7, 0), KeyChange::Same);
        assert_eq!(remove(&mut side, 7, 0), KeyChange::Same);
        assert_eq!(remove(&mut side, 1000, 0), KeyChange::Same, "no such row");
        for number in (0..500).rev() {
            let change = remove(&mut side, number, 0);
            assert_eq!(change == KeyChange::Closed, number == 0);
        }
        assert_eq!(side.table().keys(), 0);
    }
}

#[test]
fn a_key_of_long_rows_keeps_as_many_chunks_as_it_needs() {
    let mut side = side(None);
    for number in 0..2000 {
        side.add(KEY, (&row(number, 5000), 0), 0).unwrap();
        if number >= 30 {
            side.remove(KEY, &row(number - 30, 5000), 0).unwrap();
        }
    }
    let lengths: Vec<usize> = rows(&mut side, 0).iter().map(Vec::len).collect();
    assert_eq!(lengths.iter().sum::<usize>(), 30);
    assert!((5..200).contains(&lengths.len()), "{lengths:?}");
}

#[test]
fn chunks_of_a_snapshot_are_what_they_were_at_the_barrier() {
    let mut before = side(None);
    for number in 0..200 {
        add(&mut before, number, 0);
    }
    let held = rows(&mut before, 0);
    before.table().freeze();
    for number in 0..150 {
        remove(&mut before, number, 0);
    }
    while !before.table().write_frozen(1).unwrap() {}
    let mut deltas = Deltas::default();
    before.table().take_snapshot(&mut deltas);
    let mut after = side(None);
    load(&mut after, &deltas.into_groups());
    assert_eq!(rows(&mut after, 0), held);
    assert_eq!(rows(&mut before, 0).concat().len(), 50);
}

#[test]
fn each_row_expires_in_its_time() {
    let mut before = side(Some(100));
    for number in (0..200).step_by(2) {
        add(&mut before, number, 0);
    }
    for number in (1..200).step_by(2) {
        add(&mut before, number, 50);
    }
    // Written again, a row stays; other rows of its chunk do not.
    add(&mut before, 4, 90);
    let mut odd: Vec<u32> = (1..200).step_by(2).collect();
    let mut after = side(Some(100));
    load(&mut after, &snapshot(&mut before));
    for side in [&mut before, &mut after] {
        odd.insert(2, 4);
        assert_eq!(numbers(side, 120), odd);
        odd.remove(2);
        remove(side, 8, 120);
        assert_eq!(numbers(side, 160), [4]);
        assert_eq!(numbers(side, 190), [0; 0]);
        // What is left of old chunks does not come back with their numbers.
        for number in 0..150 {
            add(side, number, 400);
        }
        assert_eq!(numbers(side, 400), (0..150).collect::<Vec<_>>());
    }
}

#[test]
fn rows_of_an_old_checkpoint_are_found_by_their_hashes() {
    let mut side = side(None);
    for chunk in 0..5u32 {
        let mut value = Vec::new();
        value.put_u32(if chunk == 0 { 4 } else { 0 });
        let mut bytes = Vec::new();
        for number in chunk * 64..(chunk + 1) * 64 {
            bytes.put_u32(1);
            bytes.put_bytes(&row(number, 8));
        }
        value.put_bytes(&bytes);
        let key = [KEY.bytes, &chunk.to_be_bytes()].concat();
        let place = Place {
            table: 0,
            namespace: 0,
        };
        let entry = Entry::Put {
            place,
            key: &key,
            value: &value,
        };
        side.table().load(KEY.key_group, &entry).unwrap();
    }
    assert_eq!(numbers(&mut side, 0), (0..320).collect::<Vec<_>>());
    assert_eq!(remove(&mut side, 300, 0), KeyChange::Same);
    add(&mut side, 1000, 0);
    let mut again = self::side(None);
    load(&mut again, &snapshot(&mut side));
    assert_eq!(numbers(&mut again, 0).len(), 320);
    for number in (0..320).filter(|number| *number != 300) {
        assert_eq!(remove(&mut again, number, 0), KeyChange::Same);
    }
    assert_eq!(remove(&mut again, 1000, 0), KeyChange::Closed);
}

#[test]
fn spilled_chunks_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = StateConfig {
        spill: Some(FjallSpace::new(dir.path().join("spill"), 1 << 20)),
        ..StateConfig::in_memory("test", 128)
    };
    let mut side = JoinSide::new(0, Counts::PerRow, config);
    for number in 0..300 {
        side.add(KEY, (&row(number, 100), 0), 0).unwrap();
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
    assert_eq!(
        numbers(&mut side, 0),
        (0..300).skip(1).step_by(2).collect::<Vec<_>>()
    );
}

/// A row that is there once.
fn stored(row: &[u8]) -> StoredRow<'_> {
    StoredRow {
        row,
        count: 1,
        written_ms: 5,
        associations: 7,
    }
}

#[test]
fn memory_is_given_back_with_the_rows() {
    let mut chunks = RowChunks::default();
    chunks.resize(2);
    let empty = chunks.memory_bytes();
    chunks.push(0, stored(&row(1, 100)));
    assert_eq!(chunks.heap_bytes(), 108, "one row is stored without slack");
    for number in 0..50 {
        chunks.add(1, stored(&row(number % 40, 20)));
    }
    assert_eq!(chunks.memory_bytes(), empty + chunks.heap_bytes());
    let mut written = Vec::new();
    chunks.write(1, &mut written);
    chunks.clear(0);
    chunks.clear(1);
    assert_eq!(chunks.memory_bytes(), empty);
    let mut input = Reader::new(&written);
    chunks.read(1, &mut input).unwrap();
    assert!(input.is_empty());
    assert_eq!((chunks.copies(1), chunks.iter(1).count()), (50, 40));
    assert!(chunks.read(0, &mut Reader::new(&[0; 6])).is_err());
    let cut = &[0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1][..];
    assert!(chunks.read(0, &mut Reader::new(cut)).is_err());
}

#[test]
fn what_is_kept_with_a_row_is_read_when_less_is_wanted_and_refused_when_more_is() {
    let all = Layout {
        times: true,
        associations: true,
    };
    let mut from = RowChunks::new(all);
    from.resize(1);
    from.add(0, stored(b"row"));
    from.set_associations(0, 0, 9, 6);
    let held = from.iter(0).next().unwrap();
    assert_eq!((held.associations, held.written_ms), (9, 6));
    let mut written = Vec::new();
    from.write(0, &mut written);
    let mut to = RowChunks::default();
    to.resize(1);
    to.read(0, &mut Reader::new(&written)).unwrap();
    assert_eq!(to.iter(0).next().unwrap().row, b"row");
    written.clear();
    to.write(0, &mut written);
    let error = from.read(0, &mut Reader::new(&written)).unwrap_err();
    assert!(error.to_string().contains("TTL"), "{error}");
}
