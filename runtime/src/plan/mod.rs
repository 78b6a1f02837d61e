//! The streaming plan: what runs, as plain data.
//!
//! Enters: bound queries of the binder. Leaves: a [`StreamPlan`] that `graph` turns into a job and that is stored with the
//! statement and restored, never re-planned. Its shape does not depend on parallelism. No logic lives here but look-ups.

pub mod explain;

use serde::{Deserialize, Serialize};

use crate::sql::catalog::TableDef;
use crate::sql::expr::Expr;
use crate::types::FlinkType;

/// The version of the stored form.
pub const PLAN_VERSION: u32 = 1;

/// Identity of a node, stable across restarts and upgrades of one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u32);

/// A typed dataflow; inputs of a node stand before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamPlan {
    /// [`PLAN_VERSION`] of the writer.
    pub version: u32,
    /// Nodes in topological order; a node may have several consumers.
    pub nodes: Vec<Node>,
    /// The session time zone that expressions are evaluated in.
    pub time_zone: String,
}

/// One operator of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Stable identity.
    pub id: NodeId,
    /// What it does.
    pub operator: Operator,
    /// Where its rows come from.
    pub inputs: Vec<Input>,
    /// Columns it emits.
    pub schema: Vec<Column>,
    /// Kinds of change it emits.
    pub changelog: ChangelogMode,
    /// Columns that identify a row of the changelog, when known.
    pub upsert_key: Option<Vec<usize>>,
    /// The event-time attribute among its columns.
    pub rowtime: Option<usize>,
}

/// A column of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: FlinkType,
}

/// An edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The sender.
    pub node: NodeId,
    /// How rows find the receiving subtask.
    pub exchange: Exchange,
}

/// How rows find the receiving subtask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exchange {
    /// Subtask i to subtask i, in the same slot.
    Forward,
    /// By key group of these columns.
    Hash(Vec<usize>),
    /// Everything to subtask 0.
    Single,
}

/// Kinds of change on an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangelogMode {
    /// `[I]`.
    Append,
    /// `[I,UA,D]`: updates carry only the new row.
    Upsert,
    /// `[I,UB,UA,D]`.
    Retract,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operator {
    /// Reads a table.
    TableSourceScan(Scan),
    /// Emits constant rows, then ends.
    Values {
        /// Rows of constant expressions.
        rows: Vec<Vec<Expr>>,
    },
    /// Filters, then projects.
    Calc {
        /// Rows for which it is not TRUE are dropped.
        condition: Option<Expr>,
        /// One expression per output column.
        projections: Vec<Expr>,
    },
    /// Appends `window_start`, `window_end` (TIMESTAMP(3) NOT NULL) and `window_time` to each row.
    WindowTableFunction(Window),
    /// Aggregates per window and key; emits when the watermark passes the window's end.
    ///
    /// Emits the keys, then the aggregates, then the window properties asked for.
    WindowAggregate {
        /// Windows over the input's `window.time` column.
        window: Window,
        /// Key columns of the input, without the window.
        keys: Vec<usize>,
        /// Aggregates.
        aggregates: Vec<AggregateCall>,
        /// Which properties follow the aggregates.
        properties: Vec<WindowProperty>,
    },
    /// Aggregates per key for ever; emits updates.
    ///
    /// Emits the keys, then the aggregates. Without keys a single row, from subtask 0.
    GroupAggregate {
        /// Key columns of the input.
        keys: Vec<usize>,
        /// Aggregates.
        aggregates: Vec<AggregateCall>,
    },
    /// Joins two inputs for ever: each row with every row of the other input, past and to come.
    ///
    /// Emits the columns of the left input, then those of the right one.
    Join {
        /// Which rows are emitted.
        kind: JoinKind,
        /// Key columns of the left input.
        left_keys: Vec<usize>,
        /// The columns of the right input that equal them, of the same stored types.
        right_keys: Vec<usize>,
        /// What else must be TRUE, over the columns emitted.
        residual: Option<Expr>,
    },
    /// Emits the rows of all its inputs.
    Union,
    /// Writes a table.
    Sink(SinkSpec),
}

/// Which rows a join emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinKind {
    /// Pairs.
    Inner,
}

/// Reads a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// The table as it was when the statement was created, hints applied.
    pub table: TableDef,
    /// What is read from each record, only what is needed.
    pub read: Vec<ReadColumn>,
    /// Output columns over the read ones; absent means the read columns as they are.
    pub projections: Option<Vec<Expr>>,
    /// How watermarks are made, over the output columns.
    pub watermark: Option<WatermarkSpec>,
}

/// A column that is read from a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadColumn {
    /// Column name in the table.
    pub name: String,
    /// Its type.
    pub ty: FlinkType,
    /// The metadata key (`timestamp`, `partition`, `offset`, `headers`, `raw-key`, ...); absent for a physical column.
    pub metadata: Option<String>,
}

/// How watermarks are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatermarkSpec {
    /// The rowtime column among the scan's output columns.
    pub rowtime: usize,
    /// The watermark of a row over the scan's output columns; absent means `SOURCE_WATERMARK()`.
    pub expression: Option<Expr>,
}

/// How a row is assigned to windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The rowtime column of the input.
    pub time: usize,
    /// Its shape.
    pub kind: WindowKind,
    /// Time zone whose local time windows are aligned to when the rowtime is `TIMESTAMP_LTZ`.
    pub time_zone: String,
}

/// The shape of a window; all fields are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowKind {
    /// `TUMBLE`.
    Tumble {
        /// Length.
        size_ms: i64,
        /// Shift of the first window from the epoch.
        offset_ms: i64,
    },
}

/// A property of a window as a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowProperty {
    /// Inclusive start, TIMESTAMP(3).
    Start,
    /// Exclusive end, TIMESTAMP(3).
    End,
    /// End minus 1 ms, the rowtime of the result.
    Time,
}

/// One aggregate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    /// Which one.
    pub function: AggregateFunction,
    /// The argument column of the input; absent for `COUNT(*)`.
    pub argument: Option<usize>,
    /// `FILTER (WHERE ...)`: a BOOLEAN column of the input.
    pub filter: Option<usize>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// Result type.
    pub ty: FlinkType,
}

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// Rows, or non-null arguments.
    Count,
    /// Sum.
    Sum,
    /// Average.
    Avg,
    /// Smallest.
    Min,
    /// Largest.
    Max,
}

/// Writes a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SinkSpec {
    /// Where to.
    pub target: SinkTarget,
    /// The input column of each written column; constants and NULLs were added by a Calc before.
    pub columns: Vec<Column>,
    /// Primary key columns, for upsert.
    pub primary_key: Vec<usize>,
    /// Kinds of change the sink accepts; retractions before updates are dropped for upsert.
    pub changelog: ChangelogMode,
}

/// Where a sink writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "a plan has one per sink, and a box would only complicate the stored form"
)]
pub enum SinkTarget {
    /// A table; the sink's columns are its persisted columns in order.
    Table(TableDef),
    /// The results of a foreground statement.
    Results,
}

impl StreamPlan {
    /// The node of that id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Nodes that read from `id`.
    pub fn consumers(&self, id: NodeId) -> impl Iterator<Item = &Node> {
        self.nodes
            .iter()
            .filter(move |node| node.inputs.iter().any(|input| input.node == id))
    }
}
