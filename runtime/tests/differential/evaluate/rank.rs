//! First rows of groups.
//!
//! Place in the flow: Top-N and deduplication. Invariant: rows that the order does not tell apart are equal.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::relation::{Deduplication, Order, TopN};
use crate::value::{Row, Value};

/// Rows by their keys.
pub(super) fn partitions(rows: Vec<Row>, keys: &[usize]) -> Vec<Vec<Row>> {
    let mut partitions: BTreeMap<Row, Vec<Row>> = BTreeMap::new();
    for row in rows {
        let key = keys.iter().map(|key| row[*key].clone()).collect();
        partitions.entry(key).or_default().push(row);
    }
    partitions.into_values().collect()
}

/// First rows by an order.
pub(super) fn top(spec: &TopN, rows: Vec<Row>) -> Vec<Row> {
    let mut kept = Vec::new();
    for mut partition in partitions(rows, &spec.partition) {
        partition.sort_by(|one, other| compare(&spec.order, one, other));
        for (index, row) in partition.iter().enumerate() {
            let number = i64::try_from(index).unwrap_or(i64::MAX) + 1;
            if (spec.range.0..=spec.range.1).contains(&number) {
                let mut row = row.clone();
                row.extend(spec.has_number.then_some(Value::Int(number)));
                kept.push(row);
            }
        }
    }
    kept
}

/// Which row comes first.
pub(super) fn compare(order: &[Order], one: &Row, other: &Row) -> Ordering {
    let columns = order.iter().map(|order| {
        let (one, other) = (&one[order.column], &other[order.column]);
        let nulls_first = order.nulls_first.unwrap_or(!order.is_descending);
        match (one.is_null(), other.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if order.is_descending => other.cmp(one),
            (false, false) => one.cmp(other),
        }
    });
    columns
        .into_iter()
        .find(|ordering| *ordering != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// The first or last row of each key by time.
pub(super) fn deduplicate(spec: &Deduplication, rows: Vec<Row>) -> Vec<Row> {
    let partitions = partitions(rows, &spec.keys).into_iter();
    partitions
        .filter_map(|rows| {
            let rows = rows.into_iter();
            if spec.keeps_last {
                rows.max_by_key(|row| row[spec.time].int())
            } else {
                rows.min_by_key(|row| row[spec.time].int())
            }
        })
        .collect()
}
