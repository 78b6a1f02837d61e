//! Labels of both surfaces.
//!
//! Place in the flow: the catalogue lists them per metric, the exporter prints them. Invariant: a label value comes from a bounded
//! set per statement: never SQL text, an exception or a number of an attempt.

use super::Label;

/// A label without a field in Confluent's query API.
const fn own(name: &'static str) -> Label {
    Label { name, key: name }
}

/// Compute pool, `lfcp-...`.
pub const COMPUTE_POOL_ID: Label = Label {
    name: "compute_pool_id",
    key: "resource.compute_pool.id",
};

/// Unique id of a statement.
pub const FLINK_STATEMENT_UID: Label = Label {
    name: "flink_statement_uid",
    key: "resource.flink_statement.uid",
};

/// Name of a statement.
pub const FLINK_STATEMENT_NAME: Label = Label {
    name: "flink_statement_name",
    key: "resource.flink_statement.name",
};

/// `environment.cluster.topic`.
pub const TABLE_NAME: Label = Label {
    name: "table_name",
    key: "metric.table_name",
};

/// Phase of a statement.
pub const STATUS: Label = Label {
    name: "status",
    key: "metric.status",
};

/// Task of a statement, query API only.
pub const FLINK_TASK_ID: Label = Label {
    name: "flink_task_id",
    key: "metric.flink_task.id",
};

/// Operator of a statement, query API only.
pub const FLINK_OPERATOR_ID: Label = Label {
    name: "flink_operator_id",
    key: "metric.flink_operator.id",
};

/// Split of a source, query API only, such as `orders-0`.
pub const FLINK_SPLIT: Label = Label {
    name: "flink_split",
    key: "metric.flink_split",
};

/// Node id of an operator in its plan.
pub const OPERATOR_ID: Label = own("operator_id");

/// Name of an operator as EXPLAIN prints it.
pub const OPERATOR_NAME: Label = own("operator_name");

/// Index of a slot of a statement.
pub const SUBTASK_INDEX: Label = own("subtask_index");

/// Partition of a table.
pub const PARTITION: Label = own("partition");

/// Why records failed.
pub const REASON: Label = own("reason");

/// Version of the program.
pub const VERSION: Label = own("version");

/// Commit of the program.
pub const REVISION: Label = own("revision");
