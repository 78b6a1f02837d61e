//! The demo's live table.
//!
//! Place in the flow: printed once a second on standard error while the feeder runs. Invariant: every figure comes from the meter, but
//! for what the feeder says it has produced.

use weir_model::meter::{Direction, Job};

/// Heading of the table.
pub(super) const HEADING: &str = "  time   produced    decoded   records/s    pending      state   keys  CFU  CPU s  dead letters   watermark lag";

/// What the last line showed.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Records decoded.
    decoded: u64,
}

impl Live {
    /// A line of the table, a second after the last.
    pub(super) fn line(&mut self, second: u64, produced: u64, job: &Job, now_ms: i64) -> String {
        let reads = || {
            job.tables
                .iter()
                .filter(|table| table.direction == Direction::Read)
        };
        let decoded: u64 = reads().map(|table| table.records_total).sum();
        let dead_letters: u64 = reads().map(|table| table.dead_letters_total).sum();
        let pending: Option<u64> = job.splits.iter().map(|split| split.pending_records).sum();
        let state_bytes: u64 = job
            .operators
            .iter()
            .map(|operator| operator.state_bytes)
            .sum();
        let state_keys: u64 = job
            .operators
            .iter()
            .map(|operator| operator.state_keys)
            .sum();
        let cpu_ms: u64 = job.slots.iter().map(|slot| slot.cpu_ns / 1_000_000).sum();
        let watermark = reads().filter_map(|table| table.watermark_ms).min();
        let per_second = decoded.saturating_sub(self.decoded);
        self.decoded = decoded;
        format!(
            "{second:>5}s {produced:>10} {decoded:>10} {per_second:>11} {:>10} {:>10} {state_keys:>6} {:>4} {:>6} {dead_letters:>13} {:>15}",
            pending.map_or_else(|| "-".to_owned(), |pending| pending.to_string()),
            bytes(state_bytes),
            job.slots.len(),
            format!("{}.{:02}", cpu_ms / 1000, cpu_ms % 1000 / 10),
            watermark.map_or_else(
                || "-".to_owned(),
                |watermark| format!("{} ms", now_ms - watermark)
            ),
        )
    }
}

/// Bytes with a binary unit.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}
