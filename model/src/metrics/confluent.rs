//! Confluent's surface: names, labels and sampling of `GET /v2/metrics/cloud/export` and of the query API.
//!
//! Place in the flow: see the parent module. Invariant: names, labels and label order are those of the real endpoint, so that
//! dashboards written for it work unchanged; the help texts are ours.

use super::labels::{
    COMPUTE_POOL_ID, FLINK_OPERATOR_ID, FLINK_SPLIT, FLINK_STATEMENT_NAME, FLINK_STATEMENT_UID,
    FLINK_TASK_ID, STATUS, TABLE_NAME,
};
use super::{Confluent, Label, Sampling, Unit};

/// Labels of a pool.
const POOL: &[Label] = &[COMPUTE_POOL_ID];
/// Labels of a statement.
const STATEMENT: &[Label] = &[COMPUTE_POOL_ID, FLINK_STATEMENT_UID, FLINK_STATEMENT_NAME];
/// Labels of a statement and one of its tables.
const TABLE: &[Label] = &[
    TABLE_NAME,
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
];
/// Labels of a statement and its phase.
const PHASE: &[Label] = &[
    STATUS,
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
];
/// Labels of a task.
const TASK: &[Label] = &[
    FLINK_TASK_ID,
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
];
/// Labels of an operator.
const OPERATOR: &[Label] = &[
    FLINK_OPERATOR_ID,
    FLINK_TASK_ID,
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
];
/// Labels of a split.
const SPLIT: &[Label] = &[
    FLINK_SPLIT,
    FLINK_OPERATOR_ID,
    COMPUTE_POOL_ID,
    FLINK_STATEMENT_UID,
    FLINK_STATEMENT_NAME,
];

/// An exported metric: API name and export name, sampling and unit, labels, help.
const fn exported(
    names: (&'static str, &'static str),
    sampling: Sampling,
    unit: Unit,
    labels: &'static [Label],
    help: &'static str,
) -> Confluent {
    Confluent {
        name: names.0,
        export_name: names.1,
        sampling,
        unit,
        labels,
        help,
        exportable: true,
    }
}

/// A metric of the query API only.
const fn queried(
    names: (&'static str, &'static str),
    sampling: Sampling,
    unit: Unit,
    labels: &'static [Label],
    help: &'static str,
) -> Confluent {
    Confluent {
        exportable: false,
        ..exported(names, sampling, unit, labels, help)
    }
}

/// Records that the statement received from the table within one minute.
pub const NUM_RECORDS_IN: Confluent = exported(
    (
        "io.confluent.flink/num_records_in",
        "confluent_flink_num_records_in",
    ),
    Sampling::CounterInt64,
    Unit::Count,
    TABLE,
    "Records that the statement received from the table within one minute.",
);

/// Records that the statement emitted to the table within one minute.
pub const NUM_RECORDS_OUT: Confluent = exported(
    (
        "io.confluent.flink/num_records_out",
        "confluent_flink_num_records_out",
    ),
    Sampling::CounterInt64,
    Unit::Count,
    TABLE,
    "Records that the statement emitted to the table within one minute.",
);

/// Records of the table that the statement could not read within one minute.
pub const NUM_RECORDS_IN_ERRORS: Confluent = exported(
    (
        "io.confluent.flink/num_records_in_errors",
        "confluent_flink_num_records_in_errors",
    ),
    Sampling::CounterInt64,
    Unit::Count,
    TABLE,
    "Records of the table that the statement could not read within one minute.",
);

/// Records that came after their window had closed within one minute.
pub const NUM_LATE_RECORDS_IN: Confluent = exported(
    (
        "io.confluent.flink/num_late_records_in",
        "confluent_flink_num_late_records_in",
    ),
    Sampling::CounterInt64,
    Unit::Count,
    TABLE,
    "Records that came after their window had closed within one minute.",
);

/// Records of the table between the position of the statement and the end, over all partitions.
pub const PENDING_RECORDS: Confluent = exported(
    (
        "io.confluent.flink/pending_records",
        "confluent_flink_pending_records",
    ),
    Sampling::GaugeInt64,
    Unit::Count,
    TABLE,
    "Records of the table between the position of the statement and the end, over all partitions.",
);

/// Last watermark received from the table, milliseconds since the epoch.
pub const CURRENT_INPUT_WATERMARK_MILLISECONDS: Confluent = exported(
    (
        "io.confluent.flink/current_input_watermark_milliseconds",
        "confluent_flink_current_input_watermark_milliseconds",
    ),
    Sampling::GaugeInt64,
    Unit::Milliseconds,
    TABLE,
    "Last watermark received from the table, milliseconds since the epoch.",
);

/// Last watermark emitted to the table, milliseconds since the epoch.
pub const CURRENT_OUTPUT_WATERMARK_MILLISECONDS: Confluent = exported(
    (
        "io.confluent.flink/current_output_watermark_milliseconds",
        "confluent_flink_current_output_watermark_milliseconds",
    ),
    Sampling::GaugeInt64,
    Unit::Milliseconds,
    TABLE,
    "Last watermark emitted to the table, milliseconds since the epoch.",
);

/// Largest time by which a received record was behind the watermark.
pub const MAX_INPUT_LATENESS_MILLISECONDS: Confluent = exported(
    (
        "io.confluent.flink/max_input_lateness_milliseconds",
        "confluent_flink_max_input_lateness_milliseconds",
    ),
    Sampling::GaugeInt64,
    Unit::Milliseconds,
    STATEMENT,
    "Largest time by which a received record was behind the watermark.",
);

/// Present phase of the statement: one series per statement, always 1.
pub const STATEMENT_STATUS: Confluent = exported(
    (
        "io.confluent.flink/statement_status",
        "confluent_flink_statement_status",
    ),
    Sampling::GaugeInt64,
    Unit::Count,
    PHASE,
    "Present phase of the statement: one series per statement, always 1.",
);

/// CFUs that the statement holds.
pub const STATEMENT_CURRENT_CFUS: Confluent = exported(
    (
        "io.confluent.flink/statement_utilization/current_cfus",
        "confluent_flink_statement_utilization_current_cfus",
    ),
    Sampling::GaugeDouble,
    Unit::Count,
    STATEMENT,
    "CFUs that the statement holds.",
);

/// CFU-minutes billed to the statement within one minute.
pub const STATEMENT_CFU_MINUTES_CONSUMED: Confluent = exported(
    (
        "io.confluent.flink/statement_utilization/cfu_minutes_consumed",
        "confluent_flink_statement_utilization_cfu_minutes_consumed",
    ),
    Sampling::CounterDouble,
    Unit::CfuMinutes,
    STATEMENT,
    "CFU-minutes billed to the statement within one minute.",
);

/// CFUs that the statements of the pool hold.
pub const POOL_CURRENT_CFUS: Confluent = exported(
    (
        "io.confluent.flink/compute_pool_utilization/current_cfus",
        "confluent_flink_compute_pool_utilization_current_cfus",
    ),
    Sampling::GaugeDouble,
    Unit::Count,
    POOL,
    "CFUs that the statements of the pool hold.",
);

/// CFU-minutes billed to the pool within one minute.
pub const POOL_CFU_MINUTES_CONSUMED: Confluent = exported(
    (
        "io.confluent.flink/compute_pool_utilization/cfu_minutes_consumed",
        "confluent_flink_compute_pool_utilization_cfu_minutes_consumed",
    ),
    Sampling::CounterDouble,
    Unit::CfuMinutes,
    POOL,
    "CFU-minutes billed to the pool within one minute.",
);

/// CFUs that the statements of the pool may hold at most.
pub const POOL_CFU_LIMIT: Confluent = exported(
    (
        "io.confluent.flink/compute_pool_utilization/cfu_limit",
        "confluent_flink_compute_pool_utilization_cfu_limit",
    ),
    Sampling::GaugeInt64,
    Unit::Count,
    POOL,
    "CFUs that the statements of the pool may hold at most.",
);

/// Records that the task received within one minute.
pub const TASK_NUM_RECORDS_IN: Confluent = queried(
    (
        "io.confluent.flink/task/num_records_in",
        "confluent_flink_task_num_records_in",
    ),
    Sampling::CounterInt64,
    Unit::Count,
    TASK,
    "Records that the task received within one minute.",
);

/// Records that the task emitted within one minute.
pub const TASK_NUM_RECORDS_OUT: Confluent = queried(
    (
        "io.confluent.flink/task/num_records_out",
        "confluent_flink_task_num_records_out",
    ),
    Sampling::CounterInt64,
    Unit::Count,
    TASK,
    "Records that the task emitted within one minute.",
);

/// Bytes that the task received within one minute.
pub const TASK_NUM_BYTES_IN: Confluent = queried(
    (
        "io.confluent.flink/task/num_bytes_in",
        "confluent_flink_task_num_bytes_in",
    ),
    Sampling::CounterInt64,
    Unit::Bytes,
    TASK,
    "Bytes that the task received within one minute.",
);

/// Bytes that the task emitted within one minute.
pub const TASK_NUM_BYTES_OUT: Confluent = queried(
    (
        "io.confluent.flink/task/num_bytes_out",
        "confluent_flink_task_num_bytes_out",
    ),
    Sampling::CounterInt64,
    Unit::Bytes,
    TASK,
    "Bytes that the task emitted within one minute.",
);

/// Share of time in which the task worked.
pub const TASK_BUSY_TIME: Confluent = queried(
    (
        "io.confluent.flink/task/busy_time_ms_per_second",
        "confluent_flink_task_busy_time_ms_per_second",
    ),
    Sampling::GaugeDouble,
    Unit::MillisecondsPerSecond,
    TASK,
    "Share of time in which the task worked.",
);

/// Share of time in which the task had no input.
pub const TASK_IDLE_TIME: Confluent = queried(
    (
        "io.confluent.flink/task/idle_time_ms_per_second",
        "confluent_flink_task_idle_time_ms_per_second",
    ),
    Sampling::GaugeDouble,
    Unit::MillisecondsPerSecond,
    TASK,
    "Share of time in which the task had no input.",
);

/// Share of time in which the task waited for its outputs.
pub const TASK_BACKPRESSURE_TIME: Confluent = queried(
    (
        "io.confluent.flink/task/backpressure_time_ms_per_second",
        "confluent_flink_task_backpressure_time_ms_per_second",
    ),
    Sampling::GaugeDouble,
    Unit::MillisecondsPerSecond,
    TASK,
    "Share of time in which the task waited for its outputs.",
);

/// State that the operator holds.
pub const OPERATOR_STATE_SIZE_BYTES: Confluent = queried(
    (
        "io.confluent.flink/operator/state_size_bytes",
        "confluent_flink_operator_state_size_bytes",
    ),
    Sampling::GaugeInt64,
    Unit::Bytes,
    OPERATOR,
    "State that the operator holds.",
);

/// Last watermark that the operator received, milliseconds since the epoch.
pub const OPERATOR_CURRENT_INPUT_WATERMARK_MS: Confluent = queried(
    (
        "io.confluent.flink/operator/current_input_watermark_ms",
        "confluent_flink_operator_current_input_watermark_ms",
    ),
    Sampling::GaugeInt64,
    Unit::Milliseconds,
    OPERATOR,
    "Last watermark that the operator received, milliseconds since the epoch.",
);

/// Last watermark that the operator emitted, milliseconds since the epoch.
pub const OPERATOR_CURRENT_OUTPUT_WATERMARK_MS: Confluent = queried(
    (
        "io.confluent.flink/operator/current_output_watermark_ms",
        "confluent_flink_operator_current_output_watermark_ms",
    ),
    Sampling::GaugeInt64,
    Unit::Milliseconds,
    OPERATOR,
    "Last watermark that the operator emitted, milliseconds since the epoch.",
);

/// Records that the operator received within one minute.
pub const OPERATOR_NUM_RECORDS_IN: Confluent = queried(
    (
        "io.confluent.flink/operator/num_records_in",
        "confluent_flink_operator_num_records_in",
    ),
    Sampling::CounterInt64,
    Unit::Count,
    OPERATOR,
    "Records that the operator received within one minute.",
);

/// Records that the operator emitted within one minute.
pub const OPERATOR_NUM_RECORDS_OUT: Confluent = queried(
    (
        "io.confluent.flink/operator/num_records_out",
        "confluent_flink_operator_num_records_out",
    ),
    Sampling::CounterInt64,
    Unit::Count,
    OPERATOR,
    "Records that the operator emitted within one minute.",
);

/// Last watermark of the split, milliseconds since the epoch.
pub const SPLIT_CURRENT_WATERMARK_MS: Confluent = queried(
    (
        "io.confluent.flink/split/current_watermark_ms",
        "confluent_flink_split_current_watermark_ms",
    ),
    Sampling::GaugeInt64,
    Unit::Milliseconds,
    SPLIT,
    "Last watermark of the split, milliseconds since the epoch.",
);

/// Share of time in which the split advanced its watermark.
pub const SPLIT_WATERMARK_ACTIVE_TIME: Confluent = queried(
    (
        "io.confluent.flink/split/watermark_active_time_ms_per_second",
        "confluent_flink_split_watermark_active_time_ms_per_second",
    ),
    Sampling::GaugeDouble,
    Unit::MillisecondsPerSecond,
    SPLIT,
    "Share of time in which the split advanced its watermark.",
);

/// Share of time in which watermark alignment paused the split.
pub const SPLIT_WATERMARK_PAUSED_TIME: Confluent = queried(
    (
        "io.confluent.flink/split/watermark_paused_time_ms_per_second",
        "confluent_flink_split_watermark_paused_time_ms_per_second",
    ),
    Sampling::GaugeDouble,
    Unit::MillisecondsPerSecond,
    SPLIT,
    "Share of time in which watermark alignment paused the split.",
);

/// Share of time in which the split was idle.
pub const SPLIT_WATERMARK_IDLE_TIME: Confluent = queried(
    (
        "io.confluent.flink/split/watermark_idle_time_ms_per_second",
        "confluent_flink_split_watermark_idle_time_ms_per_second",
    ),
    Sampling::GaugeDouble,
    Unit::MillisecondsPerSecond,
    SPLIT,
    "Share of time in which the split was idle.",
);

/// Every metric, in the order in which `/export` prints them.
pub const ALL: &[Confluent] = &[
    NUM_RECORDS_IN,
    NUM_RECORDS_OUT,
    NUM_RECORDS_IN_ERRORS,
    NUM_LATE_RECORDS_IN,
    PENDING_RECORDS,
    CURRENT_INPUT_WATERMARK_MILLISECONDS,
    CURRENT_OUTPUT_WATERMARK_MILLISECONDS,
    MAX_INPUT_LATENESS_MILLISECONDS,
    STATEMENT_STATUS,
    STATEMENT_CURRENT_CFUS,
    STATEMENT_CFU_MINUTES_CONSUMED,
    POOL_CURRENT_CFUS,
    POOL_CFU_MINUTES_CONSUMED,
    POOL_CFU_LIMIT,
    TASK_NUM_RECORDS_IN,
    TASK_NUM_RECORDS_OUT,
    TASK_NUM_BYTES_IN,
    TASK_NUM_BYTES_OUT,
    TASK_BUSY_TIME,
    TASK_IDLE_TIME,
    TASK_BACKPRESSURE_TIME,
    OPERATOR_STATE_SIZE_BYTES,
    OPERATOR_CURRENT_INPUT_WATERMARK_MS,
    OPERATOR_CURRENT_OUTPUT_WATERMARK_MS,
    OPERATOR_NUM_RECORDS_IN,
    OPERATOR_NUM_RECORDS_OUT,
    SPLIT_CURRENT_WATERMARK_MS,
    SPLIT_WATERMARK_ACTIVE_TIME,
    SPLIT_WATERMARK_PAUSED_TIME,
    SPLIT_WATERMARK_IDLE_TIME,
];
