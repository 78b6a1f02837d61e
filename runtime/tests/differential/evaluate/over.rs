//! Aggregates over the rows before each row.
//!
//! Place in the flow: OVER. Invariant: where frames count rows or results depend on their order, no two of a partition have the same time.

use std::cmp::Ordering;

use super::aggregate::value;
use super::rank::{compare, partitions};
use crate::expression::Undecided;
use crate::relation::{Frame, Function, Over};
use crate::value::{Row, Value};

/// Each row with its aggregates.
pub(super) fn aggregate(spec: &Over, rows: Vec<Row>) -> Result<Vec<Row>, Undecided> {
    let mut results = Vec::new();
    for mut partition in partitions(rows, &spec.partition) {
        partition.sort_by(|one, other| compare(&[spec.order], one, other));
        for (index, row) in partition.iter().enumerate() {
            let counts = |other: usize| {
                let behind_ms =
                    row[spec.order.column].int() - partition[other][spec.order.column].int();
                match spec.frame {
                    Frame::Rows(count) => other <= index && index - other <= count,
                    Frame::AllRows | Frame::Past => other <= index,
                    Frame::Range(size) => (0..=size * 1000).contains(&behind_ms),
                    Frame::AllRange => {
                        compare(&[spec.order], &partition[other], row) != Ordering::Greater
                    }
                }
            };
            let places = (0..partition.len()).filter(|other| counts(*other));
            let frame: Vec<&Row> = places.map(|other| &partition[other]).collect();
            let mut result = row.clone();
            for call in &spec.aggregates {
                result.push(match call.function {
                    Function::Lag(rows) => index
                        .checked_sub(rows)
                        .map_or(Value::Null, |place| partition[place][call.argument].clone()),
                    _ => value(call, &frame)?,
                });
            }
            results.push(result);
        }
    }
    Ok(results)
}
