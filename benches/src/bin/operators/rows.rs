//! Rows of a case, batch by batch.
//!
//! Place in the flow: in the place of sources, for [`crate::flow`]. Invariant: the same case always has the same rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};

use crate::cases::Case;

/// Rows of a batch: as many as a source hands on at once.
const BATCH_ROWS: usize = 8_192;

/// Rows come out of order within this time, milliseconds: the delay of the watermark.
const DISORDER_MS: u64 = 1_000;

/// One of so many keys is NULL.
const NULL_KEYS: u64 = 256;

/// One of so many values is NULL.
const NULL_VALUES: u64 = 64;

/// When event time begins, epoch milliseconds: 2024-01-01.
const START_MS: i64 = 1_704_067_200_000;

/// A batch of an input.
#[derive(Debug)]
pub(crate) struct InputBatch {
    /// Which input.
    pub(crate) input: usize,
    /// Column `k`.
    pub(crate) k: ArrayRef,
    /// Column `v`.
    pub(crate) v: ArrayRef,
    /// Column `ts`.
    pub(crate) ts: ArrayRef,
    /// Rows.
    pub(crate) rows: usize,
    /// The watermark behind the batch.
    pub(crate) watermark_ms: i64,
}

/// Makes the rows of a case.
#[derive(Debug)]
pub(crate) struct Rows {
    /// State of the generator.
    random: u64,
    /// Different keys.
    keys: u64,
    /// Inputs.
    inputs: usize,
    /// Rows of an input per second of event time.
    pace: u64,
    /// Batches made.
    batches: usize,
    /// Rows made of each input.
    made: Vec<u64>,
    /// Rows left.
    left: usize,
}

impl Rows {
    /// Rows of a case, or of a part of it.
    pub(crate) fn new(case: &Case, divide: usize) -> Self {
        Self {
            random: 0x9e37_79b9_7f4a_7c15,
            keys: case.keys,
            inputs: case.inputs,
            pace: case.rows_per_second as u64,
            batches: 0,
            made: vec![0; case.inputs],
            left: case.rows / divide,
        }
    }

    /// The next number (splitmix64).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next batch; inputs take turns.
    pub(crate) fn next_batch(&mut self) -> Option<InputBatch> {
        let rows = self.left.min(BATCH_ROWS);
        if rows == 0 {
            return None;
        }
        self.left -= rows;
        let input = self.batches % self.inputs;
        self.batches += 1;
        let mut k = Vec::with_capacity(rows);
        let mut v = Vec::with_capacity(rows);
        let mut ts = Vec::with_capacity(rows);
        let mut latest_ms = 0;
        for _ in 0..rows {
            let (key, value) = (self.next(), self.next());
            // Different bits for different things.
            k.push((key % NULL_KEYS != 0).then_some(key / NULL_KEYS % self.keys));
            v.push((value % NULL_VALUES != 0).then_some(value / NULL_VALUES % 1_000_000));
            let now_ms = self.made[input] * 1_000 / self.pace;
            self.made[input] += 1;
            let delay_ms = (value >> 44) % DISORDER_MS;
            ts.push(START_MS + now_ms.cast_signed() - delay_ms.cast_signed());
            latest_ms = now_ms.cast_signed();
        }
        let signed = |values: Vec<Option<u64>>| -> ArrayRef {
            let values = values.into_iter();
            let values = values.map(|value| value.map(u64::cast_signed));
            Arc::new(values.collect::<Int64Array>())
        };
        Some(InputBatch {
            input,
            k: signed(k),
            v: signed(v),
            ts: Arc::new(TimestampMillisecondArray::from(ts)),
            rows,
            watermark_ms: START_MS + latest_ms - DISORDER_MS.cast_signed(),
        })
    }
}
