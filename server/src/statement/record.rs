//! What is stored of a statement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::statement::Phase;
use weir_runtime::plan::Column;
use weir_runtime::sql::catalog::TableDef;

use super::limits::StateLimitStatus;
use super::slow_checkpoints::SlowCheckpoints;

/// How a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Done at once without a job: DDL, SHOW, DESCRIBE, EXPLAIN, SET.
    Immediate,
    /// A query whose rows its client fetches.
    Foreground,
    /// Writes tables until it is stopped or its input ends.
    Background,
}

/// What its user wants of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// It runs.
    Run,
    /// It does not run, and can be resumed.
    Stop,
    /// It is gone.
    Delete,
}

/// Whether a statement has the slots it wants, with Confluent's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scaling {
    /// It has.
    #[default]
    Ok,
    /// Its pool has none left.
    PoolExhausted,
}

impl Scaling {
    /// The name in APIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::PoolExhausted => "POOL_EXHAUSTED",
        }
    }
}

/// What clients are told about a statement's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// Kind of SQL, such as `SELECT` or `CREATE_TABLE`.
    pub sql_kind: String,
    /// Whether it ends by itself.
    pub is_bounded: bool,
    /// Whether its results are inserts only.
    pub is_append_only: bool,
    /// Columns that identify a row of its results.
    pub upsert_columns: Option<Vec<usize>>,
    /// Columns of its results; absent for statements without results.
    pub columns: Option<Vec<Column>>,
}

/// The answer of a statement whose answer is known at once: rows of text, NULL as absence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rows(pub Vec<Vec<Option<String>>>);

/// Which checkpoint the next start goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreFrom {
    /// The newest of the present run; nothing when it has none yet.
    #[default]
    Latest,
    /// A savepoint at this location, unless the run has a checkpoint of its own.
    Savepoint(String),
    /// An older one of the present run, whatever was committed since.
    Checkpoint {
        /// Its epoch.
        epoch: u64,
        /// Whether its user accepts that rows written since are written again; never false in a stored record.
        accept_duplicates: bool,
    },
    /// None: sources begin where their options say.
    Nothing,
}

/// Where sources of topics begin when there is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InitialOffsets {
    /// By topic, as `partition:0,offset:12;...`.
    pub by_topic: BTreeMap<String, String>,
    /// Whether they count more than options that the tables chose themselves.
    pub overrides_tables: bool,
}

/// A statement that this one goes on after (`sql.tables.initial-offset-from`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarryOver {
    /// Its name.
    pub name: String,
    /// Its uid, so that another one of that name is not taken for it.
    pub uid: String,
    /// Since when it is waited for, epoch milliseconds.
    pub since_ms: i64,
    /// Whether its offsets were taken.
    pub is_done: bool,
}

/// How a statement starts: everything that a restart of the server must not forget.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Identity of the run that checkpoints belong to: a uuid, new for every start from a savepoint or from nothing, kept across
    /// restarts and resumes. Empty for statements of before there were runs.
    pub run: String,
    /// Which checkpoint counts.
    pub restore: RestoreFrom,
    /// Where sources begin without one. Part of what the run's checkpoints belong to, so it stays for the whole run.
    pub offsets: InitialOffsets,
    /// The statement to go on after.
    pub carry_over: Option<CarryOver>,
}

/// Everything stored of a statement but its plan and its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Unique id, never used again.
    pub uid: String,
    /// Name, unique among statements that are not being deleted.
    pub name: String,
    /// Organization it was made under.
    pub organization: String,
    /// Environment it was made under.
    pub environment: String,
    /// SQL text.
    pub sql: String,
    /// Properties as they were given.
    pub properties: BTreeMap<String, String>,
    /// Labels as they were given.
    pub labels: BTreeMap<String, String>,
    /// Pool it runs in.
    pub pool_id: String,
    /// Who it runs as.
    pub principal: String,
    /// How it runs.
    pub kind: Kind,
    /// What its user wants.
    pub wanted: Wanted,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is there, for people; empty when there is nothing to say.
    pub detail: String,
    /// Whether it has its slots.
    pub scaling: Scaling,
    /// Its shape; absent when it could not be planned.
    pub traits: Option<Traits>,
    /// Slots it runs with.
    pub parallelism: u32,
    /// Whether its sources are to end where they are.
    pub draining: bool,
    /// Grows with every change.
    pub resource_version: u64,
    /// Epoch milliseconds.
    pub created_at_ms: i64,
    /// Epoch milliseconds.
    pub updated_at_ms: i64,
    /// Number of the present run.
    pub run: u64,
    /// Restarts after failures.
    pub restarts_total: u64,
    /// Next offsets by topic, as `partition:0,offset:12;...`, of its last stop.
    pub latest_offsets: BTreeMap<String, String>,
    /// When that stop was, epoch milliseconds.
    pub latest_offsets_at_ms: Option<i64>,
    /// How it starts.
    #[serde(default)]
    pub origin: Origin,
    /// Slots it is to have instead, once its job has stopped for it.
    #[serde(default)]
    pub rescale_to: Option<u32>,
    /// Name of the savepoint that its stop is to leave.
    #[serde(default)]
    pub stop_savepoint: Option<String>,
    /// Where its state is against the limits.
    #[serde(default)]
    pub state_limit: StateLimitStatus,
    /// Whether its user resumed it above the soft limit.
    #[serde(default)]
    pub is_soft_limit_waived: bool,
    /// The warning that its checkpoints are slow.
    #[serde(default)]
    pub slow_checkpoints: Option<SlowCheckpoints>,
    /// What its user was advised when it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Warning>,
    /// The table of `CREATE TABLE ... AS SELECT`, until it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates_table: Option<TableDef>,
}

/// A warning of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// `LOW`, `MODERATE` or `CRITICAL`.
    pub severity: String,
    /// What it is about, in upper case.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Record {
    /// The time zone of its session.
    pub fn time_zone(&self) -> &str {
        self.properties
            .get("sql.local-time-zone")
            .or_else(|| self.properties.get("table.local-time-zone"))
            .map_or("UTC", String::as_str)
    }

    /// Whether its SQL is only checked, not run.
    pub fn is_dry_run(&self) -> bool {
        self.properties
            .get("sql.dry-run")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}
