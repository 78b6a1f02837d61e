//! The order of elements: `ARRAY_SORT`, `ARRAY_MAX` and `ARRAY_MIN`.
//!
//! Place in the flow: rows of the function table. Invariant: elements are numbers, text, bytes, dates or times; NULLs have a
//! place of their own and are never compared.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;

use super::super::rules::count;
use super::super::{Function, Resolve, call, mismatch};
use super::lists::{Lists, Picks};
use super::signatures::{converted, element_of, strict};
use crate::error::{Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::compare::{Comparator, comparator};
use crate::sql::expr::Expr;
use crate::types::{FlinkType, TypeKind};

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("ARRAY_SORT", Resolve::Custom(sort_type), sort),
        Function::new("ARRAY_MAX", Resolve::Custom(extreme_type), |call| {
            extreme(call, Ordering::Greater)
        }),
        Function::new("ARRAY_MIN", Resolve::Custom(extreme_type), |call| {
            extreme(call, Ordering::Less)
        }),
    ]
}

/// What the functions of this file take.
const EXPECTED: &str = "an ARRAY of numbers, text, bytes, dates or times";

/// The type of elements that have an order.
///
/// # Source
/// Flink: `ARRAY<COMPARABLE>` is an array of numbers, character strings, byte strings, dates, times or timestamps.
fn ordered_element(name: &str, args: &[Expr]) -> Result<FlinkType> {
    let element = element_of(name, args, 0, EXPECTED)?;
    let kind = &element.kind;
    let ordered = kind.is_numeric()
        || kind.is_character()
        || kind.is_binary()
        || matches!(
            kind,
            TypeKind::Null
                | TypeKind::Date
                | TypeKind::Time(_)
                | TypeKind::Timestamp(_)
                | TypeKind::TimestampLtz(_)
        );
    if ordered {
        Ok(element)
    } else {
        Err(mismatch(name, args, EXPECTED))
    }
}

/// `ARRAY_SORT`.
fn sort_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=3)?;
    ordered_element(name, &args)?;
    let kind = args[0].ty.kind.clone();
    let expected = format!("{EXPECTED}, then up to two of BOOLEAN");
    let args = converted(name, args, 1, &TypeKind::Boolean.nullable(), &expected)?;
    Ok(strict(name, args, kind, span))
}

/// `ARRAY_MAX` and `ARRAY_MIN`: NULL also for an array without elements.
fn extreme_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let element = ordered_element(name, &args)?;
    Ok(call(name, args, element.with_nullable(true), span))
}

/// An order of all elements: NaN is above all numbers.
fn total(compare: &Comparator, i: usize, j: usize) -> Ordering {
    compare(i, j).unwrap_or_else(|| {
        let is_nan = |i| compare(i, i).is_none();
        is_nan(i).cmp(&is_nan(j))
    })
}

/// A flag that may be left out.
fn flag(call: &Call<'_>, i: usize) -> Result<Option<BooleanArray>> {
    if i < call.args.len() {
        return call.boolean_column(i).map(Some);
    }
    Ok(None)
}

/// `ARRAY_SORT(array [, ascending [, nulls first]])`: NULLs come first when they are not told apart and the order ascends.
fn sort(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::of(call, 0)?;
    let (ascending, first) = (flag(call, 1)?, flag(call, 2)?);
    let read = |flags: &Option<BooleanArray>, row, default| match flags {
        Some(flags) => flags.is_valid(row).then(|| flags.value(row)),
        None => Some(default),
    };
    let values = lists.values();
    let compare = comparator(values, values)?;
    let mut picks = Picks::default();
    for row in 0..call.rows {
        let ascending = read(&ascending, row, true);
        let first = ascending.and_then(|ascending| read(&first, row, ascending));
        let (Some(elements), Some(ascending), Some(first)) = (lists.get(row), ascending, first)
        else {
            picks.end_null();
            continue;
        };
        let (nulls, mut others): (Vec<usize>, Vec<usize>) =
            elements.partition(|element| values.is_null(*element));
        others.sort_by(|i, j| {
            let order = total(&compare, *i, *j);
            if ascending { order } else { order.reverse() }
        });
        let (before, after) = if first {
            (nulls, others)
        } else {
            (others, nulls)
        };
        picks.extend(0, before.into_iter().chain(after));
        picks.end();
    }
    picks.finish(call, &[values])
}

/// `ARRAY_MAX` and `ARRAY_MIN`.
fn extreme(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef> {
    let lists = Lists::of(call, 0)?;
    let values = lists.values();
    let compare = comparator(values, values)?;
    let indices: UInt32Array = (0..call.rows)
        .map(|row| {
            let elements = lists.get(row)?;
            let present = elements.filter(|element| values.is_valid(*element));
            let best = present.reduce(|best, element| {
                if compare(element, best) == Some(wanted) {
                    element
                } else {
                    best
                }
            })?;
            u32::try_from(best).ok()
        })
        .collect();
    Ok(take(values, &indices, None)?)
}
