//! Accumulators against plain recomputation, with NULLs, filters, retractions and snapshots.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;

use super::*;
use crate::batch::RowKind;
use crate::types::TypeKind;

/// A call over column 0.
fn call(function: AggregateFunction, ty: FlinkType) -> AggregateCall {
    AggregateCall {
        function,
        argument: Some(0),
        further: Vec::new(),
        filter: None,
        distinct: false,
        ty,
    }
}

/// Runs one call over one column in one group each.
fn run(
    call: &AggregateCall,
    input: &FlinkType,
    column: ArrayRef,
    kinds: Option<Vec<RowKind>>,
    groups: &[u32],
) -> ArrayRef {
    let mut aggregates = Aggregates::new(
        std::slice::from_ref(call),
        std::slice::from_ref(input),
        kinds.is_some(),
    )
    .unwrap();
    let size = groups.iter().max().map_or(0, |max| *max as usize + 1);
    aggregates.resize(size);
    let rows = column.len();
    let batch = Batch {
        columns: vec![column],
        rows,
        kinds: kinds.map(Into::into),
    };
    aggregates.update(&batch, groups).unwrap();
    let ids: Vec<u32> = (0..u32::try_from(size).unwrap()).collect();
    aggregates.evaluate(&ids).unwrap().remove(0)
}

#[test]
fn sum_of_int_is_int_and_wraps() {
    let int = TypeKind::Int.nullable();
    let column: ArrayRef = Arc::new(Int32Array::from(vec![Some(i32::MAX), Some(1), None]));
    let result = run(
        &call(AggregateFunction::Sum, int.clone()),
        &int,
        column,
        None,
        &[0, 0, 1],
    );
    assert_eq!(
        result.as_primitive::<Int32Type>(),
        &Int32Array::from(vec![Some(i32::MIN), None])
    );
}

#[test]
fn average_of_integers_truncates_and_of_decimals_rounds_half_up() {
    let int = TypeKind::Int.nullable();
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, -1, -2]));
    let result = run(
        &call(AggregateFunction::Avg, int.clone()),
        &int,
        column,
        None,
        &[0, 0, 1, 1],
    );
    assert_eq!(
        result.as_primitive::<Int32Type>(),
        &Int32Array::from(vec![1, -1])
    );

    let decimal = TypeKind::Decimal {
        precision: 10,
        scale: 2,
    }
    .nullable();
    let averaged = TypeKind::Decimal {
        precision: 38,
        scale: 6,
    }
    .nullable();
    let column = Decimal128Array::from(vec![100, 100, 200])
        .with_precision_and_scale(10, 2)
        .unwrap();
    let result = run(
        &call(AggregateFunction::Avg, averaged),
        &decimal,
        Arc::new(column),
        None,
        &[0, 0, 0],
    );
    let expected = Decimal128Array::from(vec![1_333_333])
        .with_precision_and_scale(38, 6)
        .unwrap();
    assert_eq!(result.as_primitive(), &expected);
}

#[test]
fn taking_the_extreme_away_uncovers_the_next() {
    use RowKind::{Delete, Insert};
    let string = TypeKind::string().nullable();
    let column: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "c", "a", "c"]));
    let kinds = Some(vec![Insert, Insert, Insert, Delete, Delete]);
    let max = run(
        &call(AggregateFunction::Max, string.clone()),
        &string,
        column.clone(),
        kinds.clone(),
        &[0; 5],
    );
    let min = run(
        &call(AggregateFunction::Min, string.clone()),
        &string,
        column,
        kinds,
        &[0; 5],
    );
    assert_eq!(max.as_string::<i32>().value(0), "b");
    assert_eq!(min.as_string::<i32>().value(0), "b");
}

#[test]
fn extremes_order_negative_floats() {
    let double = TypeKind::Double.nullable();
    let column: ArrayRef = Arc::new(Float64Array::from(vec![-1.5, -2.5, 0.5]));
    let min = run(
        &call(AggregateFunction::Min, double.clone()),
        &double,
        column.clone(),
        None,
        &[0; 3],
    );
    let max = run(
        &call(AggregateFunction::Max, double.clone()),
        &double,
        column,
        None,
        &[0; 3],
    );
    assert_eq!(min.as_primitive(), &Float64Array::from(vec![-2.5]));
    assert_eq!(max.as_primitive(), &Float64Array::from(vec![0.5]));
}

#[test]
fn filter_and_distinct_choose_rows() {
    let int = TypeKind::Int.nullable();
    let long = TypeKind::BigInt.not_null();
    let boolean = TypeKind::Boolean.nullable();
    let calls = [
        AggregateCall {
            filter: Some(1),
            ..call(AggregateFunction::Count, long.clone())
        },
        AggregateCall {
            distinct: true,
            ..call(AggregateFunction::Count, long)
        },
    ];
    let mut aggregates = Aggregates::new(&calls, &[int, boolean], false).unwrap();
    aggregates.resize(1);
    let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(2), None]));
    let filter: ArrayRef = Arc::new(BooleanArray::from(vec![
        Some(true),
        None,
        Some(false),
        Some(true),
    ]));
    aggregates
        .update(&Batch::inserts(vec![values, filter], 4), &[0; 4])
        .unwrap();
    let results = aggregates.evaluate(&[0]).unwrap();
    assert_eq!(results[0].as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(results[1].as_primitive::<Int64Type>().value(0), 2);
}

proptest! {
    /// Any sequence of insertions and retractions of present values gives what is left, before and after a snapshot.
    #[test]
    fn retraction_is_the_inverse_of_insertion(changes in prop::collection::vec((0u32..3, 0i64..5, any::<bool>()), 1..60)) {
        let long = TypeKind::BigInt.nullable();
        let functions = [AggregateFunction::Count, AggregateFunction::Sum, AggregateFunction::Avg, AggregateFunction::Min, AggregateFunction::Max];
        let mut calls: Vec<AggregateCall> = functions.map(|function| call(function, long.clone())).into();
        calls.push(AggregateCall { distinct: true, ..call(AggregateFunction::Sum, long.clone()) });
        let mut left: Vec<Vec<i64>> = vec![Vec::new(); 3];
        let (mut groups, mut values, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
        for (group, value, wants_removal) in changes {
            let present = &mut left[group as usize];
            let kind = match present.iter().position(|v| *v == value) {
                Some(at) if wants_removal => { present.remove(at); RowKind::Delete }
                _ => { present.push(value); RowKind::Insert }
            };
            groups.push(group);
            values.push(value);
            kinds.push(kind);
        }
        let mut aggregates = Aggregates::new(&calls, std::slice::from_ref(&long), true).unwrap();
        aggregates.resize(3);
        let rows = values.len();
        let batch = Batch { columns: vec![Arc::new(Int64Array::from(values))], rows, kinds: Some(kinds.into()) };
        aggregates.update(&batch, &groups).unwrap();

        let mut restored = Aggregates::new(&calls, std::slice::from_ref(&long), true).unwrap();
        restored.resize(3);
        for group in 0..3 {
            let mut bytes = Vec::new();
            aggregates.write(group, &mut bytes);
            let mut reader = Reader::new(&bytes);
            restored.read(group, &mut reader).unwrap();
            prop_assert!(reader.is_empty());
        }
        for aggregates in [&aggregates, &restored] {
            let results = aggregates.evaluate(&[0, 1, 2]).unwrap();
            for (group, left) in left.iter().enumerate() {
                let get = |i: usize| {
                    let array = results[i].as_primitive::<Int64Type>();
                    array.is_valid(group).then(|| array.value(group))
                };
                let count = i64::try_from(left.len()).unwrap();
                let sum: i64 = left.iter().sum();
                let mut distinct = left.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(get(0), Some(count));
                prop_assert_eq!(get(1), (count > 0).then_some(sum));
                prop_assert_eq!(get(2), (count > 0).then(|| sum / count));
                prop_assert_eq!(get(3), left.iter().min().copied());
                prop_assert_eq!(get(4), left.iter().max().copied());
                prop_assert_eq!(get(5), (count > 0).then(|| distinct.iter().sum()));
            }
        }
    }
}
