//! The tables of a statement, one entry per name.
//!
//! Place in the flow: between the snapshot and both surfaces. Invariant: a statement that reads a table twice gives one series, since
//! two equal series lose the whole scrape.

use std::collections::BTreeMap;

use weir_model::meter::{Direction, ErrorCount, Split, Statement, Table};

/// The tables of one direction in order of name: counters and pending records added, the smallest watermark, the largest lateness.
///
/// What one of the entries does not know is unknown for all.
pub(crate) fn merged(statement: &Statement, direction: Direction) -> Vec<Table> {
    let mut tables: BTreeMap<&str, Table> = BTreeMap::new();
    for table in statement.tables(direction) {
        tables
            .entry(&table.name)
            .and_modify(|known| merge(known, table))
            .or_insert_with(|| {
                let mut first = table.clone();
                first.watermark_ms = known_watermark(first.watermark_ms);
                first.errors = Vec::new();
                merge_errors(&mut first.errors, &table.errors);
                first
            });
    }
    tables.into_values().collect()
}

/// Adds another entry of the same table.
fn merge(known: &mut Table, other: &Table) {
    known.records_total = known.records_total.saturating_add(other.records_total);
    known.bytes_total = known.bytes_total.saturating_add(other.bytes_total);
    known.dead_letters_total = known
        .dead_letters_total
        .saturating_add(other.dead_letters_total);
    merge_errors(&mut known.errors, &other.errors);
    known.pending_records = known
        .pending_records
        .zip(other.pending_records)
        .map(|(a, b)| a.saturating_add(b));
    known.watermark_ms = known
        .watermark_ms
        .zip(known_watermark(other.watermark_ms))
        .map(|(a, b)| a.min(b));
    known.max_lateness_ms = known.max_lateness_ms.max(other.max_lateness_ms);
}

/// Adds failures by reason, in order of reason.
fn merge_errors(known: &mut Vec<ErrorCount>, others: &[ErrorCount]) {
    for other in others {
        match known.binary_search_by(|error| error.reason.cmp(&other.reason)) {
            Ok(index) => known[index].total = known[index].total.saturating_add(other.total),
            Err(index) => known.insert(index, other.clone()),
        }
    }
}

/// A watermark that was reached: the smallest number stands for none yet, the largest for the end of input.
///
/// # Source
/// Flink's `Watermark.UNINITIALIZED` and `Watermark.MAX_WATERMARK`.
pub(crate) fn known_watermark(watermark_ms: Option<i64>) -> Option<i64> {
    watermark_ms.filter(|at| *at != i64::MIN && *at != i64::MAX)
}

/// The splits of a statement in order of table and partition, one entry each, merged as tables are.
pub(crate) fn merged_splits(splits: &[Split]) -> Vec<Split> {
    let mut merged: BTreeMap<(&str, i32), Split> = BTreeMap::new();
    for split in splits {
        let watermark_ms = known_watermark(split.watermark_ms);
        merged
            .entry((&split.table, split.partition))
            .and_modify(|known| {
                known.pending_records = known
                    .pending_records
                    .zip(split.pending_records)
                    .map(|(a, b)| a.saturating_add(b));
                known.watermark_ms = known.watermark_ms.zip(watermark_ms).map(|(a, b)| a.min(b));
                known.is_idle &= split.is_idle;
            })
            .or_insert_with(|| Split {
                watermark_ms,
                ..split.clone()
            });
    }
    merged.into_values().collect()
}
