//! Checks of nested columns.

use arrow::array::{Int64Array, ListArray, MapArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};

use super::*;
use crate::metering::SubtaskMetrics;
use crate::plan::Column;
use crate::time::SystemClock;
use crate::types::RowField;

/// Columns of a sink: an id, a row with a short text and a list, and a map.
fn columns() -> Vec<Column> {
    let field = |name: &str, ty: FlinkType| RowField {
        name: name.to_owned(),
        ty,
    };
    let numbers = TypeKind::Array(Box::new(TypeKind::BigInt.not_null()));
    let row = TypeKind::Row(vec![
        field("code", TypeKind::Char(2).not_null()),
        field("numbers", numbers.nullable()),
    ]);
    let map = TypeKind::Map(
        Box::new(TypeKind::string().not_null()),
        Box::new(TypeKind::BigInt.not_null()),
    );
    let column = |name: &str, ty: FlinkType| Column {
        name: name.to_owned(),
        ty,
    };
    vec![
        column("id", TypeKind::BigInt.not_null()),
        column("r", row.nullable()),
        column("m", map.nullable()),
    ]
}

/// A row of such a sink: id, code and numbers unless the whole row is NULL, and the value of the map's only key.
type Row = (
    Option<i64>,
    Option<(Option<&'static str>, &'static [Option<i64>])>,
    Option<Option<i64>>,
);

/// Rows as columns.
fn batch(rows: &[Row]) -> Batch {
    let types: Vec<DataType> = columns().iter().map(|c| c.ty.to_arrow().unwrap()).collect();
    let ids: Int64Array = rows.iter().map(|row| row.0).collect();
    let codes: StringArray = rows.iter().map(|row| row.1.and_then(|r| r.0)).collect();
    let numbers = rows.iter().map(|row| row.1.map(|r| r.1.iter().copied()));
    let numbers = ListArray::from_iter_primitive::<Int64Type, _, _>(numbers);
    let DataType::Struct(fields) = &types[1] else {
        panic!("{types:?}");
    };
    let DataType::List(element) = fields[1].data_type() else {
        panic!("{fields:?}");
    };
    let (_, offsets, values, nulls) = numbers.into_parts();
    let numbers = ListArray::new(element.clone(), offsets, values, nulls);
    let parts: Vec<ArrayRef> = vec![Arc::new(codes), Arc::new(numbers)];
    let present = rows.iter().map(|row| row.1.is_some()).collect();
    let row = StructArray::new(fields.clone(), parts, Some(present));
    let DataType::Map(field, sorted) = &types[2] else {
        panic!("{types:?}");
    };
    let DataType::Struct(entries) = field.data_type() else {
        panic!("{field:?}");
    };
    let values: Vec<Option<i64>> = rows.iter().filter_map(|row| row.2).collect();
    let keys = StringArray::from(vec!["k"; values.len()]);
    let parts: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(Int64Array::from(values))];
    let entries = StructArray::new(entries.clone(), parts, None);
    let lengths = rows.iter().map(|row| usize::from(row.2.is_some()));
    let present = rows.iter().map(|row| row.2.is_some()).collect();
    let offsets = OffsetBuffer::from_lengths(lengths);
    let map = MapArray::new(field.clone(), offsets, entries, Some(present), *sorted);
    Batch::inserts(
        vec![Arc::new(ids), Arc::new(row), Arc::new(map)],
        rows.len(),
    )
}

/// What an enforcer makes of rows.
fn run(
    (not_null, type_length, nested): (NotNullEnforcer, TypeLengthEnforcer, NestedEnforcer),
    batch: &Batch,
) -> Result<Option<Batch>> {
    let mut enforcer = ConstraintEnforcer::new(&plan::ConstraintEnforcer {
        columns: columns(),
        not_null,
        type_length,
        nested,
    });
    let metrics = SubtaskMetrics::default();
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    enforcer.on_batch(0, batch, &context, &mut out)?;
    Ok(out.drain().next())
}

/// The ids of rows.
fn ids(batch: Option<Batch>) -> Vec<i64> {
    let ids = |batch: Batch| {
        batch.columns[0]
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    batch.map(ids).unwrap_or_default()
}

/// Rows that each break another promise, behind a first one that keeps them all.
const ROWS: [Row; 6] = [
    (
        Some(0),
        Some((Some("ab"), &[Some(1), Some(2)])),
        Some(Some(1)),
    ),
    (Some(1), None, None),
    (Some(2), Some((None, &[])), Some(Some(1))),
    (Some(3), Some((Some("ab"), &[Some(1), None])), Some(Some(1))),
    (Some(4), Some((Some("abc"), &[])), Some(None)),
    (Some(5), Some((Some("a"), &[Some(7)])), None),
];

#[test]
fn rows_are_dropped_as_deep_as_is_looked() {
    use NestedEnforcer::{Ignore, Rows, RowsAndCollections};
    for (nested, kept) in [
        (Ignore, vec![0, 1, 2, 3, 4, 5]),
        (Rows, vec![0, 1, 3, 4, 5]),
        (RowsAndCollections, vec![0, 1, 5]),
    ] {
        let rules = (NotNullEnforcer::Drop, TypeLengthEnforcer::Ignore, nested);
        assert_eq!(ids(run(rules, &batch(&ROWS)).unwrap()), kept, "{nested:?}");
        // Parts of batches have offsets.
        let part = batch(&ROWS).slice(2, 4);
        let kept: Vec<i64> = kept.into_iter().filter(|id| *id >= 2).collect();
        assert_eq!(ids(run(rules, &part).unwrap()), kept, "{nested:?}");
    }
}

#[test]
fn errors_name_the_place() {
    use NestedEnforcer::{Rows, RowsAndCollections};
    use NotNullEnforcer::{Drop, Error};
    use TypeLengthEnforcer::Ignore;
    let error = TypeLengthEnforcer::Error;
    for (row, rules, said) in [
        (
            2,
            (Error, Ignore, Rows),
            "column \"r.code\" of the sink is NOT NULL",
        ),
        (
            3,
            (Error, Ignore, RowsAndCollections),
            "column \"r.numbers[1]\" of the sink is NOT NULL",
        ),
        (
            4,
            (Error, Ignore, RowsAndCollections),
            "column \"m[value]\" of the sink is NOT NULL",
        ),
        (
            4,
            (Drop, error, Rows),
            "column \"r.code\" of the sink is CHAR(2) and a row has a value of length 3",
        ),
        (
            5,
            (Drop, error, Rows),
            "column \"r.code\" of the sink is CHAR(2) and a row has a value of length 1",
        ),
    ] {
        let found = run(rules, &batch(&[ROWS[0], ROWS[1], ROWS[row]])).unwrap_err();
        assert!(found.to_string().contains(said), "{found}");
        let part = batch(&[ROWS[row], ROWS[0]]);
        assert!(run(rules, &part.slice(1, 1)).is_ok());
    }
    // What is dropped fails nothing.
    let no_id = (None, ROWS[4].1, None);
    assert!(
        run((Drop, error, RowsAndCollections), &batch(&[no_id]))
            .unwrap()
            .is_none()
    );
    let found = run((Error, error, Rows), &batch(&[no_id])).unwrap_err();
    assert!(
        found
            .to_string()
            .contains("column \"id\" of the sink is NOT NULL")
    );
}

#[test]
fn values_in_rows_are_cut_and_filled_up() {
    let rules = (
        NotNullEnforcer::Error,
        TypeLengthEnforcer::TrimPad,
        NestedEnforcer::Rows,
    );
    let rows = [ROWS[0], ROWS[1], ROWS[4], ROWS[5]];
    let found = run(rules, &batch(&rows)).unwrap().unwrap();
    let codes = found.columns[1].as_struct().column(0);
    let codes: Vec<Option<&str>> = codes.as_string::<i32>().iter().collect();
    assert_eq!(codes, [Some("ab"), None, Some("ab"), Some("a ")]);
    assert!(found.columns[1].is_null(1));
    let whole = batch(&rows[..2]);
    let same = run(rules, &whole).unwrap().unwrap();
    assert!(Arc::ptr_eq(&same.columns[1], &whole.columns[1]));
}
