//! Groups and what is computed of them.
//!
//! Place in the flow: aggregations of any kind. Invariant: a group has at least one row, so that there is none over no rows, as in Flink's
//! streams.

use std::collections::BTreeMap;

use crate::expression::{Undecided, bounded};
use crate::relation::{Aggregate, Function, Groups};
use crate::value::{Row, Value};

/// The groups of rows: their keys and aggregates.
pub(super) fn groups(spec: &Groups, rows: &[Row]) -> Result<Vec<(Row, Row)>, Undecided> {
    let all: Vec<usize> = (0..spec.keys.len()).collect();
    let sets = if spec.sets.is_empty() {
        vec![all]
    } else {
        spec.sets.clone()
    };
    let mut results = Vec::new();
    for set in sets {
        let mut groups: BTreeMap<Row, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            let keys = spec.keys.iter().enumerate();
            let keys = keys.map(|(place, key)| {
                if set.contains(&place) {
                    row[*key].clone()
                } else {
                    Value::Null
                }
            });
            groups.entry(keys.collect()).or_default().push(row);
        }
        for (keys, rows) in groups {
            let aggregates = spec.aggregates.iter().map(|call| match call.function {
                Function::Grouping => Ok(Value::Int(i64::from(!set.contains(&call.argument)))),
                _ => value(call, &rows),
            });
            results.push((keys, aggregates.collect::<Result<Row, _>>()?));
        }
    }
    Ok(results)
}

/// An aggregate of rows.
pub(super) fn value(call: &Aggregate, rows: &[&Row]) -> Result<Value, Undecided> {
    let mut counted = Vec::new();
    for row in rows {
        let is_counted = match &call.filter {
            Some(filter) => filter.holds(row)?,
            None => true,
        };
        if is_counted {
            counted.push(*row);
        }
    }
    if call.function == Function::CountRows {
        return Ok(count(counted.len()));
    }
    let mut values: Vec<&Value> = counted
        .into_iter()
        .map(|row| &row[call.argument])
        .filter(|value| !value.is_null())
        .collect();
    if call.is_distinct {
        values.sort();
        values.dedup();
    }
    let sum = || -> Result<i64, Undecided> {
        let sum = values
            .iter()
            .try_fold(0_i64, |sum, value| sum.checked_add(value.int()));
        Ok(bounded(sum)?.int())
    };
    Ok(match call.function {
        Function::CountRows | Function::Count => count(values.len()),
        Function::Sum | Function::Average | Function::List if values.is_empty() => Value::Null,
        Function::Sum => Value::Int(sum()?),
        // Of whole numbers it is one too, without its fraction.
        Function::Average => Value::Int(sum()? / count(values.len()).int()),
        Function::Min => values.into_iter().min().cloned().unwrap_or(Value::Null),
        Function::Max => values.into_iter().max().cloned().unwrap_or(Value::Null),
        Function::First => values.first().copied().cloned().unwrap_or(Value::Null),
        Function::Last => values.last().copied().cloned().unwrap_or(Value::Null),
        Function::List => list(&values),
        Function::Grouping | Function::Lag(_) => Value::Null,
    })
}

/// Texts with commas between.
fn list(values: &[&Value]) -> Value {
    let texts = values.iter().map(|value| match value {
        Value::Text(text) => &**text,
        Value::Null | Value::Bool(_) | Value::Int(_) => "",
    });
    Value::text(&texts.collect::<Vec<_>>().join(","))
}

/// A number of things.
fn count(things: usize) -> Value {
    Value::Int(i64::try_from(things).unwrap_or(i64::MAX))
}
