//! Which number of the snapshot each native metric shows.
//!
//! Place in the flow: the page writer walks these tables. Invariant: together with the families that the writer prints itself they
//! cover the catalogue; a column gives nothing where the number is unknown.

use weir_model::meter::{Checkpoints, ErrorCount, Operator, Pool, Slot, Split, Statement, Table};
use weir_model::metrics::{Native, native as catalogue};

use crate::encoder::Value;
use crate::tables::known_watermark;

/// A metric of an entity.
pub(super) struct Column<T> {
    /// Declaration.
    pub(super) metric: &'static Native,
    /// Number, unless unknown.
    pub(super) value: fn(&T) -> Option<Value>,
}

/// A column.
const fn column<T>(metric: &'static Native, value: fn(&T) -> Option<Value>) -> Column<T> {
    Column { metric, value }
}

/// A count that is always known.
#[expect(clippy::unnecessary_wraps, reason = "every column gives an option")]
fn count(count: u64) -> Option<Value> {
    Some(Value::Count(count))
}

/// Milliseconds of CFU as seconds.
fn cfu_seconds(cfu_millis: u64) -> Option<Value> {
    i64::try_from(cfu_millis).ok().map(Value::Millis)
}

/// Sums a number over the slots of a statement that runs.
fn over_slots(statement: &Statement, number: fn(&Slot) -> u64) -> Option<Value> {
    let job = statement.job.as_ref()?;
    Some(Value::Nanos(job.slots.iter().map(number).sum()))
}

/// Checkpoints of a statement that runs.
fn checkpoints(statement: &Statement) -> Option<&Checkpoints> {
    statement.job.as_ref().map(|job| &job.checkpoints)
}

/// Columns of a pool.
pub(super) const POOL: &[Column<Pool>] = &[
    column(&catalogue::POOL_CFUS, |pool| {
        count(pool.current_cfus.into())
    }),
    column(&catalogue::POOL_CFU_LIMIT, |pool| {
        count(pool.cfu_limit.into())
    }),
    column(&catalogue::POOL_CFU_SECONDS, |pool| {
        cfu_seconds(pool.cfu_millis_total)
    }),
];

/// The status of a statement, which is in the labels.
pub(super) const STATUS: &[Column<()>] = &[column(&catalogue::STATEMENT_STATUS, |()| count(1))];

/// Columns of a statement.
pub(super) const STATEMENT: &[Column<Statement>] = &[
    column(&catalogue::STATEMENT_CFUS, |statement| {
        count(statement.slots.into())
    }),
    column(&catalogue::STATEMENT_CFU_SECONDS, |statement| {
        cfu_seconds(statement.cfu_millis_total)
    }),
    column(&catalogue::STATEMENT_NUM_RESTARTS, |statement| {
        count(statement.restarts_total)
    }),
    column(&catalogue::STATEMENT_CPU_SECONDS, |statement| {
        over_slots(statement, |slot| slot.cpu_ns)
    }),
    column(&catalogue::STATEMENT_BUSY_SECONDS, |statement| {
        over_slots(statement, |slot| slot.busy_ns)
    }),
    column(&catalogue::STATEMENT_IDLE_SECONDS, |statement| {
        over_slots(statement, |slot| slot.idle_ns)
    }),
    column(&catalogue::STATEMENT_BACKPRESSURED_SECONDS, |statement| {
        over_slots(statement, |slot| slot.backpressured_ns)
    }),
    column(&catalogue::STATEMENT_STATE_SIZE_BYTES, |statement| {
        let job = statement.job.as_ref()?;
        count(
            job.operators
                .iter()
                .map(|operator| operator.state_bytes)
                .sum(),
        )
    }),
    column(
        &catalogue::STATEMENT_NUMBER_OF_COMPLETED_CHECKPOINTS,
        |statement| count(checkpoints(statement)?.completed_total),
    ),
    column(
        &catalogue::STATEMENT_NUMBER_OF_FAILED_CHECKPOINTS,
        |statement| count(checkpoints(statement)?.failed_total),
    ),
    column(
        &catalogue::STATEMENT_NUMBER_OF_IN_PROGRESS_CHECKPOINTS,
        |statement| count(u64::from(checkpoints(statement)?.in_progress)),
    ),
    column(
        &catalogue::STATEMENT_LAST_CHECKPOINT_DURATION_SECONDS,
        |statement| {
            let duration_ms = checkpoints(statement)?.last_duration_ms?;
            i64::try_from(duration_ms).ok().map(Value::Millis)
        },
    ),
    column(
        &catalogue::STATEMENT_LAST_CHECKPOINT_SIZE_BYTES,
        |statement| checkpoints(statement)?.last_bytes.map(Value::Count),
    ),
    column(
        &catalogue::STATEMENT_LAST_CHECKPOINT_FULL_SIZE_BYTES,
        |statement| checkpoints(statement)?.last_full_bytes.map(Value::Count),
    ),
    column(
        &catalogue::STATEMENT_LAST_CHECKPOINT_COMPLETED_TIMESTAMP_SECONDS,
        |statement| {
            checkpoints(statement)?
                .last_completed_at_ms
                .map(Value::Millis)
        },
    ),
];

/// Columns of a table that is read.
pub(super) const READ: &[Column<Table>] = &[
    column(&catalogue::TABLE_NUM_RECORDS_IN, |table| {
        count(table.records_total)
    }),
    column(&catalogue::TABLE_NUM_BYTES_IN, |table| {
        count(table.bytes_total)
    }),
    column(&catalogue::TABLE_PENDING_RECORDS, |table| {
        table.pending_records.map(Value::Count)
    }),
    column(
        &catalogue::TABLE_CURRENT_INPUT_WATERMARK_TIMESTAMP_SECONDS,
        |table| table.watermark_ms.map(Value::Millis),
    ),
    column(&catalogue::TABLE_MAX_INPUT_LATENESS_SECONDS, |table| {
        let lateness_ms = i64::try_from(table.max_lateness_ms?).ok()?;
        Some(Value::Millis(lateness_ms))
    }),
];

/// The failures of a table that is read.
pub(super) const READ_ERRORS: &[Column<ErrorCount>] =
    &[column(&catalogue::TABLE_NUM_RECORDS_IN_ERRORS, |error| {
        count(error.total)
    })];

/// Columns of a table that is written.
pub(super) const WRITTEN: &[Column<Table>] = &[
    column(&catalogue::TABLE_NUM_RECORDS_OUT, |table| {
        count(table.records_total)
    }),
    column(&catalogue::TABLE_NUM_BYTES_OUT, |table| {
        count(table.bytes_total)
    }),
    column(
        &catalogue::TABLE_CURRENT_OUTPUT_WATERMARK_TIMESTAMP_SECONDS,
        |table| table.watermark_ms.map(Value::Millis),
    ),
];

/// The failures of a table that is written.
pub(super) const WRITE_ERRORS: &[Column<ErrorCount>] =
    &[column(&catalogue::TABLE_NUM_RECORDS_SEND_ERRORS, |error| {
        count(error.total)
    })];

/// Columns of an operator.
pub(super) const OPERATOR: &[Column<Operator>] = &[
    column(&catalogue::OPERATOR_PARALLELISM, |operator| {
        count(operator.parallelism.into())
    }),
    column(&catalogue::OPERATOR_NUM_RECORDS_IN, |operator| {
        count(operator.records_in_total)
    }),
    column(&catalogue::OPERATOR_NUM_RECORDS_OUT, |operator| {
        count(operator.records_out_total)
    }),
    column(&catalogue::OPERATOR_NUM_LATE_RECORDS_DROPPED, |operator| {
        count(operator.late_records_total)
    }),
    column(&catalogue::OPERATOR_BUSY_SECONDS, |operator| {
        Some(Value::Nanos(operator.busy_ns))
    }),
    column(&catalogue::OPERATOR_STATE_SIZE_BYTES, |operator| {
        count(operator.state_bytes)
    }),
    column(&catalogue::OPERATOR_STATE_KEYS, |operator| {
        count(operator.state_keys)
    }),
    column(
        &catalogue::OPERATOR_CURRENT_INPUT_WATERMARK_TIMESTAMP_SECONDS,
        |operator| known_watermark(operator.input_watermark_ms).map(Value::Millis),
    ),
    column(
        &catalogue::OPERATOR_CURRENT_OUTPUT_WATERMARK_TIMESTAMP_SECONDS,
        |operator| known_watermark(operator.output_watermark_ms).map(Value::Millis),
    ),
];

/// Columns of a split.
pub(super) const SPLIT: &[Column<Split>] = &[
    column(&catalogue::SPLIT_PENDING_RECORDS, |split| {
        split.pending_records.map(Value::Count)
    }),
    column(
        &catalogue::SPLIT_CURRENT_WATERMARK_TIMESTAMP_SECONDS,
        |split| split.watermark_ms.map(Value::Millis),
    ),
    column(&catalogue::SPLIT_IDLE, |split| count(split.is_idle.into())),
];

/// Columns of a slot.
pub(super) const SLOT: &[Column<Slot>] = &[
    column(&catalogue::SLOT_MEMORY_BYTES, |slot| {
        count(slot.memory_bytes)
    }),
    column(&catalogue::SLOT_MEMORY_LIMIT_BYTES, |slot| {
        slot.memory_cap_bytes.map(Value::Count)
    }),
    column(&catalogue::SLOT_CPU_SECONDS, |slot| {
        Some(Value::Nanos(slot.cpu_ns))
    }),
    column(&catalogue::SLOT_BUSY_SECONDS, |slot| {
        Some(Value::Nanos(slot.busy_ns))
    }),
    column(&catalogue::SLOT_IDLE_SECONDS, |slot| {
        Some(Value::Nanos(slot.idle_ns))
    }),
    column(&catalogue::SLOT_BACKPRESSURED_SECONDS, |slot| {
        Some(Value::Nanos(slot.backpressured_ns))
    }),
];
