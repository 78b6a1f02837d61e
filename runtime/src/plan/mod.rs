//! The streaming plan: what runs, as plain data.
//!
//! Enters: bound queries of the binder. Leaves: a [`StreamPlan`] that `graph` turns into a job and that is stored with the
//! statement and restored, never re-planned. Its shape does not depend on parallelism. No logic lives here but look-ups.

pub mod advice;
mod check;
mod constraint;
mod cost;
pub mod explain;
mod join;
mod pattern;
mod process;
mod rank;
mod references;
mod update_before;
mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sql::catalog::TableDef;
use crate::sql::expr::Expr;
use crate::types::FlinkType;

pub use constraint::{ConstraintEnforcer, NestedEnforcer, NotNullEnforcer, TypeLengthEnforcer};
pub use join::{Correlate, IntervalJoin, JoinKind, REPLICATE_ROWS, TemporalJoin, UNNEST};
pub use pattern::{
    AfterMatch, MATCH_PROCTIME, MATCH_ROWTIME, Match, PATTERN_AGGREGATE, PATTERN_COLUMN,
    PATTERN_FIRST, PATTERN_LAST, PatternVariable, pattern_aggregate, pattern_aggregate_name,
};
pub use process::ProcessTableFunction;
pub use rank::{
    Deduplicate, Frame, FrameBound, FrameUnit, OverAggregate, Rank, RankFunction, RankRange, Sort,
    SortField,
};
pub use references::{Reads, Shape};
pub use update_before::drop_update_before;
pub use window::{
    AttachedWindow, TimeDomain, Window, WindowDeduplicate, WindowJoin, WindowKind, WindowProperty,
    WindowRank,
};

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
    /// For each input how long its state is kept after its last change, milliseconds, 0 for ever; absent means the statement's time.
    /// Empty when all are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state_ttls_ms: Vec<Option<u64>>,
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
        /// What else must be TRUE, over the columns of both inputs.
        residual: Option<Expr>,
        /// For each key, whether NULL equals nothing; empty means every one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        filter_nulls: Vec<bool>,
    },
    /// Emits the rows of all its inputs.
    Union,
    /// Emits one row for each list of projections.
    Expand {
        /// One expression per output column.
        projections: Vec<Vec<Expr>>,
    },
    /// Turns an upsert changelog into one that retracts.
    ChangelogNormalize {
        /// The primary key.
        keys: Vec<usize>,
        /// Rows for which it is not TRUE are as good as deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        condition: Option<Expr>,
    },
    /// Aggregates per group window and key: `GROUP BY TUMBLE(...)`.
    ///
    /// Emits the keys, then the aggregates, then the window properties asked for.
    GroupWindowAggregate {
        /// Windows over the input's `window.time` column.
        window: Window,
        /// Key columns of the input, without the window.
        keys: Vec<usize>,
        /// Aggregates.
        aggregates: Vec<AggregateCall>,
        /// Which properties follow the aggregates.
        properties: Vec<WindowProperty>,
    },
    /// Joins rows whose times are near each other.
    IntervalJoin(IntervalJoin),
    /// Joins rows with versions of a table.
    TemporalJoin(TemporalJoin),
    /// Joins rows of the same window.
    WindowJoin(WindowJoin),
    /// Joins rows with what a function makes of them.
    Correlate(Correlate),
    /// Aggregates over the rows around each row.
    OverAggregate(OverAggregate),
    /// The first rows of each key.
    Rank(Rank),
    /// The first or last row of each key.
    Deduplicate(Deduplicate),
    /// The first rows of each window and key.
    WindowRank(WindowRank),
    /// The first or last row of each window and key.
    WindowDeduplicate(WindowDeduplicate),
    /// All rows in order, at the end of bounded input.
    Sort(Sort),
    /// Rows in the order of a time attribute, which is the first of the order.
    TemporalSort(Sort),
    /// The first rows in order.
    SortLimit(Sort),
    /// The first rows in any order.
    Limit(Sort),
    /// What is left of a changelog at the end of bounded input: the rows of a snapshot query.
    Snapshot {
        /// Columns whose changes come in order.
        partition: Vec<usize>,
    },
    /// Finds patterns in rows that follow one another.
    Match(Box<Match>),
    /// Runs a function that takes a whole table.
    ProcessTableFunction(ProcessTableFunction),
    /// Stands in front of a sink where changes of several upsert keys meet in its primary key.
    UpsertMaterialize(UpsertMaterialize),
    /// Stands in front of a sink that enforces more than that NULL is an error.
    ConstraintEnforcer(ConstraintEnforcer),
    /// Writes a table.
    Sink(SinkSpec),
}

/// Makes one row of those that meet in a primary key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpsertMaterialize {
    /// The primary key of the table.
    pub primary_key: Vec<usize>,
    /// What rows of the query are known by; absent when only all columns tell them apart.
    pub upsert_key: Option<Vec<usize>>,
    /// Which of them it is.
    pub on_conflict: ConflictStrategy,
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
    /// What becomes of late rows.
    #[serde(default, skip_serializing_if = "LateRows::pass_through")]
    pub late: LateRows,
}

/// What a source does with rows that are late: whose time the watermark of their split had reached.
///
/// # Source
/// Confluent: `late-handling.mode` and the system table `t$late`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LateRows {
    /// They are read like any other; operators that need event time drop them.
    #[default]
    PassThrough,
    /// They are left out.
    Filter,
    /// Nothing else is read, and the source makes no watermarks.
    Only,
}

impl LateRows {
    /// Whether late rows are read like any other.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the form that serde calls"
    )]
    fn pass_through(&self) -> bool {
        *self == Self::PassThrough
    }
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

/// One aggregate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    /// Which one.
    pub function: AggregateFunction,
    /// The argument column of the input; absent for `COUNT(*)`.
    pub argument: Option<usize>,
    /// Further argument columns: the separator of LISTAGG, the value of `JSON_OBJECTAGG`, the percentage of PERCENTILE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<usize>,
    /// `FILTER (WHERE ...)`: a BOOLEAN column of the input.
    pub filter: Option<usize>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// Result type.
    pub ty: FlinkType,
}

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// Rows, or rows without a NULL among the arguments.
    Count,
    /// Sum.
    Sum,
    /// Average.
    Avg,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sum; 0 without rows.
    Sum0,
    /// Standard deviation of a population.
    StddevPop,
    /// Standard deviation of a sample.
    StddevSamp,
    /// Variance of a population.
    VarPop,
    /// Variance of a sample.
    VarSamp,
    /// Texts one behind the other.
    ListAgg,
    /// A multiset of the values.
    Collect,
    /// An array of the values, NULLs as well.
    ArrayAgg,
    /// The first value that is not NULL.
    FirstValue,
    /// The last value that is not NULL.
    LastValue,
    /// A JSON object; keys with NULL are kept.
    JsonObjectAggNullOnNull,
    /// A JSON object; keys with NULL are left out.
    JsonObjectAggAbsentOnNull,
    /// A JSON array; NULLs are kept.
    JsonArrayAggNullOnNull,
    /// A JSON array; NULLs are left out.
    JsonArrayAggAbsentOnNull,
    /// Percentiles, interpolated.
    Percentile,
    /// The only value; more than one is an error.
    SingleValue,
    /// Whether any value is TRUE.
    BoolOr,
    /// A bitmap of integers.
    BitmapBuildAgg,
    /// The intersection of bitmaps.
    BitmapAndAgg,
    /// The union of bitmaps.
    BitmapOrAgg,
    /// The symmetric difference of bitmaps.
    BitmapXorAgg,
    /// An array of the values, without NULLs.
    ArrayAggIgnoreNulls,
    /// How many integers a bitmap of them has.
    BitmapBuildCardinalityAgg,
    /// How many integers the intersection of bitmaps has.
    BitmapAndCardinalityAgg,
    /// How many integers the union of bitmaps has.
    BitmapOrCardinalityAgg,
    /// How many integers the symmetric difference of bitmaps has.
    BitmapXorCardinalityAgg,
    /// The value some rows before.
    Lag,
    /// The value some rows after.
    Lead,
    /// Rows one after the other.
    RowNumber,
    /// Rank with gaps.
    Rank,
    /// Rank without gaps.
    DenseRank,
    /// Rank relative to the number of rows.
    PercentRank,
    /// Part of the rows up to the row.
    CumeDist,
    /// Number of the part of a partition.
    Ntile,
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
    /// Whether changes of several upsert keys meet in a primary key, so that an [`Operator::UpsertMaterialize`] stands in front.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upsert_materialize: bool,
    /// `ON CONFLICT`: what happens when rows of several upsert keys meet in a primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<ConflictStrategy>,
}

/// What happens when rows of several upsert keys meet in a primary key.
///
/// # Source
/// Flink 2.3: `INSERT INTO ... ON CONFLICT DO ...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConflictStrategy {
    /// `DO ERROR`.
    Error,
    /// `DO NOTHING`: the first stays.
    Nothing,
    /// `DO DEDUPLICATE`: the last wins.
    Deduplicate,
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

/// How much state an operator keeps.
///
/// # Source
/// Confluent: state size classes of operators in EXPLAIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateClass {
    /// None.
    None,
    /// Positions, or little that is dropped soon.
    Low,
    /// An entry per key.
    Medium,
    /// The rows themselves.
    High,
}

impl Operator {
    /// Its name as Flink prints it, without `Stream`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TableSourceScan(_) => "TableSourceScan",
            Self::Values { .. } => "Values",
            Self::Calc { .. } => "Calc",
            Self::WindowTableFunction(_) => "WindowTableFunction",
            Self::WindowAggregate { .. } => "WindowAggregate",
            Self::GroupAggregate { .. } => "GroupAggregate",
            Self::GroupWindowAggregate { .. } => "GroupWindowAggregate",
            Self::Join { .. } => "Join",
            Self::Union => "Union",
            Self::Sink(_) => "Sink",
            Self::UpsertMaterialize(_) => "UpsertMaterialize",
            Self::ConstraintEnforcer(_) => "ConstraintEnforcer",
            Self::Expand { .. } => "Expand",
            Self::ChangelogNormalize { .. } => "ChangelogNormalize",
            Self::IntervalJoin(_) => "IntervalJoin",
            Self::TemporalJoin(_) => "TemporalJoin",
            Self::WindowJoin(_) => "WindowJoin",
            Self::Correlate(_) => "Correlate",
            Self::OverAggregate(_) => "OverAggregate",
            Self::Rank(_) => "Rank",
            Self::Deduplicate(_) => "Deduplicate",
            Self::WindowRank(_) => "WindowRank",
            Self::WindowDeduplicate(_) => "WindowDeduplicate",
            Self::Sort(_) => "Sort",
            Self::TemporalSort(_) => "TemporalSort",
            Self::SortLimit(_) => "SortLimit",
            Self::Limit(_) => "Limit",
            Self::Snapshot { .. } => "Snapshot",
            Self::Match(_) => "Match",
            Self::ProcessTableFunction(_) => "ProcessTableFunction",
        }
    }

    /// How much state it keeps.
    pub fn state_class(&self) -> StateClass {
        match self {
            Self::Calc { .. }
            | Self::Union
            | Self::Expand { .. }
            | Self::Correlate(_)
            | Self::ProcessTableFunction(_)
            | Self::ConstraintEnforcer(_) => StateClass::None,
            Self::TableSourceScan(_)
            | Self::Values { .. }
            | Self::WindowTableFunction(_)
            | Self::WindowAggregate { .. }
            | Self::GroupWindowAggregate { .. }
            | Self::WindowRank(_)
            | Self::WindowDeduplicate(_)
            | Self::Limit(_)
            | Self::Sink(_) => StateClass::Low,
            Self::GroupAggregate { .. }
            | Self::ChangelogNormalize { .. }
            | Self::UpsertMaterialize(_)
            | Self::Deduplicate(_)
            | Self::TemporalJoin(_)
            | Self::IntervalJoin(_)
            | Self::WindowJoin(_)
            | Self::TemporalSort(_) => StateClass::Medium,
            Self::Join { .. }
            | Self::OverAggregate(_)
            | Self::Rank(_)
            | Self::Sort(_)
            | Self::SortLimit(_)
            | Self::Snapshot { .. }
            | Self::Match(_) => StateClass::High,
        }
    }
}

impl Node {
    /// How long the state of an input is kept after its last change, milliseconds: what a hint says, else the statement's time;
    /// absent for ever.
    pub fn state_ttl_ms(&self, input: usize, of_statement: Option<Duration>) -> Option<i64> {
        match self.state_ttls_ms.get(input).copied().flatten() {
            Some(0) => None,
            Some(ttl_ms) => i64::try_from(ttl_ms).ok(),
            None => of_statement.and_then(|ttl| i64::try_from(ttl.as_millis()).ok()),
        }
    }
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
