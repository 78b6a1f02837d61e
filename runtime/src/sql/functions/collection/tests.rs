//! Tests of collection functions: expressions as text, and calls over columns of several rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListArray};
use arrow::datatypes::Int32Type;

use proptest::prelude::*;

use super::super::resolve;
use super::super::testing::{check, check_errors, check_types, evaluate};
use crate::batch::Batch;
use crate::error::Span;
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::{Expr, Literal};
use crate::sql::text::to_text;
use crate::types::{FlinkType, TypeKind};

/// The text of one row of a column.
fn text(array: &ArrayRef, row: usize, ty: &FlinkType) -> String {
    let text = to_text(array, row, ty, "UTC").unwrap();
    text.unwrap_or_else(|| "NULL".to_owned())
}

#[test]
fn elements_are_added_at_either_end() {
    check(&[
        ("ARRAY_APPEND(ARRAY['b'], 'c')", "[b, c]"),
        ("ARRAY_PREPEND(ARRAY['b'], 'a')", "[a, b]"),
        ("ARRAY_APPEND(ARRAY[1], NULL)", "[1, NULL]"),
        ("ARRAY_APPEND(CAST(NULL AS ARRAY<INT>), 1)", "NULL"),
        (
            "ARRAY_CONCAT(ARRAY[1], ARRAY[1, 2], ARRAY[NULL])",
            "[1, 1, 2, NULL]",
        ),
        ("ARRAY_CONCAT(ARRAY[1], CAST(NULL AS ARRAY<INT>))", "NULL"),
    ]);
    check_types(&[
        ("ARRAY_APPEND(ARRAY[1], 2)", "ARRAY<INT NOT NULL> NOT NULL"),
        ("ARRAY_APPEND(ARRAY[1], NULL)", "ARRAY<INT>"),
        (
            "ARRAY_PREPEND(ARRAY[CAST(1 AS BIGINT)], 2)",
            "ARRAY<BIGINT NOT NULL> NOT NULL",
        ),
        (
            "ARRAY_CONCAT(ARRAY[1], ARRAY[CAST(2 AS BIGINT)])",
            "ARRAY<BIGINT NOT NULL> NOT NULL",
        ),
    ]);
    check_errors(&[
        (
            "ARRAY_APPEND(ARRAY[1], CAST(2 AS BIGINT))",
            "ARRAY_APPEND does not take",
        ),
        (
            "ARRAY_APPEND(ARRAY[ARRAY[1]], ARRAY[1, NULL])",
            "it takes an ARRAY and an element of it",
        ),
        (
            "ARRAY_PREPEND('a', ARRAY['b'])",
            "ARRAY_PREPEND does not take",
        ),
        (
            "ARRAY_CONCAT(ARRAY[1], ARRAY['a'])",
            "it takes arrays of one type",
        ),
    ]);
}

#[test]
fn elements_are_found_by_value() {
    check(&[
        ("ARRAY_CONTAINS(ARRAY[1, NULL], NULL)", "TRUE"),
        ("ARRAY_CONTAINS(ARRAY[1, 2], NULL)", "FALSE"),
        (
            "ARRAY_CONTAINS(ARRAY[(1, 'a'), (2, 'b')], (2, 'b'))",
            "TRUE",
        ),
        (
            "ARRAY_CONTAINS(ARRAY[CAST('NaN' AS DOUBLE)], CAST('NaN' AS DOUBLE))",
            "FALSE",
        ),
        (
            "ARRAY_CONTAINS(ARRAY[CAST(0 AS DOUBLE)], -CAST(0 AS DOUBLE))",
            "TRUE",
        ),
        ("ARRAY_POSITION(ARRAY['x', 'y', 'y'], 'y')", "2"),
        ("ARRAY_POSITION(ARRAY['x'], 'y')", "0"),
        ("ARRAY_POSITION(ARRAY['x'], NULL)", "NULL"),
        (
            "ARRAY_POSITION(ARRAY[MAP['a', 1, 'b', 2]], MAP['b', 2, 'a', 1])",
            "1",
        ),
        ("ARRAY_REMOVE(ARRAY[1, 2, 1], 1)", "[2]"),
        ("ARRAY_REMOVE(ARRAY[1, NULL], NULL)", "[1]"),
        ("ARRAY_REMOVE(ARRAY[1], 1)", "[]"),
    ]);
    check_types(&[
        (
            "ARRAY_CONTAINS(ARRAY[1], CAST(NULL AS INT))",
            "BOOLEAN NOT NULL",
        ),
        ("ARRAY_POSITION(ARRAY[1], CAST(NULL AS INT))", "INT"),
        (
            "ARRAY_REMOVE(ARRAY[1], CAST(NULL AS INT))",
            "ARRAY<INT NOT NULL> NOT NULL",
        ),
    ]);
    check_errors(&[(
        "ARRAY_CONTAINS(ARRAY[1])",
        "ARRAY_CONTAINS takes 2 arguments",
    )]);
}

#[test]
fn slices_count_from_both_ends() {
    let slice = |args: &str| {
        evaluate(&format!("ARRAY_SLICE(ARRAY[5, 6, 7, 8], {args})"))
            .unwrap()
            .0
    };
    assert_eq!(slice("2"), "[6, 7, 8]");
    assert_eq!(slice("2, 3"), "[6, 7]");
    assert_eq!(slice("-2"), "[7, 8]");
    assert_eq!(slice("-3, -2"), "[6, 7]");
    assert_eq!(slice("0, 0"), "[5]");
    assert_eq!(slice("-9, -5"), "[5]");
    assert_eq!(slice("-9, -6"), "[]");
    assert_eq!(slice("5"), "[]");
    assert_eq!(slice("3, 2"), "[]");
    assert_eq!(slice("-2147483648, 2147483647"), "[5, 6, 7, 8]");
    assert_eq!(slice("CAST(NULL AS INT)"), "NULL");
    check(&[("ARRAY_REVERSE(ARRAY_SLICE(ARRAY[1, 2, 3], 2))", "[3, 2]")]);
    check_errors(&[
        (
            "ARRAY_SLICE(ARRAY[1], CAST(1 AS BIGINT))",
            "(ARRAY, INT) or (ARRAY, INT, INT)",
        ),
        ("ARRAY_SLICE(1, 1)", "ARRAY_SLICE does not take"),
    ]);
}

#[test]
fn sets_keep_the_first_of_equal_elements() {
    check(&[
        ("ARRAY_DISTINCT(ARRAY[3, NULL, 3, NULL, 1])", "[3, NULL, 1]"),
        (
            "ARRAY_DISTINCT(ARRAY[CAST('NaN' AS FLOAT), CAST('NaN' AS FLOAT)])",
            "[NaN, NaN]",
        ),
        (
            "ARRAY_UNION(ARRAY[1, 1], ARRAY[2, NULL, 1])",
            "[1, 2, NULL]",
        ),
        ("ARRAY_EXCEPT(ARRAY[1, 2, 2, NULL], ARRAY[1])", "[2, NULL]"),
        ("ARRAY_EXCEPT(ARRAY[1, NULL], ARRAY[NULL])", "[1]"),
        (
            "ARRAY_INTERSECT(ARRAY[2, NULL, 2, 1], ARRAY[NULL, 2])",
            "[2, NULL]",
        ),
        (
            "ARRAY_INTERSECT(ARRAY[1], CAST(NULL AS ARRAY<INT>))",
            "NULL",
        ),
        (
            "ARRAY_UNION(ARRAY[(1, 'a')], ARRAY[(1, 'a'), (2, 'bc')])",
            "[(1, a), (2, bc)]",
        ),
    ]);
    check_types(&[(
        "ARRAY_EXCEPT(ARRAY[1], ARRAY[NULL, 1])",
        "ARRAY<INT> NOT NULL",
    )]);
    check_errors(&[(
        "ARRAY_UNION(ARRAY[1], 1)",
        "it takes two arrays of one type",
    )]);
}

#[test]
fn nulls_have_a_place_in_sorted_arrays() {
    check(&[
        ("ARRAY_SORT(ARRAY[2, NULL, 1])", "[NULL, 1, 2]"),
        ("ARRAY_SORT(ARRAY[2, NULL, 1], FALSE)", "[2, 1, NULL]"),
        ("ARRAY_SORT(ARRAY[2, NULL, 1], TRUE, FALSE)", "[1, 2, NULL]"),
        ("ARRAY_SORT(ARRAY[2, 1], CAST(NULL AS BOOLEAN))", "NULL"),
        ("ARRAY_SORT(ARRAY['b', 'B', 'a'])", "[B, a, b]"),
        (
            "ARRAY_SORT(ARRAY[CAST('NaN' AS DOUBLE), 1E0, CAST('NaN' AS DOUBLE)])",
            "[1.0, NaN, NaN]",
        ),
        ("ARRAY_MAX(ARRAY[1, NULL, 3])", "3"),
        (
            "ARRAY_MIN(ARRAY[DATE '2024-02-01', DATE '2024-01-31'])",
            "2024-01-31",
        ),
        ("ARRAY_MIN(ARRAY[CAST(NULL AS INT)])", "NULL"),
        ("ARRAY_MAX(ARRAY_REMOVE(ARRAY[1], 1))", "NULL"),
    ]);
    check_types(&[
        ("ARRAY_MAX(ARRAY[1])", "INT"),
        ("ARRAY_SORT(ARRAY[1], NULL)", "ARRAY<INT NOT NULL>"),
    ]);
    check_errors(&[
        ("ARRAY_SORT(ARRAY[(1, 2)])", "it takes an ARRAY of numbers"),
        ("ARRAY_MAX(ARRAY[ARRAY[1]])", "ARRAY_MAX does not take"),
        ("ARRAY_SORT(ARRAY[1], 1)", "then up to two of BOOLEAN"),
    ]);
}

#[test]
fn text_is_joined_and_split() {
    check(&[
        ("ARRAY_JOIN(ARRAY['a', NULL, 'b'], '-')", "a-b"),
        ("ARRAY_JOIN(ARRAY['a', NULL, 'b'], '-', '?')", "a-?-b"),
        ("ARRAY_JOIN(ARRAY['a'], NULL)", "NULL"),
        ("ARRAY_JOIN(ARRAY_REMOVE(ARRAY['a'], 'a'), '-')", ""),
        ("SPLIT('a::b:c', '::')", "[a, b:c]"),
        ("SPLIT(';a;;', ';')", "[, a, , ]"),
        ("SPLIT('a.b', '.')", "[a, b]"),
        ("SPLIT('aé😀', '')", "[a, é, 😀]"),
        ("CARDINALITY(SPLIT('', ','))", "0"),
        ("SPLIT(CAST(NULL AS STRING), ',')", "NULL"),
        ("ELT(2, 'a', 'bc')", "bc"),
        ("ELT(0, 'a')", "NULL"),
        ("ELT(-1, 'a')", "NULL"),
        ("ELT(CAST(NULL AS INT), 'a')", "NULL"),
        ("STR_TO_MAP('a=1,b,a=2=3')", "{b=NULL, a=2=3}"),
        ("STR_TO_MAP('a1b22c', '[0-9]+', '-')['c']", "NULL"),
        ("CARDINALITY(STR_TO_MAP('a1b22c', '[0-9]+', '-'))", "3"),
        ("STR_TO_MAP('x=,=y,,')", "{x=, =y}"),
        ("STR_TO_MAP('a', ',', CAST(NULL AS STRING))", "NULL"),
    ]);
    check_types(&[
        ("SPLIT('a', ',')", "ARRAY<STRING> NOT NULL"),
        ("ELT(1, 'a', 'b')", "CHAR(1)"),
        ("ELT(1, X'01', X'0203')", "VARBINARY(2)"),
        ("STR_TO_MAP('a')", "MAP<STRING, STRING> NOT NULL"),
    ]);
    check_errors(&[
        ("SPLIT(1, ',')", "SPLIT does not take"),
        ("ARRAY_JOIN(ARRAY[1], ',')", "(ARRAY<STRING>, STRING)"),
        ("ELT(1, 'a', X'01')", "text only or bytes only"),
        ("ELT(1.5, 'a')", "ELT does not take"),
        ("STR_TO_MAP('a', '(', '=')", "is not a regular expression"),
        ("STR_TO_MAP('a', ',')", "STR_TO_MAP does not take"),
    ]);
}

#[test]
fn maps_have_a_key_once() {
    check(&[
        ("MAP['a', 1, 'b', 2, 'a', 3]", "{b=2, a=3}"),
        ("MAP_KEYS(MAP[1, 'x', 2, 'y'])", "[1, 2]"),
        ("MAP_VALUES(MAP[1, 'x', 2, NULL])", "[x, NULL]"),
        ("MAP_ENTRIES(MAP[1, 'x'])", "[(1, x)]"),
        ("MAP_KEYS(CAST(NULL AS MAP<INT, INT>))", "NULL"),
        (
            "MAP_FROM_ARRAYS(ARRAY['k', 'l', 'k'], ARRAY[1, 2, 3])",
            "{l=2, k=3}",
        ),
        (
            "MAP_UNION(MAP['a', 1, 'b', 2], MAP['c', 3], MAP['a', 9])",
            "{b=2, c=3, a=9}",
        ),
        (
            "MAP_UNION(MAP['a', 1], CAST(NULL AS MAP<STRING, INT>))",
            "NULL",
        ),
        ("MAP[ARRAY[1], 'x', ARRAY[2], 'y'][ARRAY[2]]", "y"),
        ("MAP[1, 'x'][CAST(4294967297 AS BIGINT)]", "NULL"),
        ("MAP[CAST(1 AS BIGINT), 'x'][1]", "x"),
    ]);
    check_types(&[
        (
            "MAP_ENTRIES(MAP[1, 'x'])",
            "ARRAY<ROW<`key` INT NOT NULL, `value` CHAR(1) NOT NULL>> NOT NULL",
        ),
        (
            "MAP_UNION(MAP[1, 2], MAP[CAST(1 AS BIGINT), NULL])",
            "MAP<BIGINT NOT NULL, INT> NOT NULL",
        ),
        (
            "MAP_FROM_ARRAYS(ARRAY[1], CAST(NULL AS ARRAY<STRING>))",
            "MAP<INT NOT NULL, STRING>",
        ),
    ]);
    check_errors(&[
        (
            "MAP_FROM_ARRAYS(ARRAY[1, 2], ARRAY['a'])",
            "not of 2 keys and 1 values",
        ),
        (
            "MAP_UNION(MAP[1, 2], MAP['a', 2])",
            "it takes maps of one type",
        ),
        ("MAP_UNION()", "MAP_UNION does not take ()"),
        ("MAP_KEYS(ARRAY[1])", "it takes a MAP"),
        ("MAP['a', 1, 'b']", "pairs of a key and a value"),
    ]);
}

#[test]
fn parts_are_reached_at_any_depth() {
    check(&[
        ("ARRAY[10, 20][2]", "20"),
        ("ARRAY[10, 20][3]", "NULL"),
        ("ARRAY[10, 20][CAST(4294967297 AS BIGINT)]", "NULL"),
        (
            "ARRAY[(1, ARRAY[MAP['k', 'deep']])][1].EXPR$1[1]['k']",
            "deep",
        ),
        ("ROW('a', 2)[2]", "2"),
        (
            "CAST(ROW(1, ROW('x')) AS ROW<a INT, b ROW<c STRING>>).b.c",
            "x",
        ),
        ("ELEMENT(ARRAY['one'])", "one"),
        ("ELEMENT(ARRAY_REMOVE(ARRAY[1], 1))", "NULL"),
        ("CARDINALITY(MAP[1, 2, 3, 4])", "2"),
    ]);
    check_errors(&[
        ("ARRAY[1][0]", "counted from 1, not from 0"),
        ("ARRAY[1]['a']", "ITEM does not take"),
        ("ROW(1)[2]", "unknown field \"2\""),
        ("ELEMENT(ARRAY[1, 2])", "more than one element"),
        ("CARDINALITY('a')", "CARDINALITY does not take"),
    ]);
}

#[test]
fn nested_values_are_compared() {
    check(&[
        ("ARRAY[1, NULL] = ARRAY[1, NULL]", "TRUE"),
        ("ARRAY[1, 2] <> ARRAY[1]", "TRUE"),
        ("MAP['a', 1, 'b', 2] = MAP['b', 2, 'a', 1]", "TRUE"),
        ("ROW(1, 'a') IN (ROW(2, 'a'), ROW(1, 'a'))", "TRUE"),
        ("(1, NULL) IN ((2, NULL), (1, 2))", "NULL"),
        ("(1, NULL) NOT IN ((2, 3), (3, 3))", "TRUE"),
        ("(1, 'a') IN ((1.0, 'a'))", "TRUE"),
        ("ARRAY[1] = CAST(NULL AS ARRAY<INT>)", "NULL"),
        ("ARRAY[1] IS DISTINCT FROM CAST(NULL AS ARRAY<INT>)", "TRUE"),
        ("NULLIF(ARRAY[1], ARRAY[1])", "NULL"),
        ("COALESCE(CAST(NULL AS ARRAY<INT>), ARRAY[1])", "[1]"),
        ("GREATEST(1E0, CAST('NaN' AS DOUBLE))", "1.0"),
    ]);
    check_errors(&[
        ("(1, 2) IN ((1, 2, 3))", "= does not take"),
        ("ARRAY[1] < ARRAY[2]", "values that have an order"),
        ("GREATEST(ARRAY[1], ARRAY[2])", "GREATEST does not take"),
    ]);
}

#[test]
fn elements_of_no_type_are_null() {
    check(&[
        ("ARRAY_DISTINCT(ARRAY[NULL, NULL])", "[NULL]"),
        ("ARRAY_CONTAINS(ARRAY[NULL], NULL)", "TRUE"),
        ("ARRAY_SORT(ARRAY[NULL, NULL])", "[NULL, NULL]"),
        ("ARRAY_MAX(ARRAY[NULL])", "NULL"),
        ("ARRAY_JOIN(ARRAY[NULL], '-', 'x')", "x"),
        ("ARRAY_UNION(ARRAY[NULL], ARRAY[1])", "[NULL, 1]"),
        ("GREATEST(NULL, NULL)", "NULL"),
        ("ELT(1, NULL)", "NULL"),
        ("BITMAP_BUILD(ARRAY[NULL])", "{}"),
        ("ARRAY[NULL][1]", "NULL"),
        ("MAP['a', NULL]['a']", "NULL"),
        ("ARRAY[NULL] = ARRAY[NULL]", "TRUE"),
    ]);
    check_errors(&[
        ("MAP[NULL, 1]", "a key of a map is NULL"),
        ("ARRAY_APPEND(ARRAY[NULL], 1)", "ARRAY_APPEND does not take"),
    ]);
}

#[test]
fn type_of_names_types() {
    check(&[
        ("TYPEOF('abc')", "CHAR(3) NOT NULL"),
        ("TYPEOF(CAST(NULL AS STRING))", "STRING"),
        ("TYPEOF(CAST(NULL AS STRING), TRUE)", "VARCHAR(2147483647)"),
        ("TYPEOF(ARRAY[1], FALSE)", "ARRAY<INT NOT NULL> NOT NULL"),
        ("TYPEOF(NULL)", "NULL"),
    ]);
    check_errors(&[
        ("TYPEOF(1, 2)", "TYPEOF does not take"),
        ("TYPEOF()", "TYPEOF takes 1 to 2"),
    ]);
}

/// An array of the given elements.
fn literal(elements: &[Option<i64>]) -> Expr {
    let elements = elements.iter().map(|element| match element {
        Some(value) => number(*value),
        None => Expr::literal(Literal::Null, TypeKind::Int.nullable()),
    });
    resolve("ARRAY", elements.collect(), Span::default()).unwrap()
}

/// The text of a call.
fn value(name: &str, args: Vec<Expr>) -> String {
    let call = resolve(name, args, Span::default()).unwrap();
    let array = Evaluator::compile(&call, "UTC")
        .unwrap()
        .eval(&Batch::inserts(Vec::new(), 1), &EvalContext::default())
        .unwrap();
    text(&array, 0, &call.ty)
}

/// The text of an array.
fn listed(elements: &[Option<i64>]) -> String {
    let element = |element: &Option<i64>| element.map_or("NULL".to_owned(), |it| it.to_string());
    let elements: Vec<String> = elements.iter().map(element).collect();
    format!("[{}]", elements.join(", "))
}

/// Elements of which many are equal.
fn elements() -> impl Strategy<Value = Vec<Option<i64>>> {
    prop::collection::vec(prop::option::weighted(0.8, 0_i64..6), 1..12)
}

proptest! {
    #[test]
    fn sets_are_those_of_a_search_one_by_one(a in elements(), b in elements()) {
        let mut distinct: Vec<Option<i64>> = Vec::new();
        for element in a.iter().chain(&b) {
            if !distinct.contains(element) {
                distinct.push(*element);
            }
        }
        let kept = |keep: &dyn Fn(&Option<i64>) -> bool| {
            listed(&distinct.iter().copied().filter(|it| a.contains(it) && keep(it)).collect::<Vec<_>>())
        };
        let both = || vec![literal(&a), literal(&b)];
        prop_assert_eq!(value("ARRAY_UNION", both()), listed(&distinct));
        prop_assert_eq!(value("ARRAY_EXCEPT", both()), kept(&|it| !b.contains(it)));
        prop_assert_eq!(value("ARRAY_INTERSECT", both()), kept(&|it| b.contains(it)));
        prop_assert_eq!(value("ARRAY_DISTINCT", vec![literal(&a)]), kept(&|_| true));
        let place = a.iter().position(|it| *it == Some(3)).map_or(0, |it| it + 1);
        prop_assert_eq!(value("ARRAY_POSITION", vec![literal(&a), number(3)]), place.to_string());
    }

    #[test]
    fn slices_are_inside_the_array(a in elements(), first in -15_i64..15, last in -15_i64..15) {
        let size = i64::try_from(a.len()).unwrap();
        let place = |index: i64| if index < 0 { index + size + 1 } else { index };
        let (from, to) = (place(first).max(1), if place(last) == 0 { 1 } else { place(last) });
        let expected: Vec<Option<i64>> =
            (1..=size).zip(&a).filter(|(at, _)| *at >= from && *at <= to).map(|(_, it)| *it).collect();
        prop_assert_eq!(value("ARRAY_SLICE", vec![literal(&a), number(first), number(last)]), listed(&expected));
    }
}

/// Four arrays, one of them NULL.
fn arrays() -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), Some(2), Some(1)]),
        None,
        Some(vec![]),
        Some(vec![None, Some(3)]),
    ]))
}

/// A call over four rows of an array and a number, as text.
fn over_rows(name: &str, args: &dyn Fn(Expr, Expr) -> Vec<Expr>) -> Vec<String> {
    let element = TypeKind::Int.nullable();
    let list = TypeKind::Array(Box::new(element.clone())).nullable();
    let lists = arrow::compute::cast(&arrays(), &list.to_arrow().unwrap()).unwrap();
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(1), None, None]));
    let batch = Batch::inserts(vec![lists, numbers], 4);
    let expr = resolve(
        name,
        args(Expr::column(0, list), Expr::column(1, element)),
        Span::default(),
    )
    .unwrap();
    let array = Evaluator::compile(&expr, "UTC")
        .unwrap()
        .eval(&batch, &EvalContext::default())
        .unwrap();
    (0..4).map(|row| text(&array, row, &expr.ty)).collect()
}

#[test]
fn rows_do_not_mix() {
    assert_eq!(
        over_rows("ARRAY_REMOVE", &|list, number| vec![list, number]),
        ["[2]", "NULL", "[]", "[3]"]
    );
    assert_eq!(
        over_rows("ARRAY_PREPEND", &|list, number| vec![list, number]),
        ["[1, 1, 2, 1]", "NULL", "[NULL]", "[NULL, NULL, 3]"]
    );
    assert_eq!(
        over_rows("ARRAY_DISTINCT", &|list, _| vec![list]),
        ["[1, 2]", "NULL", "[]", "[NULL, 3]"]
    );
    assert_eq!(
        over_rows("ITEM", &|list, number| vec![list, number]),
        ["1", "NULL", "NULL", "NULL"]
    );
    assert_eq!(
        over_rows("ARRAY_MAX", &|list, _| vec![list]),
        ["2", "NULL", "NULL", "3"]
    );
}

#[test]
fn a_constant_stands_for_every_row() {
    let constant = || resolve("ARRAY", vec![number(1), number(3)], Span::default()).unwrap();
    assert_eq!(
        over_rows("ARRAY_UNION", &|list, _| vec![constant(), list]),
        ["[1, 3, 2]", "NULL", "[1, 3]", "[1, 3, NULL]"]
    );
    assert_eq!(
        over_rows("ARRAY_CONTAINS", &|_, number| vec![constant(), number]),
        ["TRUE", "TRUE", "FALSE", "FALSE"]
    );
    assert_eq!(
        over_rows("MAP", &|list, number| vec![
            resolve("COALESCE", vec![number, self::number(7)], Span::default()).unwrap(),
            list
        ]),
        ["{1=[1, 2, 1]}", "{1=NULL}", "{7=[]}", "{7=[NULL, 3]}"]
    );
}

/// An INT constant.
fn number(value: i64) -> Expr {
    Expr::literal(Literal::Integer(value), TypeKind::Int.not_null())
}

#[test]
fn bitmaps_are_sets_of_integers() {
    let set = |text: &str| format!("BITMAP_BUILD(ARRAY[{text}])");
    let (small, other) = (set("3, 1, NULL, 1"), set("3, -1"));
    for (sql, value) in [
        (small.clone(), "{1,3}"),
        (format!("BITMAP_TO_STRING({other})"), "{3,4294967295}"),
        (format!("BITMAP_TO_ARRAY({other})"), "[3, -1]"),
        (format!("BITMAP_CARDINALITY({small})"), "2"),
        (format!("BITMAP_AND({small}, {other})"), "{3}"),
        (format!("BITMAP_OR({small}, {other})"), "{1,3,4294967295}"),
        (format!("BITMAP_XOR({small}, {other})"), "{1,4294967295}"),
        (format!("BITMAP_ANDNOT({small}, {other})"), "{1}"),
        (
            format!("BITMAP_FROM_BYTES(BITMAP_TO_BYTES({small}))"),
            "{1,3}",
        ),
        (
            format!("BITMAP_FROM_BYTES(CAST({small} AS BYTES)) = {small}"),
            "TRUE",
        ),
        (format!("BITMAP_AND({small}, CAST(NULL AS BITMAP))"), "NULL"),
        (format!("CAST({small} AS STRING)"), "{1,3}"),
        (
            "BITMAP_CARDINALITY(BITMAP_BUILD(ARRAY_REMOVE(ARRAY[1], 1)))".to_owned(),
            "0",
        ),
    ] {
        assert_eq!(evaluate(&sql).unwrap().0, value, "{sql}");
    }
    check_types(&[
        ("BITMAP_BUILD(ARRAY[1])", "BITMAP NOT NULL"),
        ("BITMAP_BUILD(CAST(NULL AS ARRAY<INT>))", "BITMAP"),
        (
            "BITMAP_TO_ARRAY(BITMAP_BUILD(ARRAY[1]))",
            "ARRAY<INT> NOT NULL",
        ),
        ("BITMAP_CARDINALITY(CAST(NULL AS BITMAP))", "BIGINT"),
        ("BITMAP_TO_BYTES(BITMAP_BUILD(ARRAY[1]))", "BYTES NOT NULL"),
    ]);
    check_errors(&[
        (
            "BITMAP_BUILD(ARRAY[CAST(1 AS BIGINT)])",
            "it takes an ARRAY<INT>",
        ),
        (
            "BITMAP_AND(BITMAP_BUILD(ARRAY[1]), X'00')",
            "it takes two of BITMAP",
        ),
        ("BITMAP_FROM_BYTES('a')", "BITMAP_FROM_BYTES does not take"),
        ("BITMAP_FROM_BYTES(X'0102')", "2 bytes are not a bitmap"),
        ("CAST(X'0102' AS BITMAP)", "does not exist"),
        (
            "BITMAP_BUILD(ARRAY[1]) < BITMAP_BUILD(ARRAY[1])",
            "values that have an order",
        ),
    ]);
}

#[test]
fn a_bitmap_of_all_integers_makes_no_array() {
    // 65536 containers with the one run that covers them: a cookie, flags, then keys and cardinalities, then runs.
    let mut bytes = vec![0x3b, 0x30, 0xff, 0xff];
    bytes.extend([0xff; 8192]);
    for key in 0..=u16::MAX {
        bytes.extend(key.to_le_bytes());
        bytes.extend([0xff, 0xff]);
    }
    for container in 0..65_536_u32 {
        let start = 4 + 8192 + 65_536 * 4 + 65_536 * 4 + container * 6;
        bytes.extend(start.to_le_bytes());
    }
    for _ in 0..65_536 {
        bytes.extend([1, 0, 0, 0, 0xff, 0xff]);
    }
    let literal = Expr::literal(Literal::Bytes(bytes), TypeKind::bytes().not_null());
    let bitmap = resolve("BITMAP_FROM_BYTES", vec![literal], Span::default()).unwrap();
    let run = |name: &str| {
        let call = resolve(name, vec![bitmap.clone()], Span::default()).unwrap();
        let batch = Batch::inserts(Vec::new(), 1);
        Evaluator::compile(&call, "UTC")
            .unwrap()
            .eval(&batch, &EvalContext::default())
            .map(|array| text(&array, 0, &call.ty))
    };
    assert_eq!(run("BITMAP_CARDINALITY").unwrap(), "4294967296");
    let error = run("BITMAP_TO_ARRAY").unwrap_err();
    assert!(
        error.to_string().contains("at most 67108864 elements"),
        "{error}"
    );
}
