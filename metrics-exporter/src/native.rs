//! The native surface: `GET /metrics`.
//!
//! Place in the flow: newest snapshot in, page out. Invariant: cumulative counters, base units, and a bounded number of series with a
//! counter of those left out.

mod columns;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_model::cfu::{CfuMillis, CfuPrice};
use weir_model::meter::{
    Direction, ErrorCount, Operator, Pool, Slot, Snapshot, Split, Statement, Table,
};
use weir_model::metrics::labels::{
    COMPUTE_POOL_ID, FLINK_STATEMENT_NAME, FLINK_STATEMENT_UID, OPERATOR_ID, OPERATOR_NAME,
    PARTITION, REASON, REVISION, STATUS, SUBTASK_INDEX, TABLE_NAME, VERSION,
};
use weir_model::metrics::{Native, native as catalogue};

use crate::encoder::{Dialect, Encoder, Family, Labels, Value};
use crate::format::TextFormat;
use crate::tables::{merged, merged_splits};

use columns::Column;

/// How many series a page may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Series of the whole page. Families come in the catalogue's order, so the last ones go first.
    pub series_max: usize,
    /// Splits of one statement; 0 leaves them out.
    pub splits_max: usize,
    /// Slots of one statement; 0 leaves them out.
    pub slots_max: usize,
    /// Reasons of failures of one table.
    pub reasons_max: usize,
}

impl Default for Limits {
    /// 200,000 series in all, 128 splits and 128 slots a statement, 32 reasons a table.
    ///
    /// # Source
    /// Guesses, unmeasured: twice the series of the speed goal; a statement has 50 slots at most and 128 key groups; the decoder has
    /// fewer reasons.
    fn default() -> Self {
        Self {
            series_max: 200_000,
            splits_max: 128,
            slots_max: 128,
            reasons_max: 32,
        }
    }
}

/// What the page says about the process, and what it needs beyond the snapshot.
#[derive(Debug, Clone)]
pub struct SelfMetrics {
    /// Version of the program.
    pub version: String,
    /// Commit of the program, empty when unknown.
    pub revision: String,
    /// Price of a CFU-hour.
    pub price: CfuPrice,
    /// The process at this instant.
    pub process: Process,
    /// Series left out of all pages so far; each [`export_with`] adds to it.
    pub series_dropped: Arc<AtomicU64>,
}

impl Default for SelfMetrics {
    /// The version of the workspace, at list price.
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: String::new(),
            price: CfuPrice::default(),
            process: Process::default(),
            series_dropped: Arc::default(),
        }
    }
}

/// The process at one instant; what the platform does not tell is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Process {
    /// User and system CPU time, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// When it started, epoch milliseconds.
    pub started_at_ms: Option<i64>,
}

/// An entity with its labels, rendered once for all its families.
struct Row<T> {
    /// Labels.
    labels: Labels,
    /// Entity.
    item: T,
}

/// Everything that the page shows, by scope.
#[derive(Default)]
struct Rows<'a> {
    /// Pools.
    pools: Vec<Row<&'a Pool>>,
    /// Statements.
    statements: Vec<Row<&'a Statement>>,
    /// One per statement.
    statuses: Vec<Row<()>>,
    /// Tables read.
    read: Vec<Row<Table>>,
    /// Tables written.
    written: Vec<Row<Table>>,
    /// Failures of tables read.
    read_errors: Vec<Row<ErrorCount>>,
    /// Failures of tables written.
    write_errors: Vec<Row<ErrorCount>>,
    /// Operators.
    operators: Vec<Row<&'a Operator>>,
    /// Splits.
    splits: Vec<Row<Split>>,
    /// Slots.
    slots: Vec<Row<&'a Slot>>,
    /// Series left out.
    dropped: usize,
}

/// Writes the page at list price and with what this crate knows of the program.
///
/// The counter of series left out covers this page only: use [`export_with`] to keep it over scrapes.
pub fn export(latest: &Snapshot, limits: Limits, format: TextFormat) -> String {
    export_with(latest, &SelfMetrics::default(), limits, format)
}

/// Writes the page.
///
/// # Shape
/// The only effect is on [`SelfMetrics::series_dropped`].
pub fn export_with(
    latest: &Snapshot,
    self_metrics: &SelfMetrics,
    limits: Limits,
    format: TextFormat,
) -> String {
    let rows = Rows::new(latest, limits);
    let dialect = Dialect {
        format,
        ..Dialect::default()
    };
    let mut encoder = Encoder::new(dialect, limits.series_max);
    encoder.drop_samples(rows.dropped);
    write(&mut encoder, columns::POOL, &rows.pools);
    write_costs(
        &mut encoder,
        &catalogue::POOL_COST_DOLLARS,
        self_metrics.price,
        rows.pools
            .iter()
            .map(|row| (&row.labels, row.item.cfu_millis_total)),
    );
    write(&mut encoder, columns::STATUS, &rows.statuses);
    write(&mut encoder, columns::STATEMENT, &rows.statements);
    write_costs(
        &mut encoder,
        &catalogue::STATEMENT_COST_DOLLARS,
        self_metrics.price,
        rows.statements
            .iter()
            .map(|row| (&row.labels, row.item.cfu_millis_total)),
    );
    write(&mut encoder, columns::READ, &rows.read);
    write(&mut encoder, columns::READ_ERRORS, &rows.read_errors);
    write(&mut encoder, columns::WRITTEN, &rows.written);
    write(&mut encoder, columns::WRITE_ERRORS, &rows.write_errors);
    write_dead_letters(&mut encoder, &rows);
    write(&mut encoder, columns::OPERATOR, &rows.operators);
    write(&mut encoder, columns::SPLIT, &rows.splits);
    write(&mut encoder, columns::SLOT, &rows.slots);
    write_self(&mut encoder, latest, self_metrics);
    encoder.finish()
}

/// Writes the families of a scope.
fn write<T, R: Borrow<T>>(encoder: &mut Encoder, columns: &[Column<T>], rows: &[Row<R>]) {
    for column in columns {
        encoder.family(family(column.metric));
        for row in rows {
            if let Some(value) = (column.value)(row.item.borrow()) {
                encoder.sample(&row.labels, value);
            }
        }
    }
}

/// Writes what billed CFU-milliseconds cost.
fn write_costs<'a>(
    encoder: &mut Encoder,
    metric: &'static Native,
    price: CfuPrice,
    amounts: impl Iterator<Item = (&'a Labels, u64)>,
) {
    encoder.family(family(metric));
    for (labels, cfu_millis) in amounts {
        let cost = price.cost(CfuMillis(cfu_millis));
        encoder.sample(labels, Value::Nanos(cost.nano));
    }
}

/// Writes the family that tables read and tables written share; a table that is both has one series with the sum.
fn write_dead_letters(encoder: &mut Encoder, rows: &Rows<'_>) {
    let mut letters: BTreeMap<&Labels, u64> = BTreeMap::new();
    for row in rows.read.iter().chain(&rows.written) {
        let total = letters.entry(&row.labels).or_default();
        *total = total.saturating_add(row.item.dead_letters_total);
    }
    encoder.family(family(&catalogue::TABLE_DEAD_LETTERS));
    for (labels, total) in letters {
        encoder.sample(labels, Value::Count(total));
    }
}

/// Writes the families of the process and of the page itself, which no limit leaves out.
fn write_self(encoder: &mut Encoder, latest: &Snapshot, self_metrics: &SelfMetrics) {
    encoder.lift_limit();
    let build = Labels::default()
        .with(VERSION, &self_metrics.version)
        .with(REVISION, &self_metrics.revision);
    let dropped = encoder.dropped();
    let before = self_metrics
        .series_dropped
        .fetch_add(dropped, Ordering::Relaxed);
    let process = self_metrics.process;
    let own = [
        (&catalogue::BUILD_INFO, Some(Value::Count(1))),
        (
            &catalogue::SNAPSHOT_TIMESTAMP_SECONDS,
            Some(Value::Millis(latest.at_ms)),
        ),
        (
            &catalogue::METRICS_SERIES_DROPPED,
            Some(Value::Count(before.saturating_add(dropped))),
        ),
        (
            &catalogue::PROCESS_CPU_SECONDS,
            process.cpu_ns.map(Value::Nanos),
        ),
        (
            &catalogue::PROCESS_RESIDENT_MEMORY_BYTES,
            process.resident_bytes.map(Value::Count),
        ),
        (
            &catalogue::PROCESS_OPEN_FDS,
            process.open_fds.map(Value::Count),
        ),
        (
            &catalogue::PROCESS_START_TIME_SECONDS,
            process.started_at_ms.map(Value::Millis),
        ),
    ];
    for (metric, value) in own {
        encoder.family(family(metric));
        if let Some(value) = value {
            let labels = if metric.labels.is_empty() {
                &Labels::default()
            } else {
                &build
            };
            encoder.sample(labels, value);
        }
    }
}

/// The header of a metric.
fn family(metric: &'static Native) -> Family {
    Family {
        name: metric.name,
        kind: metric.kind,
        unit: metric.unit,
        help: metric.help,
    }
}

impl<'a> Rows<'a> {
    /// Sorts a snapshot by scope.
    fn new(latest: &'a Snapshot, limits: Limits) -> Self {
        let mut rows = Self::default();
        let mut seen = BTreeSet::new();
        for pool in &latest.pools {
            if seen.insert(pool.id.as_str()) {
                rows.pools.push(Row {
                    labels: Labels::default().with(COMPUTE_POOL_ID, &pool.id),
                    item: pool,
                });
            }
        }
        let mut seen = BTreeSet::new();
        for statement in &latest.statements {
            if seen.insert(statement.uid.as_str()) {
                rows.add_statement(statement, limits);
            }
        }
        rows
    }

    /// Adds a statement and all it has.
    fn add_statement(&mut self, statement: &'a Statement, limits: Limits) {
        let labels = Labels::default()
            .with(COMPUTE_POOL_ID, &statement.pool_id)
            .with(FLINK_STATEMENT_UID, &statement.uid)
            .with(FLINK_STATEMENT_NAME, &statement.name);
        self.statuses.push(Row {
            labels: labels.clone().with(STATUS, statement.phase.as_str()),
            item: (),
        });
        self.add_tables(statement, &labels, limits);
        let mut seen = BTreeSet::new();
        for operator in statement.operators() {
            if seen.insert(operator.id) {
                self.operators.push(Row {
                    labels: labels
                        .clone()
                        .with(OPERATOR_ID, &operator.id.to_string())
                        .with(OPERATOR_NAME, &operator.name),
                    item: operator,
                });
            }
        }
        self.add_details(statement, &labels, limits);
        self.statements.push(Row {
            labels,
            item: statement,
        });
    }

    /// Adds the tables of a statement and their failures.
    fn add_tables(&mut self, statement: &'a Statement, labels: &Labels, limits: Limits) {
        for direction in [Direction::Read, Direction::Written] {
            let (tables, errors) = match direction {
                Direction::Read => (&mut self.read, &mut self.read_errors),
                Direction::Written => (&mut self.written, &mut self.write_errors),
            };
            for mut table in merged(statement, direction) {
                let labels = labels.clone().with(TABLE_NAME, &table.name);
                let reasons = std::mem::take(&mut table.errors);
                self.dropped += reasons.len().saturating_sub(limits.reasons_max);
                for error in reasons.into_iter().take(limits.reasons_max) {
                    errors.push(Row {
                        labels: labels.clone().with(REASON, &error.reason),
                        item: error,
                    });
                }
                tables.push(Row {
                    labels,
                    item: table,
                });
            }
        }
    }

    /// Adds slots and splits up to their limits.
    fn add_details(&mut self, statement: &'a Statement, labels: &Labels, limits: Limits) {
        let Some(job) = &statement.job else {
            return;
        };
        let mut slots: Vec<&Slot> = job.slots.iter().collect();
        slots.sort_by_key(|slot| slot.subtask);
        slots.dedup_by_key(|slot| slot.subtask);
        self.dropped += slots.len().saturating_sub(limits.slots_max) * columns::SLOT.len();
        for slot in slots.into_iter().take(limits.slots_max) {
            self.slots.push(Row {
                labels: labels
                    .clone()
                    .with(SUBTASK_INDEX, &slot.subtask.to_string()),
                item: slot,
            });
        }
        let splits = merged_splits(&job.splits);
        self.dropped += splits.len().saturating_sub(limits.splits_max) * columns::SPLIT.len();
        for split in splits.into_iter().take(limits.splits_max) {
            self.splits.push(Row {
                labels: labels
                    .clone()
                    .with(TABLE_NAME, &split.table)
                    .with(PARTITION, &split.partition.to_string()),
                item: split,
            });
        }
    }
}
