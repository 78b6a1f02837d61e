//! The demo's feeder: orders as JSON, of which one in a hundred is malformed.
//!
//! Place in the flow: its own thread writes to the `orders` topic through the sink of the log or of Kafka. Invariant: it counts what it
//! produced itself, and only records that the topic has acknowledged.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use weir_runtime::connector::sink::{EncodedBatch, SinkWriter};
use weir_runtime::connector::source::Range;
use weir_runtime::task::Waker;
use weir_runtime::time::SharedClock;

/// Time between two batches.
const TICK: Duration = Duration::from_millis(10);

/// Longest wait for the topic to acknowledge.
const FLUSH_MAX: Duration = Duration::from_mins(1);

/// Products that are ordered.
const PRODUCTS: [&str; 8] = [
    "anchor", "buoy", "compass", "dinghy", "ensign", "fender", "grapnel", "halyard",
];

/// Event times are up to this much before the wall time, milliseconds: less than the watermark's delay of a second.
const DISORDER_MS: u64 = 400;

/// Late records are this much before the wall time, milliseconds: more than window and watermark delay together.
const LATE_MS: i64 = 5_000;

/// One record in so many is malformed.
const MALFORMED_ONE_IN: u64 = 100;

/// One record in so many is late.
const LATE_ONE_IN: u64 = 500;

/// What a feeder needs.
pub(super) struct Feeder {
    /// Where records go.
    pub(super) writer: Box<dyn SinkWriter>,
    /// Woken by the writer.
    pub(super) waker: Waker,
    /// Time.
    pub(super) clock: SharedClock,
    /// Records a second.
    pub(super) rate: u64,
    /// How long to feed.
    pub(super) duration: Duration,
    /// Records acknowledged so far, for the live table.
    pub(super) produced: Arc<AtomicU64>,
    /// Set to end early.
    pub(super) stop: Arc<AtomicBool>,
}

impl Feeder {
    /// Feeds until the time is over; the records that the topic has acknowledged.
    ///
    /// # Errors
    /// When the topic refuses a record or does not acknowledge.
    pub(super) fn run(mut self) -> Result<u64> {
        let mut random = Random(0x5eed);
        let started = self.clock.monotonic();
        let mut written = 0;
        loop {
            let elapsed = self
                .clock
                .monotonic()
                .saturating_sub(started)
                .min(self.duration);
            let is_over = elapsed >= self.duration || self.stop.load(Ordering::Relaxed);
            let due = u64::try_from(elapsed.as_micros() * u128::from(self.rate) / 1_000_000)?;
            while written < due && self.writer.ready() {
                let count = (due - written).min(1000);
                self.write(&mut random, written, count)?;
                written += count;
            }
            if is_over {
                break;
            }
            self.waker.park(Some(TICK));
        }
        self.flush()?;
        self.produced.store(written, Ordering::Relaxed);
        Ok(written)
    }

    /// Writes some records.
    fn write(&mut self, random: &mut Random, first: u64, count: u64) -> Result<()> {
        let mut batch = EncodedBatch::default();
        let now_ms = self.clock.now_ms();
        for id in first..first + count {
            let start = u32::try_from(batch.buffer.len())?;
            record(&mut batch.buffer, id, now_ms, random)?;
            let len = u32::try_from(batch.buffer.len())? - start;
            batch.values.push(Some(Range { start, len }));
            batch.keys.push(None);
        }
        self.writer.write_records(&batch)?;
        self.produced.store(first + count, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until everything is acknowledged.
    fn flush(&mut self) -> Result<()> {
        let started = self.clock.monotonic();
        while !self.writer.flush()? {
            if self.clock.monotonic().saturating_sub(started) > FLUSH_MAX {
                bail!("the orders topic did not acknowledge within {FLUSH_MAX:?}");
            }
            self.waker.park(Some(TICK));
        }
        Ok(())
    }
}

/// Appends one record.
fn record(buffer: &mut Vec<u8>, id: u64, now_ms: i64, random: &mut Random) -> Result<()> {
    if random.below(MALFORMED_ONE_IN) == 0 {
        malformed(buffer, id, random);
        return Ok(());
    }
    let before_ms = if random.below(LATE_ONE_IN) == 0 {
        LATE_MS
    } else {
        i64::try_from(random.below(DISORDER_MS))?
    };
    let mut text = String::with_capacity(160);
    let cents = random.below(100_000);
    write!(
        text,
        r#"{{"order_id":{id},"customer_id":"c{:05}","product":"{}","amount":{}.{:02},"quantity":{},"ts":"{}"}}"#,
        random.below(10_000),
        PRODUCTS[usize::try_from(random.below(PRODUCTS.len() as u64))?],
        cents / 100,
        cents % 100,
        1 + random.below(9),
        timestamp(now_ms - before_ms),
    )?;
    buffer.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends a record that no decoder can read: cut short, of a wrong type, without its identity, or not even text.
fn malformed(buffer: &mut Vec<u8>, id: u64, random: &mut Random) {
    let text = match random.below(4) {
        0 => format!(r#"{{"order_id":{id},"customer_id":"c"#),
        1 => format!(r#"{{"order_id":{id},"amount":"a lot","ts":"2026-01-01 00:00:00"}}"#),
        2 => r#"{"customer_id":"c00001","amount":1.00,"ts":"2026-01-01 00:00:00"}"#.to_owned(),
        _ => {
            buffer.extend_from_slice(&[0xff, 0xfe, 0x00, 0x80]);
            return;
        }
    };
    buffer.extend_from_slice(text.as_bytes());
}

/// `2026-01-31 23:59:59.999`, from epoch milliseconds.
///
/// # Source
/// Days to civil date: Howard Hinnant, chrono-compatible low-level date algorithms.
fn timestamp(epoch_ms: i64) -> String {
    let (days, ms) = (
        epoch_ms.div_euclid(86_400_000),
        epoch_ms.rem_euclid(86_400_000),
    );
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

/// Deterministic random numbers: splitmix64.
///
/// # Source
/// Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014.
struct Random(u64);

impl Random {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_civil() {
        assert_eq!(timestamp(0), "1970-01-01 00:00:00.000");
        assert_eq!(timestamp(1_709_251_199_999), "2024-02-29 23:59:59.999");
        assert_eq!(timestamp(1_795_238_400_007), "2026-11-21 05:20:00.007");
    }

    #[test]
    fn about_one_record_in_a_hundred_is_malformed() {
        let mut random = Random(1);
        let malformed = (0..10_000)
            .filter(|id| {
                let mut buffer = Vec::new();
                record(&mut buffer, *id, 0, &mut random).unwrap();
                super::super::check::parse_order(&buffer).is_none()
            })
            .count();
        assert!((50..200).contains(&malformed), "{malformed}");
    }
}
