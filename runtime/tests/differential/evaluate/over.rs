//! Aggregates over the rows before each row.
//!
//! Place in the flow: OVER. Invariant: where frames count rows, no two of a partition have the same time.

use super::aggregate::value;
use super::rank::partitions;
use crate::expression::TooLarge;
use crate::relation::{Frame, Over};
use crate::value::Row;

/// Each row with its aggregates.
pub(super) fn aggregate(spec: &Over, rows: Vec<Row>) -> Result<Vec<Row>, TooLarge> {
    let mut results = Vec::new();
    for mut partition in partitions(rows, &spec.partition) {
        let time = |row: &Row| row[spec.time].int();
        partition.sort_by_key(time);
        for (index, row) in partition.iter().enumerate() {
            let counts = |other: usize| {
                let behind_ms = time(row) - time(&partition[other]);
                match spec.frame {
                    Frame::Rows(count) => other <= index && index - other <= count,
                    Frame::AllRows => other <= index,
                    Frame::Range(size) => (0..=size * 1000).contains(&behind_ms),
                    Frame::AllRange => behind_ms >= 0,
                }
            };
            let places = (0..partition.len()).filter(|other| counts(*other));
            let frame: Vec<&Row> = places.map(|other| &partition[other]).collect();
            let mut result = row.clone();
            for call in &spec.aggregates {
                result.push(value(call, &frame)?);
            }
            results.push(result);
        }
    }
    Ok(results)
}
