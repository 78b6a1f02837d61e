//! Confluent's surface: `GET /v2/metrics/cloud/export`.
//!
//! Place in the flow: newest snapshot and the one a minute before in, page out. Invariant: everything is a gauge; counters are increases
//! within one minute; each statement has exactly one status series; watermarks that were never set and other unknowns are absent.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::cfu::CfuMillis;
use weir_model::meter::{Direction, Pool, Snapshot, Statement, Table, increase};
use weir_model::metrics::confluent as catalogue;
use weir_model::metrics::labels::{
    COMPUTE_POOL_ID, FLINK_STATEMENT_NAME, FLINK_STATEMENT_UID, STATUS, TABLE_NAME,
};
use weir_model::metrics::{Confluent, Kind};

use crate::encoder::{Dialect, Encoder, Family, Labels, Value};
use crate::format::TextFormat;
use crate::tables::merged;

/// How far stamped pages lag behind, milliseconds.
///
/// # Source
/// Confluent's Metrics API: the timestamp of `/export` is five minutes ago, rounded down to the minute.
const STAMP_OFFSET_MS: i64 = 5 * 60_000;

/// Milliseconds in a minute.
const MINUTE_MS: i64 = 60_000;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Parameters `resource.compute_pool.id`; none means every pool.
    pub pool_ids: Vec<String>,
    /// Parameters `metric`, API or export names; none means every metric.
    pub metrics: Vec<String>,
}

/// Writes the page.
///
/// # Shape
/// `minute_ago` is the snapshot one minute before `latest`, by [`crate::History::minute_ago`]. Without one the meter is taken to be
/// younger than a minute, so that whatever a run has counted lies within it; what the ledger counted before is unknown then, and
/// consumed CFU-minutes are absent.
///
/// # Units
/// `stamp` is epoch milliseconds for every sample, see [`stamp`]; none leaves the time to the scraper, which is better for alerts.
///
/// # Source
/// Captured replies of the real endpoint: names, label order, last comma, Java's numbers.
pub fn export(
    latest: &Snapshot,
    minute_ago: Option<&Snapshot>,
    filter: &Filter,
    format: TextFormat,
    stamp: Option<i64>,
) -> String {
    let rows = Rows::new(latest, minute_ago, filter);
    let dialect = Dialect {
        format,
        has_trailing_comma: true,
        stamp_ms: stamp,
    };
    let mut page = Page {
        encoder: Encoder::new(dialect, usize::MAX),
        metrics: &filter.metrics,
    };
    page.tables(&rows);
    page.statements(&rows);
    page.pools(&rows);
    page.encoder.finish()
}

/// The timestamp of a stamped page.
///
/// # Units
/// Epoch milliseconds, in and out.
pub fn stamp(now_ms: i64) -> i64 {
    let at_ms = now_ms.saturating_sub(STAMP_OFFSET_MS);
    at_ms - at_ms.rem_euclid(MINUTE_MS)
}

/// A pool with what it had a minute ago.
struct PoolRow<'a> {
    /// Now.
    pool: &'a Pool,
    /// Its labels.
    labels: Labels,
    /// Consumed within the minute, unless unknown.
    consumed: Option<CfuMillis>,
}

/// A statement with what it had a minute ago.
struct StatementRow<'a> {
    /// Now.
    statement: &'a Statement,
    /// Its labels.
    labels: Labels,
    /// Its labels with those of its status.
    status_labels: Labels,
    /// Labels of its late records: with the table if there is only one.
    late_labels: Labels,
    /// Late records within the minute.
    late_records: Option<u64>,
    /// Largest lateness over its tables.
    max_lateness_ms: Option<u64>,
    /// Consumed within the minute, unless unknown.
    consumed: Option<CfuMillis>,
    /// Tables it reads.
    read: Vec<TableRow>,
    /// Tables it writes.
    written: Vec<TableRow>,
}

/// A table with what it had a minute ago.
struct TableRow {
    /// Its labels.
    labels: Labels,
    /// Now.
    table: Table,
    /// Records within the minute.
    records: u64,
    /// Failures within the minute.
    errors: u64,
}

/// Everything that the page may show.
struct Rows<'a> {
    /// Pools in order of id.
    pools: Vec<PoolRow<'a>>,
    /// Statements in the snapshot's order.
    statements: Vec<StatementRow<'a>>,
}

impl<'a> Rows<'a> {
    /// Joins two snapshots.
    fn new(latest: &'a Snapshot, minute_ago: Option<&'a Snapshot>, filter: &Filter) -> Self {
        let is_wanted = |pool_id: &str| {
            filter.pool_ids.is_empty() || filter.pool_ids.iter().any(|id| id == pool_id)
        };
        let earlier_pools: BTreeMap<&str, &Pool> = minute_ago
            .iter()
            .flat_map(|snapshot| &snapshot.pools)
            .map(|pool| (pool.id.as_str(), pool))
            .collect();
        let earlier_statements: BTreeMap<&str, &Statement> = minute_ago
            .iter()
            .flat_map(|snapshot| &snapshot.statements)
            .map(|statement| (statement.uid.as_str(), statement))
            .collect();
        let has_past = minute_ago.is_some();
        let mut seen = BTreeSet::new();
        let pools = latest
            .pools
            .iter()
            .filter(|pool| is_wanted(&pool.id) && seen.insert(pool.id.as_str()))
            .map(|pool| {
                let earlier = earlier_pools.get(pool.id.as_str());
                PoolRow {
                    pool,
                    labels: Labels::default().with(COMPUTE_POOL_ID, &pool.id),
                    consumed: has_past.then(|| {
                        consumed(
                            earlier.map(|pool| pool.cfu_millis_total),
                            pool.cfu_millis_total,
                        )
                    }),
                }
            })
            .collect();
        let mut seen = BTreeSet::new();
        let statements = latest
            .statements
            .iter()
            .filter(|row| is_wanted(&row.pool_id) && seen.insert(row.uid.as_str()))
            .map(|statement| {
                let earlier = earlier_statements.get(statement.uid.as_str()).copied();
                StatementRow::new(statement, earlier, has_past)
            })
            .collect();
        Self { pools, statements }
    }
}

/// The increase of a ledger's sum, which outlives runs.
fn consumed(earlier: Option<u64>, later: u64) -> CfuMillis {
    CfuMillis(later.saturating_sub(earlier.unwrap_or(0)))
}

impl<'a> StatementRow<'a> {
    /// Joins a statement with what it was a minute ago.
    fn new(statement: &'a Statement, earlier: Option<&Statement>, has_past: bool) -> Self {
        let labels = Labels::default()
            .with(COMPUTE_POOL_ID, &statement.pool_id)
            .with(FLINK_STATEMENT_UID, &statement.uid)
            .with(FLINK_STATEMENT_NAME, &statement.name);
        let read = table_rows(statement, earlier, Direction::Read, &labels);
        let written = table_rows(statement, earlier, Direction::Written, &labels);
        let late_labels = match read.as_slice() {
            [only] => only.labels.clone(),
            _ => labels.clone(),
        };
        let late = |statement: &Statement| -> u64 {
            let operators = statement.operators().iter();
            operators.map(|operator| operator.late_records_total).sum()
        };
        let late_records = statement.job.as_ref().map(|_| {
            increase(
                earlier.map(|earlier| (earlier.run, late(earlier))),
                (statement.run, late(statement)),
            )
        });
        Self {
            statement,
            status_labels: Labels::default()
                .with(STATUS, statement.phase.as_str())
                .and(&labels),
            late_labels,
            late_records,
            max_lateness_ms: read
                .iter()
                .filter_map(|row| row.table.max_lateness_ms)
                .max(),
            consumed: has_past.then(|| {
                consumed(
                    earlier.map(|earlier| earlier.cfu_millis_total),
                    statement.cfu_millis_total,
                )
            }),
            labels,
            read,
            written,
        }
    }
}

/// The tables of one direction of a statement that runs.
///
/// A statement that runs without a table of that direction gets one row without a name, so that its traffic, which is zero, can be
/// told from that of a statement that does not run.
fn table_rows(
    statement: &Statement,
    earlier: Option<&Statement>,
    direction: Direction,
    labels: &Labels,
) -> Vec<TableRow> {
    let mut tables = merged(statement, direction);
    if tables.is_empty() && statement.job.is_some() {
        tables.push(Table {
            direction,
            ..Table::default()
        });
    }
    let before = earlier.map(|earlier| (earlier.run, merged(earlier, direction)));
    let errors = |table: &Table| -> u64 { table.errors.iter().map(|error| error.total).sum() };
    tables
        .into_iter()
        .map(|table| {
            let known = before.as_ref().and_then(|(run, tables)| {
                let known = tables.iter().find(|known| known.name == table.name)?;
                Some((*run, known))
            });
            let delta = |value: &dyn Fn(&Table) -> u64| {
                increase(
                    known.map(|(run, known)| (run, value(known))),
                    (statement.run, value(&table)),
                )
            };
            TableRow {
                labels: if table.name.is_empty() {
                    labels.clone()
                } else {
                    Labels::default().with(TABLE_NAME, &table.name).and(labels)
                },
                records: delta(&|table| table.records_total),
                errors: delta(&errors),
                table,
            }
        })
        .collect()
}

/// The page being written.
struct Page<'a> {
    /// Writer.
    encoder: Encoder,
    /// Metrics asked for.
    metrics: &'a [String],
}

impl Page<'_> {
    /// Families of tables.
    fn tables(&mut self, rows: &Rows<'_>) {
        let read = || rows.statements.iter().flat_map(|row| &row.read);
        let written = || rows.statements.iter().flat_map(|row| &row.written);
        self.family(
            &catalogue::NUM_RECORDS_IN,
            read().map(|row| (&row.labels, Some(count(row.records)))),
        );
        self.family(
            &catalogue::NUM_RECORDS_OUT,
            written().map(|row| (&row.labels, Some(count(row.records)))),
        );
        self.family(
            &catalogue::NUM_RECORDS_IN_ERRORS,
            read().map(|row| (&row.labels, Some(count(row.errors)))),
        );
        self.family(
            &catalogue::NUM_LATE_RECORDS_IN,
            rows.statements
                .iter()
                .map(|row| (&row.late_labels, row.late_records.map(count))),
        );
        self.family(
            &catalogue::PENDING_RECORDS,
            read().map(|row| (&row.labels, row.table.pending_records.map(count))),
        );
        self.family(
            &catalogue::CURRENT_INPUT_WATERMARK_MILLISECONDS,
            read().map(|row| (&row.labels, row.table.watermark_ms.map(instant))),
        );
        self.family(
            &catalogue::CURRENT_OUTPUT_WATERMARK_MILLISECONDS,
            written().map(|row| (&row.labels, row.table.watermark_ms.map(instant))),
        );
    }

    /// Families of statements.
    fn statements(&mut self, rows: &Rows<'_>) {
        let statements = || rows.statements.iter();
        self.family(
            &catalogue::MAX_INPUT_LATENESS_MILLISECONDS,
            statements().map(|row| (&row.labels, row.max_lateness_ms.map(count))),
        );
        self.family(
            &catalogue::STATEMENT_STATUS,
            statements().map(|row| (&row.status_labels, Some(1.0))),
        );
        self.family(
            &catalogue::STATEMENT_CURRENT_CFUS,
            statements().map(|row| {
                let is_live = !row.statement.phase.is_terminal();
                (&row.labels, is_live.then(|| row.statement.slots.into()))
            }),
        );
        self.family(
            &catalogue::STATEMENT_CFU_MINUTES_CONSUMED,
            statements().map(|row| (&row.labels, row.consumed.map(CfuMillis::minutes))),
        );
    }

    /// Families of pools.
    fn pools(&mut self, rows: &Rows<'_>) {
        let pools = || rows.pools.iter();
        self.family(
            &catalogue::POOL_CURRENT_CFUS,
            pools().map(|row| (&row.labels, Some(row.pool.current_cfus.into()))),
        );
        self.family(
            &catalogue::POOL_CFU_MINUTES_CONSUMED,
            pools().map(|row| (&row.labels, row.consumed.map(CfuMillis::minutes))),
        );
        self.family(
            &catalogue::POOL_CFU_LIMIT,
            pools().map(|row| (&row.labels, Some(row.pool.cfu_limit.into()))),
        );
    }

    /// Writes a family if it was asked for.
    fn family<'a>(
        &mut self,
        metric: &'static Confluent,
        samples: impl Iterator<Item = (&'a Labels, Option<f64>)>,
    ) {
        let is_wanted = self.metrics.is_empty()
            || self
                .metrics
                .iter()
                .any(|name| name == metric.name || name == metric.export_name);
        if !is_wanted {
            return;
        }
        self.encoder.family(Family {
            name: metric.export_name,
            kind: Kind::Gauge,
            unit: metric.unit,
            help: metric.help,
        });
        for (labels, value) in samples {
            if let Some(value) = value {
                self.encoder.sample(labels, Value::Java(value));
            }
        }
    }
}

/// A count as the endpoint has it.
#[expect(
    clippy::cast_precision_loss,
    reason = "the endpoint's numbers are doubles; counts of one minute stay far below 2^53"
)]
fn count(count: u64) -> f64 {
    count as f64
}

/// Epoch milliseconds as the endpoint has them.
#[expect(
    clippy::cast_precision_loss,
    reason = "the endpoint's numbers are doubles; 2^53 milliseconds after the epoch is the year 287396"
)]
fn instant(at_ms: i64) -> f64 {
    at_ms as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_five_minutes_ago_rounded_down() {
        // 12:06:41 gives 12:01:00.
        let noon = 1_736_942_400_000;
        assert_eq!(stamp(noon + 6 * 60_000 + 41_000), noon + 60_000);
        assert_eq!(stamp(noon), noon - 300_000);
        assert_eq!(stamp(-1), -360_000);
    }
}
