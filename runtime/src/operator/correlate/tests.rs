//! Collections taken apart, rows repeated, and both in steps.

use std::sync::Arc;

use arrow::array::{Int64Array, ListArray, MapArray, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};

use super::*;
use crate::batch::RowKind;
use crate::metering::SubtaskMetrics;
use crate::sql::expr::Expr;
use crate::time::SystemClock;

/// The operator of a function over the columns of these types.
fn operator(
    function: &str,
    kind: JoinKind,
    types: &[TypeKind],
    with_ordinality: bool,
) -> Correlate {
    let args = types.iter().enumerate();
    let args = args.map(|(index, ty)| Expr::column(index, ty.clone().nullable()));
    let correlate = plan::Correlate {
        kind,
        function: function.to_owned(),
        args: args.collect(),
        with_ordinality,
        columns: Vec::new(),
    };
    Correlate::new(&correlate, "UTC").unwrap()
}

/// Feeds a batch; what is emitted, by steps.
fn feed(operator: &mut Correlate, columns: Vec<ArrayRef>, kinds: &[RowKind]) -> Vec<Batch> {
    let metrics = SubtaskMetrics::default();
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    let batch = Batch {
        columns,
        rows: kinds.len(),
        kinds: Some(kinds.into()),
    };
    operator.on_batch(0, &batch, &context, &mut out).unwrap();
    while operator.emit_pending(&context, &mut out).unwrap() {}
    out.drain().collect()
}

/// Integers of a column.
fn longs(column: &ArrayRef) -> Vec<Option<i64>> {
    column.as_primitive::<Int64Type>().iter().collect()
}

/// Ordinals of a column.
fn ordinals(column: &ArrayRef) -> Vec<Option<i32>> {
    column.as_primitive::<Int32Type>().iter().collect()
}

/// A list column; a NULL list covers elements, as Arrow allows.
fn lists(element: ArrayRef, offsets: Vec<i32>, there: Vec<bool>) -> ArrayRef {
    let field = Field::new("element", element.data_type().clone(), true);
    let offsets = OffsetBuffer::new(offsets.into());
    Arc::new(ListArray::new(
        Arc::new(field),
        offsets,
        element,
        Some(NullBuffer::from(there)),
    ))
}

#[test]
fn elements_of_arrays_stand_beside_their_row() {
    let types = [TypeKind::Array(Box::new(TypeKind::BigInt.nullable()))];
    let elements: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(9)]));
    let arrays = lists(elements, vec![0, 2, 2, 3, 4], vec![true, true, true, false]);
    let kinds = [
        RowKind::Insert,
        RowKind::Insert,
        RowKind::Delete,
        RowKind::UpdateAfter,
    ];
    let mut inner = operator(UNNEST, JoinKind::Inner, &types, false);
    let made = feed(&mut inner, vec![arrays.clone()], &kinds);
    assert_eq!(longs(&made[0].columns[1]), [Some(1), None, Some(3)]);
    assert_eq!(made[0].kinds.as_deref().unwrap()[2], RowKind::Delete);
    let mut left = operator(UNNEST, JoinKind::Left, &types, true);
    let made = feed(&mut left, vec![arrays], &kinds);
    assert_eq!(
        longs(&made[0].columns[1]),
        [Some(1), None, None, Some(3), None]
    );
    assert_eq!(
        ordinals(&made[0].columns[2]),
        [Some(1), Some(2), None, Some(1), None]
    );
    assert_eq!(
        made[0].columns[0].null_count(),
        1,
        "the row without an array"
    );
}

#[test]
fn rows_become_their_fields() {
    let row = TypeKind::Row(vec![crate::types::RowField {
        name: "a".to_owned(),
        ty: TypeKind::BigInt.nullable(),
    }]);
    let types = [TypeKind::Array(Box::new(row.nullable()))];
    let field = Field::new("a", DataType::Int64, true);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![5, 6]));
    let rows = StructArray::new(
        vec![field].into(),
        vec![values],
        Some(NullBuffer::from(vec![true, false])),
    );
    let arrays = lists(Arc::new(rows), vec![0, 2], vec![true]);
    let mut operator = operator(UNNEST, JoinKind::Inner, &types, false);
    let made = feed(&mut operator, vec![arrays], &[RowKind::Insert]);
    assert_eq!(longs(&made[0].columns[1]), [Some(5), None]);
}

/// Maps from texts to numbers.
fn maps(keys: Vec<&str>, values: ArrayRef, offsets: Vec<i32>) -> ArrayRef {
    let keys: ArrayRef = Arc::new(StringArray::from(keys));
    let fields = vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", values.data_type().clone(), true),
    ];
    let entries = StructArray::new(fields.into(), vec![keys, values], None);
    let field = Field::new("entries", entries.data_type().clone(), false);
    let offsets = OffsetBuffer::new(offsets.into());
    Arc::new(MapArray::new(
        Arc::new(field),
        offsets,
        entries,
        None,
        false,
    ))
}

#[test]
fn maps_become_keys_and_values_and_multisets_repeat_their_elements() {
    let types = [TypeKind::Map(
        Box::new(TypeKind::string().not_null()),
        Box::new(TypeKind::BigInt.nullable()),
    )];
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let column = maps(vec!["x", "y"], values, vec![0, 2]);
    let mut map = operator(UNNEST, JoinKind::Inner, &types, false);
    let made = feed(&mut map, vec![column], &[RowKind::Insert]);
    let keys: Vec<_> = made[0].columns[1].as_string::<i32>().iter().collect();
    assert_eq!(keys, [Some("x"), Some("y")]);
    assert_eq!(longs(&made[0].columns[2]), [Some(1), None]);

    let types = [TypeKind::Multiset(Box::new(TypeKind::string().not_null()))];
    let counts: ArrayRef = Arc::new(Int32Array::from(vec![2, 1, 70_000]));
    let column = maps(vec!["x", "y", "z"], counts, vec![0, 2, 3]);
    let mut multiset = operator(UNNEST, JoinKind::Inner, &types, true);
    let made = feed(&mut multiset, vec![column], &[RowKind::Insert; 2]);
    let rows: Vec<usize> = made.iter().map(|batch| batch.rows).collect();
    assert_eq!(rows, [EMIT_ROWS_MAX, 70_003 - EMIT_ROWS_MAX]);
    let texts: Vec<_> = made[0].columns[1]
        .as_string::<i32>()
        .iter()
        .take(4)
        .collect();
    assert_eq!(texts, [Some("x"), Some("x"), Some("y"), Some("z")]);
    assert_eq!(ordinals(&made[0].columns[2])[..4], [1, 2, 3, 1].map(Some));
    assert_eq!(ordinals(&made[1].columns[2]).last(), Some(&Some(70_000)));
}

#[test]
fn rows_are_repeated_as_often_as_they_say() {
    let types = [TypeKind::BigInt, TypeKind::BigInt];
    let mut operator = operator(REPLICATE_ROWS, JoinKind::Inner, &types, false);
    let times: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(2),
        Some(0),
        None,
        Some(-1),
        Some(1),
    ]));
    let values: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, 9, 10, 11]));
    let made = feed(&mut operator, vec![times, values], &[RowKind::Insert; 5]);
    assert_eq!(longs(&made[0].columns[2]), [7, 7, 11].map(Some));
}
