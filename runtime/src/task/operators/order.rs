//! Operators that put rows in an order.
//!
//! Place in the flow: a family of [`super::make`]. Invariant: as there.

use super::{BoxedOperator, Making, missing_aggregate, not_made};
use crate::error::Result;
use crate::operator::match_recognize::MatchRecognize;
use crate::operator::order::conflict::{ConflictGuard, OnConflict};
use crate::operator::order::deduplicate::{KeepFirst, KeepLast};
use crate::operator::order::first_by_time::FirstByTime;
use crate::operator::order::limit::Limit;
use crate::operator::order::materialize::{Keys, UpsertMaterialize};
use crate::operator::order::rank::{InputChanges, NumberColumn, Rank, Spec};
use crate::operator::order::sort::{Leaving, Sort};
use crate::operator::over::is_position;
use crate::operator::over::ordered_by_time::OverByTime;
use crate::operator::over::ordered_by_value::OverByValue;
use crate::operator::union::Union;
use crate::plan::{
    self, AggregateCall, ConflictStrategy, Deduplicate, Operator, OverAggregate, RankFunction,
    RankRange, TimeDomain,
};

/// What of an operator cannot be executed.
pub(super) fn missing(operator: &Operator) -> Option<String> {
    match operator {
        Operator::Rank(rank) if rank.function != RankFunction::RowNumber => {
            Some(format!("the rank {:?}", rank.function))
        }
        Operator::Rank(_)
        | Operator::Deduplicate(_)
        | Operator::Sort(_)
        | Operator::TemporalSort(_)
        | Operator::SortLimit(_)
        | Operator::Limit(_)
        | Operator::Match(_)
        | Operator::UpsertMaterialize(_) => None,
        Operator::OverAggregate(over) => missing_over(over),
        _ => Some(operator.name().to_owned()),
    }
}

/// What of an OVER aggregation cannot be executed.
fn missing_over(over: &OverAggregate) -> Option<String> {
    let calls = over.aggregates.iter();
    let others: Vec<AggregateCall> = calls
        .filter(|call| !is_position(call.function))
        .cloned()
        .collect();
    missing_aggregate(&others)
}

/// Makes the operator of a subtask.
pub(super) fn make(operator: &Operator, making: &Making<'_>) -> Result<BoxedOperator> {
    let input = making.input()?;
    let changes = if input.retracts() {
        InputChanges::Any
    } else {
        InputChanges::Inserts
    };
    Ok(match operator {
        Operator::Rank(rank) => {
            let spec = Spec {
                partition: &rank.partition,
                order: &rank.order,
                range: rank.range,
                number: if rank.has_number {
                    NumberColumn::Last
                } else {
                    NumberColumn::Absent
                },
                input: changes,
            };
            Box::new(Rank::new(&spec, input.types, input.state.clone())?)
        }
        Operator::Limit(sort) if changes == InputChanges::Inserts => {
            Box::new(Limit::new(sort, input.state.clone()))
        }
        Operator::SortLimit(sort) | Operator::Limit(sort) => {
            let spec = Spec {
                partition: &[],
                order: &sort.order,
                range: ranks(sort),
                number: NumberColumn::Absent,
                input: changes,
            };
            Box::new(Rank::new(&spec, input.types, input.state.clone())?)
        }
        Operator::Deduplicate(deduplicate) => return self::deduplicate(deduplicate, making),
        Operator::Sort(sort) => {
            let state = input.state.clone();
            Box::new(Sort::new(&sort.order, Leaving::End, input.types, state)?)
        }
        Operator::TemporalSort(sort) => return temporal_sort(sort, making),
        Operator::OverAggregate(over) => {
            let state = input.state.clone();
            match over.domain {
                Some(TimeDomain::Event | TimeDomain::Processing) => {
                    Box::new(OverByTime::new(over, input.types, state)?)
                }
                None => Box::new(OverByValue::new(over, input.types, state)?),
            }
        }
        Operator::Match(found) => {
            let (zone, state) = (making.time_zone, input.state.clone());
            Box::new(MatchRecognize::new(found, input.types, zone, state)?)
        }
        Operator::UpsertMaterialize(spec) => {
            let keys = Keys {
                primary: &spec.primary_key,
                upsert: spec.upsert_key.as_deref(),
            };
            let state = input.state.clone();
            let on_conflict = match spec.on_conflict {
                ConflictStrategy::Error => OnConflict::Fail,
                ConflictStrategy::Nothing => OnConflict::KeepFirst,
                ConflictStrategy::Deduplicate => {
                    return Ok(Box::new(UpsertMaterialize::new(keys, input.types, state)?));
                }
            };
            Box::new(ConflictGuard::new(keys, on_conflict, input.types, state)?)
        }
        _ => return Err(not_made(operator)),
    })
}

/// The ranks of the rows between OFFSET and the limit.
fn ranks(sort: &plan::Sort) -> RankRange {
    let bounded = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    let offset = bounded(sort.offset);
    RankRange::Constant {
        start: offset.saturating_add(1),
        end: sort
            .fetch
            .map_or(i64::MAX, |fetch| offset.saturating_add(bounded(fetch))),
    }
}

/// Makes a deduplication.
fn deduplicate(deduplicate: &Deduplicate, making: &Making<'_>) -> Result<BoxedOperator> {
    let input = making.input()?;
    let (keys, types, state) = (&deduplicate.keys, input.types, input.state.clone());
    let time = deduplicate.time;
    Ok(match (deduplicate.domain, deduplicate.keep_last) {
        (TimeDomain::Event, true) => Box::new(KeepLast::new(keys, Some(time), types, state)?),
        (TimeDomain::Event, false) => Box::new(FirstByTime::new(keys, time, types, state)?),
        (TimeDomain::Processing, true) => Box::new(KeepLast::new(keys, None, types, state)?),
        (TimeDomain::Processing, false) => Box::new(KeepFirst::new(keys, types, state)?),
    })
}

/// Makes a sort by time.
fn temporal_sort(sort: &plan::Sort, making: &Making<'_>) -> Result<BoxedOperator> {
    let input = making.input()?;
    let (types, state) = (input.types, input.state.clone());
    let [time, further @ ..] = sort.order.as_slice() else {
        return Err(crate::error::Error::internal(
            "a sort by time without a time",
        ));
    };
    Ok(if sort.domain == Some(TimeDomain::Event) {
        let leaving = Leaving::EventTime { time: time.column };
        Box::new(Sort::new(&sort.order, leaving, types, state)?)
    } else if further.is_empty() {
        // Rows come in the order of processing time.
        Box::new(Union)
    } else {
        Box::new(Sort::new(further, Leaving::ProcessingTime, types, state)?)
    })
}
