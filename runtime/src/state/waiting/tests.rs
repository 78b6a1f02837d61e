//! Waiting rows against a list that is sorted at each look.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::checkpoint::entry::{Entry, KeyGroupDelta};
use crate::state::codec::Reader;
use crate::state::{Deltas, FjallSpace};

/// Key groups of the tables here.
const KEY_GROUPS: u32 = 128;

/// A row of the model: key, time, number by arrival.
type Waiting = (u8, i64, u32);

/// An empty table.
fn empty() -> WaitingRows {
    WaitingRows::new(0, StateConfig::in_memory("test", KEY_GROUPS))
}

/// Keys or rows as they are encoded.
fn encoded(parts: impl Iterator<Item = Vec<u8>>) -> EncodedKeys {
    let mut keys = EncodedKeys::default();
    for part in parts {
        keys.bytes.extend_from_slice(&part);
        keys.ends.push(keys.bytes.len());
        keys.hashes.push(xxh3_64(&part));
    }
    keys
}

/// Adds rows.
fn add(waiting: &mut WaitingRows, rows: &[Waiting]) {
    let keys = encoded(rows.iter().map(|(key, ..)| vec![1, *key]));
    let times_ms: Vec<i64> = rows.iter().map(|(_, time_ms, _)| *time_ms).collect();
    let bytes = encoded(
        rows.iter()
            .map(|(.., number)| number.to_le_bytes().to_vec()),
    );
    waiting.add(&keys, &times_ms, &bytes).unwrap();
}

/// What is handed out at a watermark, by key and in order.
fn due(waiting: &mut WaitingRows, watermark_ms: i64, limit: usize) -> Vec<Waiting> {
    let (mut found, mut out) = (Vec::new(), DueRows::default());
    loop {
        let is_more = waiting.due(watermark_ms, limit, &mut out).unwrap();
        assert!(!is_more || !out.is_empty(), "a call without rows goes on");
        let before = found.len();
        for (row, hash) in out.keys.hashes.iter().enumerate() {
            assert_eq!(*hash, xxh3_64(out.keys.key(row)));
            let number = u32::from_le_bytes(out.rows.key(row).try_into().unwrap());
            found.push((out.keys.key(row)[1], out.times_ms[row], number));
        }
        // Times are mixed within a call; the sort is stable.
        found[before..].sort_by_key(|(_, time_ms, _)| *time_ms);
        if !is_more {
            break;
        }
    }
    // The order of keys is free, that of a key's rows is not.
    found.sort_by_key(|(key, ..)| *key);
    found
}

/// The same of the model.
fn due_of(model: &mut Vec<Waiting>, watermark_ms: i64) -> Vec<Waiting> {
    let mut found: Vec<Waiting> = model
        .extract_if(.., |(_, time_ms, _)| *time_ms <= watermark_ms)
        .collect();
    found.sort_unstable();
    found
}

/// What a checkpoint writes.
fn snapshot(waiting: &mut WaitingRows) -> Vec<KeyGroupDelta> {
    let table = waiting.table();
    table.freeze();
    while !table.write_frozen(usize::MAX).unwrap() {}
    let mut deltas = Deltas::default();
    table.take_snapshot(&mut deltas);
    deltas.into_groups()
}

/// Everything that is held.
fn exported(waiting: &mut WaitingRows) -> Vec<KeyGroupDelta> {
    let mut deltas = Deltas::default();
    let visit = &mut |key_group: u32, entry: &Entry<'_>| {
        deltas.push(key_group, entry);
        Ok(())
    };
    waiting.table().export(visit).unwrap();
    deltas.into_groups()
}

/// Loads the key groups of what checkpoints have written that `owns` wants.
fn load(waiting: &mut WaitingRows, deltas: &[KeyGroupDelta], owns: impl Fn(u32) -> bool) {
    for delta in deltas.iter().filter(|delta| owns(delta.key_group)) {
        let mut input = Reader::new(&delta.entries);
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            waiting.table().load(delta.key_group, &entry).unwrap();
        }
    }
}

/// Random batches around a watermark that advances, of so many milliseconds and keys.
fn batch(
    random: &mut StdRng,
    around_ms: i64,
    (spread_ms, keys): (i64, u8),
    first: u32,
) -> Vec<Waiting> {
    let count = random.random_range(0..200);
    (first..first + count)
        .map(|number| {
            let time_ms = around_ms + random.random_range(-spread_ms / 4..spread_ms);
            (random.random_range(0..keys), time_ms, number)
        })
        .collect()
}

#[test]
fn rows_come_in_order_through_checkpoints() {
    for (seed, spread_ms, keys, limit) in [
        (1, 4, 1, 10),
        (2, 10, 3, 1_000),
        (3, 5_000, 20, 100),
        (4, 10_000_000, 5, 64),
    ] {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut waiting, mut model, mut written) = (empty(), Vec::new(), Vec::new());
        let mut number = 0;
        for step in 0..300_i64 {
            let watermark_ms = step * spread_ms / 10;
            let rows = batch(&mut random, watermark_ms, (spread_ms, keys), number);
            number += 200;
            model.extend_from_slice(&rows);
            add(&mut waiting, &rows);
            if random.random_bool(0.3) {
                assert_eq!(
                    due(&mut waiting, watermark_ms, limit),
                    due_of(&mut model, watermark_ms),
                    "seed {seed}, step {step}"
                );
            }
            let first_ms = model.iter().map(|(_, time_ms, _)| *time_ms).min();
            assert_eq!(waiting.first_ms().unwrap(), first_ms);
            if random.random_bool(0.1) {
                written.extend(snapshot(&mut waiting));
            }
            if random.random_bool(0.03) {
                written.extend(snapshot(&mut waiting));
                waiting = empty();
                load(&mut waiting, &written, |_| true);
            }
        }
        assert_eq!(
            due(&mut waiting, i64::MAX, limit),
            due_of(&mut model, i64::MAX)
        );
        assert!(waiting.is_empty());
        let held = waiting.table().memory_bytes();
        assert!(held < 1 << 22, "{held} bytes for nothing");
    }
}

#[test]
fn rows_stay_in_order_when_buckets_of_two_subtasks_lie_within_one_another() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut parts = [empty(), empty()];
        // They have met different densities.
        parts[1].width.level = 2;
        let (mut model, mut number) = (Vec::new(), 0);
        for _ in 0..5 {
            for round in 0..20 {
                let rows = batch(&mut random, 100 * round, (3_000, 40), number);
                number += 200;
                model.extend_from_slice(&rows);
                for (part, waiting) in parts.iter_mut().enumerate() {
                    let own = rows.iter().filter(|row| {
                        let key_group = key_group(xxh3_64(&[1, row.0]), KEY_GROUPS);
                        key_group as usize % 2 == part
                    });
                    add(waiting, &own.copied().collect::<Vec<_>>());
                }
            }
            // Keys change their subtask.
            let written = parts.each_mut().map(exported);
            let mut joined = empty();
            for deltas in &written {
                load(&mut joined, deltas, |_| true);
            }
            let watermark_ms = random.random_range(0..1_000);
            assert_eq!(
                due(&mut joined, watermark_ms, 100),
                due_of(&mut model, watermark_ms)
            );
            let rows = batch(&mut random, 500, (3_000, 40), number);
            number += 200;
            model.extend_from_slice(&rows);
            add(&mut joined, &rows);
            assert_eq!(
                due(&mut joined, i64::MAX, 100),
                due_of(&mut model, i64::MAX)
            );
            parts = [empty(), empty()];
            parts[1].width.level = 2;
        }
    }
}

#[test]
fn many_rows_of_one_key_and_time_come_in_turns() {
    let mut waiting = empty();
    let rows: Vec<Waiting> = (0..20_000).map(|number| (7, 5, number)).collect();
    rows.chunks(1_000).for_each(|rows| add(&mut waiting, rows));
    let written = snapshot(&mut waiting);
    let mut waiting = empty();
    load(&mut waiting, &written, |_| true);
    let mut out = DueRows::default();
    assert!(waiting.due(5, 100, &mut out).unwrap());
    assert!(
        out.len() <= 20_000 / TURNS_PER_KEY_GROUP,
        "{} rows",
        out.len()
    );
    let first = out.len();
    let rest = due(&mut waiting, 5, 100);
    assert_eq!(rest, rows[first..]);
    assert!(waiting.is_empty());
}

#[test]
fn a_checkpoint_writes_what_has_changed() {
    let mut waiting = empty();
    let rows: Vec<Waiting> = (0..2_000).map(|number| (1, 0, number)).collect();
    add(&mut waiting, &rows);
    let first: usize = snapshot(&mut waiting).iter().map(|d| d.entries.len()).sum();
    add(&mut waiting, &[(1, 0, 9), (2, 500, 1)]);
    let next: usize = snapshot(&mut waiting).iter().map(|d| d.entries.len()).sum();
    assert!(next < first * 3 / 4, "{next} of {first} bytes");
    assert_eq!(due(&mut waiting, i64::MAX, 10).len(), 2_002);
    let dropped: usize = snapshot(&mut waiting).iter().map(|d| d.entries.len()).sum();
    assert!(dropped < 200, "{dropped} bytes");
}

#[test]
fn any_time_has_its_turn() {
    let mut waiting = empty();
    let times = [
        i64::MIN,
        -(1 << 61),
        -1,
        0,
        (1 << 61) - 2,
        1 << 61,
        i64::MAX - 1,
        i64::MAX,
    ];
    let rows: Vec<Waiting> = (0..)
        .zip(times)
        .map(|(number, time_ms)| (1, time_ms, number))
        .collect();
    add(&mut waiting, &rows);
    assert_eq!(due(&mut waiting, 0, 100), rows[..4]);
    assert_eq!(due(&mut waiting, i64::MAX - 2, 100), rows[4..6]);
    assert_eq!(due(&mut waiting, i64::MAX, 100), rows[6..]);
}

#[test]
fn spilled_rows_are_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let config = StateConfig {
        spill: Some(FjallSpace::new(folder.path().join("spill"), 1 << 20)),
        ..StateConfig::in_memory("test", KEY_GROUPS)
    };
    let mut waiting = WaitingRows::new(0, config);
    let mut random = StdRng::seed_from_u64(5);
    let (mut model, mut number) = (Vec::new(), 0);
    for step in 0..40 {
        let rows = batch(&mut random, step * 50, (2_000, 30), number);
        number += 200;
        model.extend_from_slice(&rows);
        add(&mut waiting, &rows);
        waiting.table().shrink(20_000).unwrap();
        let watermark_ms = step * 50 - 100;
        assert_eq!(
            due(&mut waiting, watermark_ms, 50),
            due_of(&mut model, watermark_ms)
        );
    }
    assert_eq!(
        due(&mut waiting, i64::MAX, 50),
        due_of(&mut model, i64::MAX)
    );
}

#[test]
fn a_wide_bucket_with_many_rows_is_split_in_order() {
    let mut waiting = empty();
    waiting.width.level = 20;
    let mut random = StdRng::seed_from_u64(6);
    let mut model: Vec<Waiting> = (0..140_000)
        .map(|number| {
            (
                random.random_range(0..50),
                random.random_range(0..5_000),
                number,
            )
        })
        .collect();
    add(&mut waiting, &model);
    assert_eq!(waiting.buckets.len(), 1);
    for watermark_ms in [100, 101, 2_500, 6_000] {
        assert_eq!(
            due(&mut waiting, watermark_ms, 60_000),
            due_of(&mut model, watermark_ms)
        );
    }
    assert!(waiting.is_empty());
}
