//! The native surface: names, units and labels of `GET /metrics`.
//!
//! Place in the flow: see the parent module. Invariant: Flink's name in snake case behind a scope, base units, `_total` on counters,
//! and series identified by the labels of Confluent's surface so that both join.

use super::labels::{
    COMPUTE_POOL_ID, FLINK_STATEMENT_NAME, FLINK_STATEMENT_UID, OPERATOR_ID, OPERATOR_NAME,
    PARTITION, REASON, REVISION, STATUS, SUBTASK_INDEX, TABLE_NAME, VERSION,
};
use super::{Kind, Label, Native, Unit};

/// Labels of a pool.
const POOL: &[Label] = &[COMPUTE_POOL_ID];
/// Labels of a statement.
const STATEMENT: &[Label] = &[COMPUTE_POOL_ID, FLINK_STATEMENT_UID, FLINK_STATEMENT_NAME];
/// Labels of a statement and its phase.
const PHASE: &[Label] = &[
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
    STATUS,
];
/// Labels of a statement and one of its tables.
const TABLE: &[Label] = &[
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
    TABLE_NAME,
];
/// Labels of failures.
const FAILURE: &[Label] = &[
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
    TABLE_NAME,
    REASON,
];
/// Labels of an operator.
const OPERATOR: &[Label] = &[
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
    OPERATOR_ID,
    OPERATOR_NAME,
];
/// Labels of a split.
const SPLIT: &[Label] = &[
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
    TABLE_NAME,
    PARTITION,
];
/// Labels of a slot.
const SLOT: &[Label] = &[
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
    SUBTASK_INDEX,
];

/// A gauge.
const fn gauge(
    name: &'static str,
    flink_name: Option<&'static str>,
    unit: Unit,
    labels: &'static [Label],
    help: &'static str,
) -> Native {
    Native {
        name,
        flink_name,
        kind: Kind::Gauge,
        unit,
        labels,
        help,
    }
}

/// A counter.
const fn counter(
    name: &'static str,
    flink_name: Option<&'static str>,
    unit: Unit,
    labels: &'static [Label],
    help: &'static str,
) -> Native {
    Native {
        kind: Kind::Counter,
        ..gauge(name, flink_name, unit, labels, help)
    }
}

/// CFUs that the statements of the pool hold.
pub const POOL_CFUS: Native = gauge(
    "weir_pool_cfus",
    None,
    Unit::Count,
    POOL,
    "CFUs that the statements of the pool hold.",
);

/// CFUs that the statements of the pool may hold at most.
pub const POOL_CFU_LIMIT: Native = gauge(
    "weir_pool_cfu_limit",
    None,
    Unit::Count,
    POOL,
    "CFUs that the statements of the pool may hold at most.",
);

/// CFU-seconds billed to the pool since it was created.
pub const POOL_CFU_SECONDS: Native = counter(
    "weir_pool_cfu_seconds_total",
    None,
    Unit::Seconds,
    POOL,
    "CFU-seconds billed to the pool since it was created.",
);

/// Cost of the pool since it was created, at the configured price.
pub const POOL_COST_DOLLARS: Native = counter(
    "weir_pool_cost_dollars_total",
    None,
    Unit::Dollars,
    POOL,
    "Cost of the pool since it was created, at the configured price.",
);

/// Present phase of the statement: one series per statement, always 1.
pub const STATEMENT_STATUS: Native = gauge(
    "weir_statement_status",
    None,
    Unit::Count,
    PHASE,
    "Present phase of the statement: one series per statement, always 1.",
);

/// CFUs that the statement holds: its slots.
pub const STATEMENT_CFUS: Native = gauge(
    "weir_statement_cfus",
    None,
    Unit::Count,
    STATEMENT,
    "CFUs that the statement holds: its slots.",
);

/// CFU-seconds billed to the statement since it was created.
pub const STATEMENT_CFU_SECONDS: Native = counter(
    "weir_statement_cfu_seconds_total",
    None,
    Unit::Seconds,
    STATEMENT,
    "CFU-seconds billed to the statement since it was created.",
);

/// Cost of the statement since it was created, at the configured price.
pub const STATEMENT_COST_DOLLARS: Native = counter(
    "weir_statement_cost_dollars_total",
    None,
    Unit::Dollars,
    STATEMENT,
    "Cost of the statement since it was created, at the configured price.",
);

/// Restarts of the statement since it was created.
pub const STATEMENT_NUM_RESTARTS: Native = counter(
    "weir_statement_num_restarts_total",
    Some("numRestarts"),
    Unit::Count,
    STATEMENT,
    "Restarts of the statement since it was created.",
);

/// Thread CPU time of all slots of the present run.
pub const STATEMENT_CPU_SECONDS: Native = counter(
    "weir_statement_cpu_seconds_total",
    None,
    Unit::Seconds,
    STATEMENT,
    "Thread CPU time of all slots of the present run.",
);

/// Time in which slots worked, summed over the slots of the present run.
pub const STATEMENT_BUSY_SECONDS: Native = counter(
    "weir_statement_busy_seconds_total",
    Some("busyTimeMsPerSecond"),
    Unit::Seconds,
    STATEMENT,
    "Time in which slots worked, summed over the slots of the present run.",
);

/// Time in which slots had no input, summed over the slots of the present run.
pub const STATEMENT_IDLE_SECONDS: Native = counter(
    "weir_statement_idle_seconds_total",
    Some("idleTimeMsPerSecond"),
    Unit::Seconds,
    STATEMENT,
    "Time in which slots had no input, summed over the slots of the present run.",
);

/// Time in which slots waited for their outputs, summed over the slots of the present run.
pub const STATEMENT_BACKPRESSURED_SECONDS: Native = counter(
    "weir_statement_backpressured_seconds_total",
    Some("backPressuredTimeMsPerSecond"),
    Unit::Seconds,
    STATEMENT,
    "Time in which slots waited for their outputs, summed over the slots of the present run.",
);

/// State that all operators of the statement hold.
pub const STATEMENT_STATE_SIZE_BYTES: Native = gauge(
    "weir_statement_state_size_bytes",
    None,
    Unit::Bytes,
    STATEMENT,
    "State that all operators of the statement hold.",
);

/// Checkpoints completed in the present run.
pub const STATEMENT_NUMBER_OF_COMPLETED_CHECKPOINTS: Native = counter(
    "weir_statement_number_of_completed_checkpoints_total",
    Some("numberOfCompletedCheckpoints"),
    Unit::Count,
    STATEMENT,
    "Checkpoints completed in the present run.",
);

/// Checkpoints failed in the present run.
pub const STATEMENT_NUMBER_OF_FAILED_CHECKPOINTS: Native = counter(
    "weir_statement_number_of_failed_checkpoints_total",
    Some("numberOfFailedCheckpoints"),
    Unit::Count,
    STATEMENT,
    "Checkpoints failed in the present run.",
);

/// Duration of the last completed checkpoint.
pub const STATEMENT_LAST_CHECKPOINT_DURATION_SECONDS: Native = gauge(
    "weir_statement_last_checkpoint_duration_seconds",
    Some("lastCheckpointDuration"),
    Unit::Seconds,
    STATEMENT,
    "Duration of the last completed checkpoint.",
);

/// Checkpoints that are being taken: one at most.
pub const STATEMENT_NUMBER_OF_IN_PROGRESS_CHECKPOINTS: Native = gauge(
    "weir_statement_number_of_in_progress_checkpoints",
    Some("numberOfInProgressCheckpoints"),
    Unit::Count,
    STATEMENT,
    "Checkpoints that are being taken: one at most.",
);

/// Bytes of state that the last completed checkpoint refers to, older ones included.
pub const STATEMENT_LAST_CHECKPOINT_FULL_SIZE_BYTES: Native = gauge(
    "weir_statement_last_checkpoint_full_size_bytes",
    Some("lastCheckpointFullSize"),
    Unit::Bytes,
    STATEMENT,
    "Bytes of state that the last completed checkpoint refers to, older ones included.",
);

/// Bytes stored for the last completed checkpoint: what had changed.
pub const STATEMENT_LAST_CHECKPOINT_SIZE_BYTES: Native = gauge(
    "weir_statement_last_checkpoint_size_bytes",
    Some("lastCheckpointSize"),
    Unit::Bytes,
    STATEMENT,
    "Bytes stored for the last completed checkpoint: what had changed.",
);

/// When the last checkpoint completed, seconds since the epoch.
pub const STATEMENT_LAST_CHECKPOINT_COMPLETED_TIMESTAMP_SECONDS: Native = gauge(
    "weir_statement_last_checkpoint_completed_timestamp_seconds",
    Some("lastCheckpointCompletedTimestamp"),
    Unit::Seconds,
    STATEMENT,
    "When the last checkpoint completed, seconds since the epoch.",
);

/// Records of the table decoded in the present run.
pub const TABLE_NUM_RECORDS_IN: Native = counter(
    "weir_table_num_records_in_total",
    Some("numRecordsIn"),
    Unit::Count,
    TABLE,
    "Records of the table decoded in the present run.",
);

/// Bytes of keys and values read from the table in the present run.
pub const TABLE_NUM_BYTES_IN: Native = counter(
    "weir_table_num_bytes_in_total",
    Some("numBytesIn"),
    Unit::Count,
    TABLE,
    "Bytes of keys and values read from the table in the present run.",
);

/// Records of the table that failed to decode in the present run, by reason.
pub const TABLE_NUM_RECORDS_IN_ERRORS: Native = counter(
    "weir_table_num_records_in_errors_total",
    Some("numRecordsInErrors"),
    Unit::Count,
    FAILURE,
    "Records of the table that failed to decode in the present run, by reason.",
);

/// Records of the table between position and end, over all splits.
pub const TABLE_PENDING_RECORDS: Native = gauge(
    "weir_table_pending_records",
    Some("pendingRecords"),
    Unit::Count,
    TABLE,
    "Records of the table between position and end, over all splits.",
);

/// Watermark of the table read, seconds since the epoch.
pub const TABLE_CURRENT_INPUT_WATERMARK_TIMESTAMP_SECONDS: Native = gauge(
    "weir_table_current_input_watermark_timestamp_seconds",
    Some("currentInputWatermark"),
    Unit::Seconds,
    TABLE,
    "Watermark of the table read, seconds since the epoch.",
);

/// Largest time by which a record was behind the watermark of its source.
pub const TABLE_MAX_INPUT_LATENESS_SECONDS: Native = gauge(
    "weir_table_max_input_lateness_seconds",
    None,
    Unit::Seconds,
    TABLE,
    "Largest time by which a record was behind the watermark of its source.",
);

/// Records written to the table in the present run.
pub const TABLE_NUM_RECORDS_OUT: Native = counter(
    "weir_table_num_records_out_total",
    Some("numRecordsOut"),
    Unit::Count,
    TABLE,
    "Records written to the table in the present run.",
);

/// Bytes of keys and values written to the table in the present run.
pub const TABLE_NUM_BYTES_OUT: Native = counter(
    "weir_table_num_bytes_out_total",
    Some("numBytesOut"),
    Unit::Count,
    TABLE,
    "Bytes of keys and values written to the table in the present run.",
);

/// Records that could not be written to the table in the present run, by reason.
pub const TABLE_NUM_RECORDS_SEND_ERRORS: Native = counter(
    "weir_table_num_records_send_errors_total",
    Some("numRecordsSendErrors"),
    Unit::Count,
    FAILURE,
    "Records that could not be written to the table in the present run, by reason.",
);

/// Watermark of the table written, seconds since the epoch.
pub const TABLE_CURRENT_OUTPUT_WATERMARK_TIMESTAMP_SECONDS: Native = gauge(
    "weir_table_current_output_watermark_timestamp_seconds",
    Some("currentOutputWatermark"),
    Unit::Seconds,
    TABLE,
    "Watermark of the table written, seconds since the epoch.",
);

/// Records of the table handed to the error table in the present run.
pub const TABLE_DEAD_LETTERS: Native = counter(
    "weir_table_dead_letters_total",
    None,
    Unit::Count,
    TABLE,
    "Records of the table handed to the error table in the present run.",
);

/// Subtasks of the operator.
pub const OPERATOR_PARALLELISM: Native = gauge(
    "weir_operator_parallelism",
    None,
    Unit::Count,
    OPERATOR,
    "Subtasks of the operator.",
);

/// Rows that the operator received in the present run.
pub const OPERATOR_NUM_RECORDS_IN: Native = counter(
    "weir_operator_num_records_in_total",
    Some("numRecordsIn"),
    Unit::Count,
    OPERATOR,
    "Rows that the operator received in the present run.",
);

/// Rows that the operator emitted in the present run.
pub const OPERATOR_NUM_RECORDS_OUT: Native = counter(
    "weir_operator_num_records_out_total",
    Some("numRecordsOut"),
    Unit::Count,
    OPERATOR,
    "Rows that the operator emitted in the present run.",
);

/// Rows dropped because their window had closed, in the present run.
pub const OPERATOR_NUM_LATE_RECORDS_DROPPED: Native = counter(
    "weir_operator_num_late_records_dropped_total",
    Some("numLateRecordsDropped"),
    Unit::Count,
    OPERATOR,
    "Rows dropped because their window had closed, in the present run.",
);

/// Time spent inside the operator, summed over its subtasks.
pub const OPERATOR_BUSY_SECONDS: Native = counter(
    "weir_operator_busy_seconds_total",
    Some("busyTimeMsPerSecond"),
    Unit::Seconds,
    OPERATOR,
    "Time spent inside the operator, summed over its subtasks.",
);

/// State that the operator holds.
pub const OPERATOR_STATE_SIZE_BYTES: Native = gauge(
    "weir_operator_state_size_bytes",
    None,
    Unit::Bytes,
    OPERATOR,
    "State that the operator holds.",
);

/// Distinct keys that the operator holds.
pub const OPERATOR_STATE_KEYS: Native = gauge(
    "weir_operator_state_keys",
    None,
    Unit::Count,
    OPERATOR,
    "Distinct keys that the operator holds.",
);

/// Smallest input watermark over the subtasks, seconds since the epoch.
pub const OPERATOR_CURRENT_INPUT_WATERMARK_TIMESTAMP_SECONDS: Native = gauge(
    "weir_operator_current_input_watermark_timestamp_seconds",
    Some("currentInputWatermark"),
    Unit::Seconds,
    OPERATOR,
    "Smallest input watermark over the subtasks, seconds since the epoch.",
);

/// Smallest output watermark over the subtasks, seconds since the epoch.
pub const OPERATOR_CURRENT_OUTPUT_WATERMARK_TIMESTAMP_SECONDS: Native = gauge(
    "weir_operator_current_output_watermark_timestamp_seconds",
    Some("currentOutputWatermark"),
    Unit::Seconds,
    OPERATOR,
    "Smallest output watermark over the subtasks, seconds since the epoch.",
);

/// Records of the split between position and end.
pub const SPLIT_PENDING_RECORDS: Native = gauge(
    "weir_split_pending_records",
    Some("pendingRecords"),
    Unit::Count,
    SPLIT,
    "Records of the split between position and end.",
);

/// Watermark of the split, seconds since the epoch.
pub const SPLIT_CURRENT_WATERMARK_TIMESTAMP_SECONDS: Native = gauge(
    "weir_split_current_watermark_timestamp_seconds",
    Some("watermark.currentWatermark"),
    Unit::Seconds,
    SPLIT,
    "Watermark of the split, seconds since the epoch.",
);

/// Whether the split is idle and does not hold back the watermark: 1 or 0.
pub const SPLIT_IDLE: Native = gauge(
    "weir_split_idle",
    None,
    Unit::Count,
    SPLIT,
    "Whether the split is idle and does not hold back the watermark: 1 or 0.",
);

/// Memory that the slot holds: state, queues, snapshots under way.
pub const SLOT_MEMORY_BYTES: Native = gauge(
    "weir_slot_memory_bytes",
    None,
    Unit::Bytes,
    SLOT,
    "Memory that the slot holds: state, queues, snapshots under way.",
);

/// Memory that the slot may hold before its state goes to disk.
pub const SLOT_MEMORY_LIMIT_BYTES: Native = gauge(
    "weir_slot_memory_limit_bytes",
    None,
    Unit::Bytes,
    SLOT,
    "Memory that the slot may hold before its state goes to disk.",
);

/// Thread CPU time of the slot.
pub const SLOT_CPU_SECONDS: Native = counter(
    "weir_slot_cpu_seconds_total",
    None,
    Unit::Seconds,
    SLOT,
    "Thread CPU time of the slot.",
);

/// Time in which the slot worked.
pub const SLOT_BUSY_SECONDS: Native = counter(
    "weir_slot_busy_seconds_total",
    Some("busyTimeMsPerSecond"),
    Unit::Seconds,
    SLOT,
    "Time in which the slot worked.",
);

/// Time in which the slot had no input.
pub const SLOT_IDLE_SECONDS: Native = counter(
    "weir_slot_idle_seconds_total",
    Some("idleTimeMsPerSecond"),
    Unit::Seconds,
    SLOT,
    "Time in which the slot had no input.",
);

/// Time in which the slot waited for its outputs.
pub const SLOT_BACKPRESSURED_SECONDS: Native = counter(
    "weir_slot_backpressured_seconds_total",
    Some("backPressuredTimeMsPerSecond"),
    Unit::Seconds,
    SLOT,
    "Time in which the slot waited for its outputs.",
);

/// Version and commit of the program, always 1.
pub const BUILD_INFO: Native = gauge(
    "weir_build_info",
    None,
    Unit::Count,
    &[VERSION, REVISION],
    "Version and commit of the program, always 1.",
);

/// When the meter took the snapshot that this page shows, seconds since the epoch.
pub const SNAPSHOT_TIMESTAMP_SECONDS: Native = gauge(
    "weir_meter_snapshot_timestamp_seconds",
    None,
    Unit::Seconds,
    &[],
    "When the meter took the snapshot that this page shows, seconds since the epoch.",
);

/// Series left out of this page because of a limit, summed over all scrapes.
pub const METRICS_SERIES_DROPPED: Native = counter(
    "weir_metrics_series_dropped_total",
    None,
    Unit::Count,
    &[],
    "Series left out of this page because of a limit, summed over all scrapes.",
);

/// User and system CPU time of the process.
pub const PROCESS_CPU_SECONDS: Native = counter(
    "process_cpu_seconds_total",
    None,
    Unit::Seconds,
    &[],
    "User and system CPU time of the process.",
);

/// Resident memory of the process.
pub const PROCESS_RESIDENT_MEMORY_BYTES: Native = gauge(
    "process_resident_memory_bytes",
    None,
    Unit::Bytes,
    &[],
    "Resident memory of the process.",
);

/// Open file descriptors of the process.
pub const PROCESS_OPEN_FDS: Native = gauge(
    "process_open_fds",
    None,
    Unit::Count,
    &[],
    "Open file descriptors of the process.",
);

/// When the process started, seconds since the epoch.
pub const PROCESS_START_TIME_SECONDS: Native = gauge(
    "process_start_time_seconds",
    None,
    Unit::Seconds,
    &[],
    "When the process started, seconds since the epoch.",
);

/// Every metric, in the order in which `/metrics` prints them.
pub const ALL: &[Native] = &[
    POOL_CFUS,
    POOL_CFU_LIMIT,
    POOL_CFU_SECONDS,
    POOL_COST_DOLLARS,
    STATEMENT_STATUS,
    STATEMENT_CFUS,
    STATEMENT_CFU_SECONDS,
    STATEMENT_COST_DOLLARS,
    STATEMENT_NUM_RESTARTS,
    STATEMENT_CPU_SECONDS,
    STATEMENT_BUSY_SECONDS,
    STATEMENT_IDLE_SECONDS,
    STATEMENT_BACKPRESSURED_SECONDS,
    STATEMENT_STATE_SIZE_BYTES,
    STATEMENT_NUMBER_OF_COMPLETED_CHECKPOINTS,
    STATEMENT_NUMBER_OF_FAILED_CHECKPOINTS,
    STATEMENT_NUMBER_OF_IN_PROGRESS_CHECKPOINTS,
    STATEMENT_LAST_CHECKPOINT_DURATION_SECONDS,
    STATEMENT_LAST_CHECKPOINT_SIZE_BYTES,
    STATEMENT_LAST_CHECKPOINT_FULL_SIZE_BYTES,
    STATEMENT_LAST_CHECKPOINT_COMPLETED_TIMESTAMP_SECONDS,
    TABLE_NUM_RECORDS_IN,
    TABLE_NUM_BYTES_IN,
    TABLE_NUM_RECORDS_IN_ERRORS,
    TABLE_PENDING_RECORDS,
    TABLE_CURRENT_INPUT_WATERMARK_TIMESTAMP_SECONDS,
    TABLE_MAX_INPUT_LATENESS_SECONDS,
    TABLE_NUM_RECORDS_OUT,
    TABLE_NUM_BYTES_OUT,
    TABLE_NUM_RECORDS_SEND_ERRORS,
    TABLE_CURRENT_OUTPUT_WATERMARK_TIMESTAMP_SECONDS,
    TABLE_DEAD_LETTERS,
    OPERATOR_PARALLELISM,
    OPERATOR_NUM_RECORDS_IN,
    OPERATOR_NUM_RECORDS_OUT,
    OPERATOR_NUM_LATE_RECORDS_DROPPED,
    OPERATOR_BUSY_SECONDS,
    OPERATOR_STATE_SIZE_BYTES,
    OPERATOR_STATE_KEYS,
    OPERATOR_CURRENT_INPUT_WATERMARK_TIMESTAMP_SECONDS,
    OPERATOR_CURRENT_OUTPUT_WATERMARK_TIMESTAMP_SECONDS,
    SPLIT_PENDING_RECORDS,
    SPLIT_CURRENT_WATERMARK_TIMESTAMP_SECONDS,
    SPLIT_IDLE,
    SLOT_MEMORY_BYTES,
    SLOT_MEMORY_LIMIT_BYTES,
    SLOT_CPU_SECONDS,
    SLOT_BUSY_SECONDS,
    SLOT_IDLE_SECONDS,
    SLOT_BACKPRESSURED_SECONDS,
    BUILD_INFO,
    SNAPSHOT_TIMESTAMP_SECONDS,
    METRICS_SERIES_DROPPED,
    PROCESS_CPU_SECONDS,
    PROCESS_RESIDENT_MEMORY_BYTES,
    PROCESS_OPEN_FDS,
    PROCESS_START_TIME_SECONDS,
];
