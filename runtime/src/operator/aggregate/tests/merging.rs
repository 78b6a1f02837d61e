//! Groups that are merged are those that all rows came to.

use super::*;

/// Which rows are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// None.
    Never,
    /// Those that came to the same slice.
    FromSlice,
    /// Any.
    FromAny,
}

/// Whether a result depends on the order of rows.
fn is_ordered(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(
        function,
        F::ListAgg
            | F::ArrayAgg
            | F::ArrayAggIgnoreNulls
            | F::FirstValue
            | F::LastValue
            | F::JsonArrayAggNullOnNull
            | F::JsonArrayAggAbsentOnNull
    )
}

/// The calls of [`collecting`] and those over bitmaps and members of objects, with the types of [`rows`].
fn calls() -> (Vec<AggregateCall>, Vec<FlinkType>) {
    use AggregateFunction as F;
    let (mut calls, mut input) = collecting();
    input.push(TypeKind::Bitmap.nullable());
    let of_bitmaps = [F::BitmapAndAgg, F::BitmapOrAgg, F::BitmapXorAgg];
    calls.extend(of_bitmaps.map(|function| AggregateCall {
        argument: Some(4),
        ..call(function, TypeKind::Bitmap.nullable())
    }));
    let separated = |distinct| AggregateCall {
        argument: Some(1),
        further: vec![5],
        distinct,
        ..call(F::ListAgg, TypeKind::string().nullable())
    };
    input.push(TypeKind::string().not_null());
    calls.extend([true, false].map(separated));
    (calls, input)
}

/// Rows for [`calls`].
fn rows(values: &[Option<i64>], kinds: Option<Vec<RowKind>>) -> Batch {
    let mut batch = collected(values, kinds);
    let bitmap = |value: &Option<i64>| {
        let value = u32::try_from((*value)?).unwrap();
        let set = [7, value, value + 1].into_iter().collect();
        Some(crate::sql::eval::bitmap::write(set).unwrap())
    };
    let bitmaps: Vec<Option<Vec<u8>>> = values.iter().map(bitmap).collect();
    let bitmaps = bitmaps.iter().map(Option::as_deref);
    batch
        .columns
        .push(Arc::new(bitmaps.collect::<arrow::array::BinaryArray>()));
    let separators = values.iter().map(|_| Some("; "));
    batch
        .columns
        .push(Arc::new(separators.collect::<StringArray>()));
    batch
}

/// Empty accumulators for some groups.
fn accumulators(retracts: bool, groups: usize) -> Aggregates {
    let (calls, input) = calls();
    let mut aggregates = Aggregates::new(&calls, &input, retracts).unwrap();
    aggregates.resize(groups);
    aggregates
}

/// The accumulators of a group as a snapshot gives them back.
fn restored(aggregates: &Aggregates, group: u32, retracts: bool) -> Aggregates {
    let mut bytes = Vec::new();
    aggregates.write(group, &mut bytes);
    let mut restored = accumulators(retracts, 1);
    let mut reader = Reader::new(&bytes);
    restored.read(0, &mut reader).unwrap();
    assert!(reader.is_empty());
    restored
}

/// Slices of rows.
#[derive(Debug)]
struct Changes {
    /// Values of each slice with their kinds.
    slices: Vec<(Vec<Option<i64>>, Vec<RowKind>)>,
    /// Values of each slice that are left in it, where rows are not taken from any.
    left: Vec<Vec<Option<i64>>>,
}

/// Makes changes of wishes for a value and its removal.
fn changes(wishes: Vec<Vec<(Option<i64>, bool)>>, removal: Removal) -> Changes {
    let mut left: Vec<Vec<Option<i64>>> = vec![Vec::new(); wishes.len()];
    let mut slices = Vec::new();
    for (slice, wishes) in wishes.into_iter().enumerate() {
        let (mut values, mut kinds) = (Vec::new(), Vec::new());
        for (value, wants_removal) in wishes {
            let holders = match removal {
                Removal::Never => 0..0,
                Removal::FromSlice => slice..slice + 1,
                Removal::FromAny => 0..slice + 1,
            };
            let find = |holder: usize| {
                let place = left[holder].iter().position(|held| *held == value);
                place.map(|place| (holder, place))
            };
            let found = holders.filter(|_| wants_removal).find_map(find);
            kinds.push(if let Some((holder, place)) = found {
                left[holder].remove(place);
                RowKind::Delete
            } else {
                left[slice].push(value);
                RowKind::Insert
            });
            values.push(value);
        }
        slices.push((values, kinds));
    }
    Changes { slices, left }
}

proptest! {
    /// Slices, merged in the order of time after a restore, give what all rows give that are left in them.
    #[test]
    fn merged_slices_are_one_group(
        wishes in prop::collection::vec(
            prop::collection::vec((prop::option::weighted(0.9, 0_i64..6), any::<bool>()), 0..12),
            1..5,
        ),
        removal in prop::sample::select(vec![Removal::Never, Removal::FromSlice, Removal::FromAny]),
    ) {
        let retracts = removal != Removal::Never;
        let Changes { slices, left } = changes(wishes, removal);
        let mut merged = accumulators(retracts, 2);
        prop_assert!(merged.can_merge());
        for (values, kinds) in slices {
            let mut slice = accumulators(retracts, 1);
            if !values.is_empty() {
                let kinds = retracts.then_some(kinds);
                slice.update(&rows(&values, kinds), &vec![0; values.len()]).unwrap();
            }
            let slice = restored(&slice, 0, retracts);
            merged.merge(&slice, &[Merged { into: 1, from: 0 }]).unwrap();
        }
        let left: Vec<Option<i64>> = left.into_iter().flatten().collect();
        let mut whole = accumulators(false, 1);
        if !left.is_empty() {
            whole.update(&rows(&left, None), &vec![0; left.len()]).unwrap();
        }
        let expected = whole.evaluate(&[0]).unwrap();
        let of_merged = merged.evaluate(&[1]).unwrap();
        let of_restored = restored(&merged, 1, retracts).evaluate(&[0]).unwrap();
        for (index, call) in calls().0.iter().enumerate() {
            prop_assert_eq!(&of_restored[index], &of_merged[index], "{:?}", call);
            // A value that is taken from another slice is not found in an order, and a copy that stays keeps the place of one that went.
            let is_settled = match removal {
                Removal::Never => true,
                Removal::FromSlice => !call.distinct,
                Removal::FromAny => false,
            };
            if is_settled || !is_ordered(call.function) {
                prop_assert_eq!(&of_merged[index], &expected[index], "{:?} of {:?}", call, left);
            }
        }
        prop_assert_eq!(merged.evaluate(&[0]).unwrap(), accumulators(retracts, 1).evaluate(&[0]).unwrap());
        merged.clear(1);
        prop_assert_eq!(merged.heap_bytes(), 0);
    }

    /// Moments of slices become those of all values.
    #[test]
    fn merged_moments_are_close(slices in prop::collection::vec(prop::collection::vec(-1000_i32..1000, 0..10), 1..5)) {
        let (int, double) = (TypeKind::Int.nullable(), TypeKind::Double.nullable());
        let calls = [AggregateFunction::VarPop, AggregateFunction::StddevSamp].map(|function| call(function, double.clone()));
        let make = || {
            let mut aggregates = Aggregates::new(&calls, std::slice::from_ref(&int), false).unwrap();
            aggregates.resize(1);
            aggregates
        };
        let (mut merged, mut whole) = (make(), make());
        for slice in slices {
            let mut own = make();
            let groups = vec![0; slice.len()];
            let batch = Batch::inserts(vec![Arc::new(Int32Array::from(slice))], groups.len());
            own.update(&batch, &groups).unwrap();
            whole.update(&batch, &groups).unwrap();
            merged.merge(&own, &[Merged { into: 0, from: 0 }]).unwrap();
        }
        let of = |aggregates: &Aggregates| -> Vec<Option<f64>> {
            let results = aggregates.evaluate(&[0]).unwrap();
            let result = |array: &ArrayRef| array.as_primitive::<arrow::datatypes::Float64Type>().iter().next().unwrap();
            results.iter().map(result).collect()
        };
        for (merged, whole) in of(&merged).into_iter().zip(of(&whole)) {
            let is_close = match (merged, whole) {
                (Some(merged), Some(whole)) => (merged - whole).abs() <= 1e-9 * (1.0 + whole),
                (merged, whole) => merged == whole,
            };
            prop_assert!(is_close, "{merged:?} instead of {whole:?}");
        }
    }
}

#[test]
fn members_of_merged_objects_are_told_twice() {
    let text = TypeKind::string().nullable();
    let input = [text.clone(), text.clone()];
    let object = AggregateCall {
        further: vec![1],
        ..call(AggregateFunction::JsonObjectAggNullOnNull, text.clone())
    };
    let single = call(AggregateFunction::SingleValue, text);
    let make = |keys: Vec<&str>| {
        let calls = [object.clone(), single.clone()];
        let mut aggregates = Aggregates::new(&calls, &input, false).unwrap();
        aggregates.resize(1);
        let (rows, values) = (keys.len(), vec!["1"; keys.len()]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(keys)),
            Arc::new(StringArray::from(values)),
        ];
        let batch = Batch::inserts(columns, rows);
        aggregates.update(&batch, &vec![0; rows]).unwrap();
        aggregates
    };
    let mut merged = make(vec![]);
    merged
        .merge(&make(vec!["a"]), &[Merged { into: 0, from: 0 }])
        .unwrap();
    let results = merged.evaluate(&[0]).unwrap();
    assert_eq!(results[0].as_string::<i32>().value(0), r#"{"a":1}"#);
    assert_eq!(results[1].as_string::<i32>().value(0), "a");
    for (key, message) in [
        ("b", "more than one row"),
        ("a", "the key 'a' is there twice"),
    ] {
        let mut merged = make(vec!["a"]);
        merged
            .merge(&make(vec![key]), &[Merged { into: 0, from: 0 }])
            .unwrap();
        let error = merged.evaluate(&[0]).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}
