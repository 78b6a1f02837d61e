//! The meter's snapshot: one instant of everything that runs.
//!
//! Place in the flow: the engine produces it every [`INTERVAL_SECONDS`]; exporter, ledger, autopilot and calibrator read
//! nothing else. Invariant: counters are cumulative since the start of the statement's present run, so that rates and
//! one-minute deltas are differences of two snapshots, computed here.

use serde::{Deserialize, Serialize};

use crate::statement::Phase;

/// Seconds between two snapshots.
///
/// # Source
/// Design section 2, "One meter".
pub const INTERVAL_SECONDS: u64 = 5;

/// Everything that runs, at one instant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// When, epoch milliseconds.
    pub at_ms: i64,
    /// Compute pools.
    pub pools: Vec<Pool>,
    /// Statements that are not deleted.
    pub statements: Vec<Statement>,
}

/// A compute pool at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pool {
    /// `lfcp-...`.
    pub id: String,
    /// CFUs held now.
    pub current_cfus: u32,
    /// The cap.
    pub cfu_limit: u32,
    /// Billed CFU-milliseconds since the pool was created, from the ledger.
    pub cfu_millis_total: u64,
}

/// A statement at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
    /// Pool.
    pub pool_id: String,
    /// Phase.
    pub phase: Phase,
    /// Number of the present run: counters start again at zero with a new one.
    pub run: u64,
    /// Slots held: CFUs.
    pub slots: u32,
    /// Billed CFU-milliseconds since the statement was created, from the ledger.
    pub cfu_millis_total: u64,
    /// Numbers of the present run; absent for a statement that does not run.
    pub job: Option<Job>,
    /// Restarts since the statement was created.
    pub restarts_total: u64,
}

/// A running job at one instant. Counters are cumulative since its start.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Job {
    /// Slots.
    pub slots: Vec<Slot>,
    /// Operators, each summed over its subtasks.
    pub operators: Vec<Operator>,
    /// Splits of all sources.
    pub splits: Vec<Split>,
    /// Tables read and written.
    pub tables: Vec<Table>,
    /// Checkpoints.
    pub checkpoints: Checkpoints,
}

/// A slot thread at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Slot {
    /// Subtask index.
    pub subtask: u32,
    /// Thread CPU time, nanoseconds.
    pub cpu_ns: u64,
    /// Wall time spent working, nanoseconds.
    pub busy_ns: u64,
    /// Wall time without input, nanoseconds.
    pub idle_ns: u64,
    /// Wall time waiting for outputs, nanoseconds.
    pub backpressured_ns: u64,
    /// Memory held: state, queues, snapshots under way; bytes.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Memory that may be held before state goes to disk, bytes; absent before the slot has done anything.
    #[serde(default)]
    pub memory_cap_bytes: Option<u64>,
}

/// An operator at one instant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Operator {
    /// Node id in the plan.
    pub id: u32,
    /// Name as EXPLAIN prints it, such as `StreamCalc [2]`.
    pub name: String,
    /// Subtasks.
    pub parallelism: u32,
    /// Rows received.
    pub records_in_total: u64,
    /// Rows emitted.
    pub records_out_total: u64,
    /// Rows that came after their window had closed.
    pub late_records_total: u64,
    /// Wall time spent inside the operator, nanoseconds.
    pub busy_ns: u64,
    /// State held, bytes.
    pub state_bytes: u64,
    /// Distinct keys held.
    pub state_keys: u64,
    /// Minimum over subtasks, epoch milliseconds; absent before the first.
    pub input_watermark_ms: Option<i64>,
    /// Minimum over subtasks, epoch milliseconds; absent before the first.
    pub output_watermark_ms: Option<i64>,
}

/// A split of a source at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Split {
    /// Table name, `catalog.database.table`.
    pub table: String,
    /// Partition.
    pub partition: i32,
    /// Records between position and end, absent when unknown.
    pub pending_records: Option<u64>,
    /// Epoch milliseconds; absent before the first.
    pub watermark_ms: Option<i64>,
    /// Whether the split is idle and does not hold back the watermark.
    pub is_idle: bool,
}

/// Traffic of a statement with one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table {
    /// `catalog.database.table`; empty for the results of a foreground statement.
    pub name: String,
    /// Read or written.
    pub direction: Direction,
    /// Records decoded or written.
    pub records_total: u64,
    /// Bytes of keys and values.
    pub bytes_total: u64,
    /// Records that failed to decode, by reason.
    pub errors: Vec<ErrorCount>,
    /// Records handed to the error table.
    pub dead_letters_total: u64,
    /// Records between position and end of all splits, absent when unknown.
    pub pending_records: Option<u64>,
    /// Epoch milliseconds; absent before the first.
    pub watermark_ms: Option<i64>,
    /// Largest lateness seen against the source's watermark, milliseconds; absent for sinks.
    pub max_lateness_ms: Option<u64>,
}

/// Whether a table is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Direction {
    /// A source.
    #[default]
    Read,
    /// A sink.
    Written,
}

/// Failures of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorCount {
    /// Reason, such as `MALFORMED_RECORD`.
    pub reason: String,
    /// Failures.
    pub total: u64,
}

/// Checkpoints of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checkpoints {
    /// Completed.
    pub completed_total: u64,
    /// Failed.
    pub failed_total: u64,
    /// Duration of the last completed one, milliseconds.
    pub last_duration_ms: Option<u64>,
    /// Bytes stored for the last completed one.
    pub last_bytes: Option<u64>,
    /// Bytes of all state that the last completed one refers to.
    pub last_full_bytes: Option<u64>,
    /// Whether one is in progress.
    pub in_progress: bool,
    /// When the last one completed, epoch milliseconds.
    pub last_completed_at_ms: Option<i64>,
}

impl Statement {
    /// Operators, or none when the statement does not run.
    pub fn operators(&self) -> &[Operator] {
        self.job.as_ref().map_or(&[], |job| &job.operators)
    }

    /// Tables of one direction.
    pub fn tables(&self, direction: Direction) -> impl Iterator<Item = &Table> {
        self.job
            .iter()
            .flat_map(|job| &job.tables)
            .filter(move |table| table.direction == direction)
    }

    /// CPU time of all slots, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.job
            .iter()
            .flat_map(|job| &job.slots)
            .map(|slot| slot.cpu_ns)
            .sum()
    }
}

/// The increase of a counter between two snapshots of a statement.
///
/// A later run starts again at zero, so the whole later value is the increase.
pub fn increase(earlier: Option<(u64, u64)>, later: (u64, u64)) -> u64 {
    match earlier {
        Some((run, value)) if run == later.0 => later.1.saturating_sub(value),
        Some(_) | None => later.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_counts_from_zero() {
        assert_eq!(increase(Some((1, 100)), (1, 130)), 30);
        assert_eq!(increase(Some((1, 100)), (2, 40)), 40);
        assert_eq!(increase(None, (1, 7)), 7);
    }
}
