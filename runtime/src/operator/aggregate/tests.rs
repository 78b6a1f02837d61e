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
use crate::plan::AggregateFunction;
use crate::types::TypeKind;

mod merging;

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

/// Calls over `(value BIGINT, text STRING, integer INT, percentages ARRAY<DOUBLE>)` that keep what came, or count it.
fn collecting() -> (Vec<AggregateCall>, Vec<FlinkType>) {
    use AggregateFunction as F;
    let (long, text) = (TypeKind::BigInt.nullable(), TypeKind::string().nullable());
    let doubles = TypeKind::Array(Box::new(TypeKind::Double.not_null())).not_null();
    let input = vec![
        long.clone(),
        text.clone(),
        TypeKind::Int.nullable(),
        doubles,
    ];
    let array = |ty: &FlinkType| TypeKind::Array(Box::new(ty.clone())).nullable();
    let of = |column: usize, function: F, ty: FlinkType| AggregateCall {
        argument: Some(column),
        ..call(function, ty)
    };
    let mut calls = vec![
        of(0, F::Sum0, long.clone()),
        of(1, F::ListAgg, text.clone()),
        of(0, F::ArrayAgg, array(&long)),
        of(1, F::ArrayAggIgnoreNulls, array(&text)),
        of(
            1,
            F::Collect,
            TypeKind::Multiset(Box::new(text.clone())).not_null(),
        ),
        of(0, F::FirstValue, long.clone()),
        of(1, F::FirstValue, text.clone()),
        of(0, F::LastValue, long.clone()),
        of(1, F::LastValue, text.clone()),
        of(1, F::JsonArrayAggNullOnNull, text.clone()),
        of(1, F::JsonArrayAggAbsentOnNull, text.clone()),
        of(2, F::BitmapBuildAgg, TypeKind::Bitmap.nullable()),
        of(2, F::BitmapBuildCardinalityAgg, long.clone()),
        of(1, F::Min, text.clone()),
        AggregateCall {
            further: vec![3],
            ..of(0, F::Percentile, array(&TypeKind::Double.nullable()))
        },
        AggregateCall {
            further: vec![1],
            ..of(0, F::Count, long.clone())
        },
    ];
    let distinct = calls.iter().filter(|call| call.function != F::Sum0);
    let distinct: Vec<_> = distinct
        .map(|call| AggregateCall {
            distinct: true,
            ..call.clone()
        })
        .collect();
    calls.extend(distinct);
    (calls, input)
}

/// Rows for [`collecting`].
fn collected(values: &[Option<i64>], kinds: Option<Vec<RowKind>>) -> Batch {
    let text =
        |value: &Option<i64>| value.map(|value| "ab".repeat(usize::try_from(value).unwrap()));
    let integer = |value: &Option<i64>| value.map(|value| i32::try_from(value).unwrap());
    let percentages = values.iter().map(|_| Some([0.25, 0.9].map(Some)));
    let (_, input) = collecting();
    let lists = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Float64Type, _, _>(
        percentages,
    );
    let lists = arrow::compute::cast(&lists, &input[3].to_arrow().unwrap()).unwrap();
    Batch {
        columns: vec![
            Arc::new(Int64Array::from(values.to_vec())),
            Arc::new(values.iter().map(text).collect::<StringArray>()),
            Arc::new(values.iter().map(integer).collect::<Int32Array>()),
            lists,
        ],
        rows: values.len(),
        kinds: kinds.map(Into::into),
    }
}

proptest! {
    /// What is left of any changes gives what it gives when only that comes, also after a snapshot; and memory is given back.
    #[test]
    fn collected_values_are_those_that_are_left(
        batches in prop::collection::vec(
            prop::collection::vec((prop::option::weighted(0.9, 0_i64..6), any::<bool>()), 1..20),
            1..6,
        ),
    ) {
        let (calls, input) = collecting();
        let mut aggregates = Aggregates::new(&calls, &input, true).unwrap();
        aggregates.resize(1);
        let mut left: Vec<Option<i64>> = Vec::new();
        for batch in batches {
            let (mut values, mut kinds) = (Vec::new(), Vec::new());
            for (value, wants_removal) in batch {
                let place = left.iter().position(|held| *held == value);
                let kind = match place {
                    Some(place) if wants_removal => { left.remove(place); RowKind::UpdateBefore }
                    _ => { left.push(value); RowKind::Insert }
                };
                values.push(value);
                kinds.push(kind);
            }
            let groups = vec![0; values.len()];
            aggregates.update(&collected(&values, Some(kinds)), &groups).unwrap();
            let mut stored = Vec::new();
            aggregates.write(0, &mut stored);
            let mut restored = Aggregates::new(&calls, &input, true).unwrap();
            restored.resize(1);
            let mut reader = Reader::new(&stored);
            restored.read(0, &mut reader).unwrap();
            prop_assert!(reader.is_empty());
            let mut anew = Aggregates::new(&calls, &input, false).unwrap();
            anew.resize(1);
            if !left.is_empty() {
                anew.update(&collected(&left, None), &vec![0; left.len()]).unwrap();
            }
            let results = aggregates.evaluate(&[0]).unwrap();
            let of_restored = restored.evaluate(&[0]).unwrap();
            let of_anew = anew.evaluate(&[0]).unwrap();
            for (index, call) in calls.iter().enumerate() {
                prop_assert_eq!(&results[index], &of_restored[index], "{:?}", call);
                // A copy that stays keeps the place of one that went, so the order of distinct values is not that of what is left.
                let is_ordered = call.distinct && !matches!(
                    call.function,
                    AggregateFunction::Collect | AggregateFunction::BitmapBuildAgg
                        | AggregateFunction::BitmapBuildCardinalityAgg | AggregateFunction::Min
                        | AggregateFunction::Percentile | AggregateFunction::Count
                );
                if !is_ordered {
                    prop_assert_eq!(&results[index], &of_anew[index], "{:?} of {:?}", call, left);
                }
            }
        }
        aggregates.clear(0);
        prop_assert_eq!(aggregates.heap_bytes(), 0);
    }

    /// Moments with retractions are close to those of what is left.
    #[test]
    fn moments_follow_retractions(values in prop::collection::vec((-1000_i64..1000, any::<bool>()), 2..40)) {
        let (long, double) = (TypeKind::BigInt.nullable(), TypeKind::Double.nullable());
        let calls = [call(AggregateFunction::VarPop, double.clone()), call(AggregateFunction::StddevSamp, double)];
        let mut aggregates = Aggregates::new(&calls, std::slice::from_ref(&long), true).unwrap();
        aggregates.resize(1);
        let (mut rows, mut kinds, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for (value, stays) in values {
            rows.push(value);
            kinds.push(RowKind::Insert);
            if stays {
                left.push(value);
            } else {
                rows.push(value);
                kinds.push(RowKind::Delete);
            }
        }
        let count = rows.len();
        let batch = Batch { columns: vec![Arc::new(Int64Array::from(rows))], rows: count, kinds: Some(kinds.into()) };
        aggregates.update(&batch, &vec![0; count]).unwrap();
        let results = aggregates.evaluate(&[0]).unwrap();
        let result = |index: usize| {
            let array = results[index].as_primitive::<arrow::datatypes::Float64Type>();
            array.is_valid(0).then(|| array.value(0))
        };
        let double = |value: i64| f64::from(i32::try_from(value).unwrap());
        let n = double(i64::try_from(left.len()).unwrap());
        let mean = double(left.iter().sum()) / n;
        let squares: f64 = left.iter().map(|value| (double(*value) - mean).powi(2)).sum();
        let is_close = |result: Option<f64>, expected: f64| result.is_some_and(|r| (r - expected).abs() < 1e-3);
        let population = if left.is_empty() { result(0).is_none() } else { is_close(result(0), squares / n) };
        prop_assert!(population, "{:?}", result(0));
        let sample = (squares / (n - 1.0)).sqrt();
        let sample = if left.len() < 2 { result(1).is_none() } else { is_close(result(1), sample) };
        prop_assert!(sample, "{:?}", result(1));
    }
}

#[test]
fn bitmaps_of_an_updating_input_are_counted() {
    use AggregateFunction as F;
    use RowKind::{Delete, Insert};
    let bitmap = TypeKind::Bitmap.nullable();
    let bytes =
        |values: &[u32]| crate::sql::eval::bitmap::write(values.iter().copied().collect()).unwrap();
    let sets = [bytes(&[1, 2]), bytes(&[2, 3]), bytes(&[1, 2])];
    let column: ArrayRef = Arc::new(arrow::array::BinaryArray::from_iter_values(&sets));
    let expect = |function, retracts: bool, expected: &[u32]| {
        let kinds = retracts.then(|| vec![Insert, Insert, Delete]);
        let result = run(
            &call(function, bitmap.clone()),
            &bitmap,
            column.clone(),
            kinds,
            &[0; 3],
        );
        assert_eq!(
            result.as_binary::<i32>().value(0),
            bytes(expected),
            "{function:?}"
        );
    };
    expect(F::BitmapOrAgg, true, &[2, 3]);
    expect(F::BitmapAndAgg, true, &[2, 3]);
    expect(F::BitmapXorAgg, true, &[2, 3]);
    expect(F::BitmapOrAgg, false, &[1, 2, 3]);
    expect(F::BitmapAndAgg, false, &[2]);
    expect(F::BitmapXorAgg, false, &[2, 3]);
}

#[test]
fn values_without_a_result_are_an_error() {
    let text = TypeKind::string().nullable();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a", "a"])),
        Arc::new(StringArray::from(vec!["1", "2"])),
    ];
    let input = [text.clone(), text.clone()];
    let single = call(AggregateFunction::SingleValue, text.clone());
    let object = AggregateCall {
        further: vec![1],
        ..call(AggregateFunction::JsonObjectAggNullOnNull, text)
    };
    for (call, message) in [
        (single, "more than one row"),
        (object, "the key 'a' is there twice"),
    ] {
        let mut aggregates = Aggregates::new(&[call], &input, false).unwrap();
        aggregates.resize(2);
        let batch = Batch::inserts(columns.clone(), 2);
        aggregates.update(&batch, &[0, 1]).unwrap();
        assert!(aggregates.evaluate(&[0, 1]).is_ok());
        aggregates.update(&batch, &[0, 1]).unwrap();
        let error = aggregates.evaluate(&[0]).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}
