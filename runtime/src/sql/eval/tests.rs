//! Tests of types, casts, functions and the evaluator: expressions are built through the function table, as the binder
//! builds them, evaluated over one row and compared as text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray,
};
use proptest::prelude::*;

use super::{EvalContext, Evaluator, decimal};
use crate::batch::Batch;
use crate::error::{Kind, Span};
use crate::sql::expr::{Expr, Literal};
use crate::sql::functions::{is_function, names, resolve};
use crate::sql::text::{to_result_json, to_text};
use crate::sql::typing::{case, common_type, explicit_cast, implicit_cast};
use crate::types::{FlinkType, TypeKind};

/// A call through the function table.
fn f(name: &str, args: Vec<Expr>) -> Expr {
    resolve(name, args, Span::default()).unwrap()
}

/// A STRING literal.
fn s(value: &str) -> Expr {
    let length = u32::try_from(value.chars().count()).unwrap();
    Expr::literal(
        Literal::String(value.to_owned()),
        TypeKind::Char(length).not_null(),
    )
}

/// An INT literal.
fn i(value: i64) -> Expr {
    Expr::literal(Literal::Integer(value), TypeKind::Int.not_null())
}

/// A DOUBLE literal.
fn d(value: f64) -> Expr {
    Expr::literal(Literal::Double(value), TypeKind::Double.not_null())
}

/// A BOOLEAN literal.
fn b(value: bool) -> Expr {
    Expr::literal(Literal::Boolean(value), TypeKind::Boolean.not_null())
}

/// A DECIMAL literal.
fn n(unscaled: i128, precision: u8, scale: u8) -> Expr {
    Expr::literal(
        Literal::Decimal(unscaled),
        TypeKind::Decimal { precision, scale }.not_null(),
    )
}

/// NULL of a type.
fn null(kind: TypeKind) -> Expr {
    Expr::literal(Literal::Null, kind.nullable())
}

/// CAST.
fn cast(expr: Expr, to: TypeKind) -> Expr {
    explicit_cast(expr, to.nullable(), false, Span::default()).unwrap()
}

/// CAST of a text.
fn of(text: &str, to: TypeKind) -> Expr {
    cast(s(text), to)
}

/// An empty row.
fn one_row() -> Batch {
    Batch::inserts(Vec::new(), 1)
}

/// The text of the value, or the kind of the error.
fn run_in(expr: &Expr, zone: &str) -> Result<Option<String>, Kind> {
    let context = EvalContext {
        now_ms: 1_700_000_000_123,
        watermark_ms: Some(5),
    };
    let array = Evaluator::compile(expr, zone)
        .and_then(|evaluator| evaluator.eval(&one_row(), &context))
        .map_err(|error| error.kind)?;
    assert_eq!(
        array.data_type(),
        &expr.ty.to_arrow().unwrap(),
        "{:?}",
        expr.kind
    );
    Ok(to_text(&array, 0, &expr.ty, zone).unwrap())
}

/// The text of the value in UTC; NULL as `NULL`.
fn run(expr: &Expr) -> String {
    run_in(expr, "UTC")
        .unwrap()
        .unwrap_or_else(|| "NULL".to_owned())
}

#[test]
fn decimal_types_follow_flink() {
    let ty = |name, a, b| f(name, vec![a, b]).ty.to_string();
    assert_eq!(ty("+", n(1, 5, 2), n(1, 10, 4)), "DECIMAL(11, 4) NOT NULL");
    assert_eq!(ty("*", n(1, 19, 0), i(6)), "DECIMAL(30, 0) NOT NULL");
    assert_eq!(ty("*", n(1, 19, 0), n(1, 19, 0)), "DECIMAL(38, 0) NOT NULL");
    assert_eq!(ty("-", n(1, 19, 0), n(1, 19, 0)), "DECIMAL(20, 0) NOT NULL");
    assert_eq!(ty("/", i(-2), n(30, 2, 1)), "DECIMAL(17, 6) NOT NULL");
    assert_eq!(ty("MOD", n(1, 19, 0), i(6)), "INT NOT NULL");
    assert_eq!(ty("+", n(1, 5, 2), d(1.0)), "DOUBLE NOT NULL");
    assert_eq!(
        ty("*", n(1, 30, 10), n(1, 30, 10)),
        "DECIMAL(38, 6) NOT NULL"
    );
}

#[test]
fn arithmetic_is_javas() {
    assert_eq!(run(&f("/", vec![i(-2), n(30, 2, 1)])), "-0.666667");
    assert_eq!(run(&f("/", vec![i(7), i(-2)])), "-3");
    assert_eq!(run(&f("%", vec![i(-7), i(3)])), "-1");
    assert_eq!(
        run(&f("+", vec![i(i64::from(i32::MAX)), i(1)])),
        "-2147483648"
    );
    assert_eq!(run(&f("/", vec![d(1.0), d(0.0)])), "Infinity");
    let zero = |expr| run_in(&f("/", vec![i(1), expr]), "UTC");
    assert_eq!(zero(i(0)), Err(Kind::Data));
    assert_eq!(zero(n(0, 5, 2)), Err(Kind::Data));
    assert_eq!(
        run(&f("*", vec![n(10_i128.pow(37), 38, 0), n(100, 3, 0)])),
        "NULL"
    );
    assert_eq!(run(&f("-", vec![i(5)])), "-5");
    assert_eq!(run(&f("+", vec![i(1), null(TypeKind::Int)])), "NULL");
}

#[test]
fn logic_is_three_valued() {
    let unknown = || null(TypeKind::Boolean);
    assert_eq!(run(&f("AND", vec![unknown(), b(false)])), "FALSE");
    assert_eq!(run(&f("AND", vec![unknown(), b(true)])), "NULL");
    assert_eq!(run(&f("OR", vec![unknown(), b(true)])), "TRUE");
    assert_eq!(run(&f("NOT", vec![unknown()])), "NULL");
    assert_eq!(run(&f("IS NOT TRUE", vec![unknown()])), "TRUE");
    assert_eq!(run(&f("IS UNKNOWN", vec![unknown()])), "TRUE");
    assert_eq!(run(&f("IS FALSE", vec![unknown()])), "FALSE");
    assert_eq!(run(&f("IN", vec![i(1), i(2), null(TypeKind::Int)])), "NULL");
    assert_eq!(run(&f("IN", vec![i(2), i(2), null(TypeKind::Int)])), "TRUE");
    assert_eq!(run(&f("NOT IN", vec![i(1), i(2), i(3)])), "TRUE");
    let distinct = |x, y| run(&f("IS DISTINCT FROM", vec![x, y]));
    assert_eq!(distinct(null(TypeKind::Int), null(TypeKind::Int)), "FALSE");
    assert_eq!(distinct(null(TypeKind::Int), i(1)), "TRUE");
    assert_eq!(run(&f("BETWEEN", vec![i(2), i(1), i(2)])), "TRUE");
    assert_eq!(run(&f("NOT BETWEEN", vec![i(2), i(1), i(2)])), "FALSE");
}

#[test]
fn comparisons_align_their_operands() {
    assert_eq!(run(&f("=", vec![n(10, 2, 1), n(100, 3, 2)])), "TRUE");
    assert_eq!(run(&f("<", vec![i(1), n(11, 2, 1)])), "TRUE");
    assert_eq!(run(&f("=", vec![d(f64::NAN), d(f64::NAN)])), "FALSE");
    assert_eq!(run(&f("<>", vec![d(f64::NAN), d(f64::NAN)])), "TRUE");
    assert_eq!(run(&f("=", vec![d(0.0), d(-0.0)])), "TRUE");
    assert_eq!(run(&f(">", vec![s("b"), s("abc")])), "TRUE");
    assert_eq!(
        run(&f(
            ">",
            vec![of("2024-01-02", TypeKind::Date), s("2024-01-01")]
        )),
        "TRUE"
    );
    assert!(resolve("=", vec![s("1"), i(1)], Span::default()).is_err());
    assert_eq!(run(&f("GREATEST", vec![i(1), i(3), i(2)])), "3");
    assert_eq!(run(&f("LEAST", vec![i(2), i(3), i(1)])), "1");
    assert_eq!(run(&f("GREATEST", vec![i(1), null(TypeKind::Int)])), "NULL");
}

#[test]
fn guarded_operands_do_not_fail() {
    let divisor = Expr::column(0, TypeKind::Int.nullable());
    let ratio = f("/", vec![i(10), divisor.clone()]);
    let is_zero = f("=", vec![divisor.clone(), i(0)]);
    let batch = Batch::inserts(
        vec![Arc::new(Int32Array::from(vec![Some(0), Some(5), None])) as ArrayRef],
        3,
    );
    let values = |expr: &Expr| {
        let evaluator = Evaluator::compile(expr, "UTC").unwrap();
        let array = evaluator.eval(&batch, &EvalContext::default()).unwrap();
        (0..3)
            .map(|row| to_text(&array, row, &expr.ty, "UTC").unwrap())
            .collect::<Vec<_>>()
    };
    let text = |v: &str| Some(v.to_owned());
    let guarded = case(
        vec![(is_zero.clone(), i(-1))],
        Some(ratio.clone()),
        Span::default(),
    )
    .unwrap();
    assert_eq!(values(&guarded), [text("-1"), text("2"), None]);
    let both = f(
        "AND",
        vec![
            f("<>", vec![divisor, i(0)]),
            f(">", vec![ratio.clone(), i(1)]),
        ],
    );
    assert_eq!(values(&both), [text("FALSE"), text("TRUE"), None]);
    let either = f("OR", vec![is_zero, f(">", vec![ratio, i(1)])]);
    assert_eq!(values(&either), [text("TRUE"), text("TRUE"), None]);
}

#[test]
fn a_condition_over_columns_is_vectorised() {
    let batch = Batch::inserts(
        vec![
            Arc::new(Int64Array::from(vec![Some(400), Some(600), None])) as ArrayRef,
            Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("b")])),
        ],
        3,
    );
    let amount = Expr::column(0, TypeKind::BigInt.nullable());
    let name = Expr::column(1, TypeKind::string().nullable());
    let expr = f(
        "AND",
        vec![f(">", vec![amount, i(500)]), f("=", vec![name, s("b")])],
    );
    let mask = Evaluator::compile(&expr, "UTC")
        .unwrap()
        .eval_condition(&batch, &EvalContext::default())
        .unwrap();
    assert_eq!(
        mask,
        BooleanArray::from(vec![Some(false), Some(true), None])
    );
    assert_eq!(expr.ty.to_string(), "BOOLEAN");
}

#[test]
fn casts_between_numbers_wrap_saturate_or_give_null() {
    assert_eq!(run(&cast(n(9_123_870, 10, 3), TypeKind::TinyInt)), "-93");
    assert_eq!(run(&cast(i(1_234_567), TypeKind::SmallInt)), "-10617");
    assert_eq!(run(&cast(d(9_234_567_891.12), TypeKind::Int)), "2147483647");
    let small = TypeKind::Decimal {
        precision: 5,
        scale: 3,
    };
    assert_eq!(run(&cast(i(42), small.clone())), "42.000");
    assert_eq!(run(&cast(i(420), small.clone())), "NULL");
    assert_eq!(run(&cast(d(12.6785), small.clone())), "12.679");
    assert_eq!(run(&cast(b(true), small)), "1.000");
    assert_eq!(run(&cast(i(-5), TypeKind::Boolean)), "TRUE");
    let long = n(123_456_789_123_456_789_123_456_789, 30, 18);
    assert_eq!(run(&cast(long, TypeKind::Double)), "1.2345678912345679E8");
}

#[test]
fn casts_from_text_read_as_flink_does() {
    assert_eq!(run(&of(" 1.234 ", TypeKind::Int)), "1");
    assert_eq!(
        run(&of("-3276913443134", TypeKind::BigInt)),
        "-3276913443134"
    );
    assert_eq!(
        run_in(&of("-130", TypeKind::TinyInt), "UTC"),
        Err(Kind::Data)
    );
    assert_eq!(
        run_in(&of("Apache", TypeKind::Double), "UTC"),
        Err(Kind::Data)
    );
    assert_eq!(run(&of("-Infinity", TypeKind::Double)), "-Infinity");
    assert_eq!(run(&of("Yes", TypeKind::Boolean)), "TRUE");
    let decimal = |text| {
        of(
            text,
            TypeKind::Decimal {
                precision: 8,
                scale: 4,
            },
        )
    };
    assert_eq!(run(&decimal("1.23455")), "1.2346");
    assert_eq!(run(&decimal("12e2")), "1200.0000");
    assert_eq!(run_in(&decimal("12345.6789"), "UTC"), Err(Kind::Data));
    let lenient = explicit_cast(s("x"), TypeKind::Int.not_null(), true, Span::default()).unwrap();
    assert_eq!(
        (run(&lenient).as_str(), lenient.ty.nullable),
        ("NULL", true)
    );
    assert_eq!(run(&of("123", TypeKind::Date)), "0123-01-01");
    assert_eq!(
        run(&of("2021-09-27 12:34:56.123456789", TypeKind::Date)),
        "2021-09-27"
    );
    assert_eq!(
        run_in(&of("2021-02-30", TypeKind::Date), "UTC"),
        Err(Kind::Data)
    );
    assert_eq!(run(&of("23:45", TypeKind::Time(0))), "23:45:00");
    assert_eq!(
        run_in(&of("123", TypeKind::Time(0)), "UTC"),
        Err(Kind::Data)
    );
    assert_eq!(
        run(&of("2021-09-27 12:34:56.123456789", TypeKind::Timestamp(6))),
        "2021-09-27 12:34:56.123456"
    );
    assert_eq!(
        run_in(&of("2021/09/27", TypeKind::Timestamp(3)), "UTC"),
        Err(Kind::Data)
    );
}

#[test]
fn casts_to_strings_cut_and_pad() {
    assert_eq!(run(&of("abcdef", TypeKind::VarChar(3))), "abc");
    assert_eq!(run(&of("foo", TypeKind::Char(5))), "foo  ");
    assert_eq!(
        run(&cast(of("héllo", TypeKind::Binary(2)), TypeKind::string())),
        "h\u{fffd}"
    );
    assert_eq!(
        run(&cast(d(-3.276_913_51e12), TypeKind::string())),
        "-3.27691351E12"
    );
    assert_eq!(run(&cast(d(0.001), TypeKind::string())), "0.001");
    assert_eq!(run(&cast(d(0.000_1), TypeKind::string())), "1.0E-4");
    assert_eq!(run(&cast(d(10_000_000.0), TypeKind::string())), "1.0E7");
    assert_eq!(run(&cast(d(1_234_567.0), TypeKind::string())), "1234567.0");
    assert_eq!(
        run(&cast(
            f("ARRAY", vec![null(TypeKind::Int), i(456)]),
            TypeKind::string()
        )),
        "[NULL, 456]"
    );
    assert_eq!(
        run(&cast(
            f("ROW", vec![null(TypeKind::Int), s("abc")]),
            TypeKind::string()
        )),
        "(NULL, abc)"
    );
}

#[test]
fn casts_that_flink_rejects_are_rejected() {
    let refused = |expr: Expr, to: TypeKind| {
        explicit_cast(expr, to.nullable(), false, Span::default())
            .unwrap_err()
            .kind
            == Kind::Invalid
    };
    assert!(refused(i(1), TypeKind::bytes()));
    assert!(refused(i(1), TypeKind::Date));
    assert!(refused(of("12:00", TypeKind::Time(0)), TypeKind::Int));
    assert!(refused(
        of("2020-01-01", TypeKind::Timestamp(3)),
        TypeKind::BigInt
    ));
    assert!(refused(i(1), TypeKind::TimestampLtz(3)));
    assert!(refused(d(1.0), TypeKind::Boolean));
    assert!(refused(b(true), TypeKind::Timestamp(3)));
    assert!(implicit_cast(s("1"), &TypeKind::Int.nullable()).is_err());
    assert!(implicit_cast(i(1), &TypeKind::TinyInt.nullable()).is_err());
    assert!(implicit_cast(i(1), &TypeKind::BigInt.nullable()).is_ok());
}

#[test]
fn zones_convert_at_transitions_as_java_does() {
    let local = |text: &str| {
        let instant = cast(of(text, TypeKind::Timestamp(0)), TypeKind::TimestampLtz(0));
        run_in(
            &f("EXTRACT", vec![s("EPOCH"), instant]),
            "America/Los_Angeles",
        )
        .unwrap()
        .unwrap()
    };
    // 02:30 does not exist on that day and becomes 03:30; 01:30 in autumn exists twice and is the first.
    assert_eq!(local("2024-03-10 02:30:00"), "1710066600");
    assert_eq!(local("2024-11-03 01:30:00"), "1730622600");
    assert_eq!(local("2024-07-01 00:00:00"), "1719817200");
    let shown = run_in(
        &cast(f("TO_TIMESTAMP_LTZ", vec![i(0), i(3)]), TypeKind::string()),
        "GMT+03:00",
    );
    assert_eq!(shown.unwrap().unwrap(), "1970-01-01 03:00:00.000");
    assert!(Evaluator::compile(&i(1), "Mars/Olympus").is_err());
}

#[test]
fn strings() {
    let cases = [
        (f("UPPER", vec![s("aß")]), "ASS"),
        (f("||", vec![s("a"), s("b")]), "ab"),
        (f("CONCAT", vec![s("a"), null(TypeKind::string())]), "NULL"),
        (
            f(
                "CONCAT_WS",
                vec![s(","), s("a"), null(TypeKind::string()), s("b")],
            ),
            "a,b",
        ),
        (
            f("SUBSTRING", vec![s("This is a test String."), i(-2), i(1)]),
            "g",
        ),
        (f("SUBSTRING", vec![s("This is"), i(2), i(100)]), "his is"),
        (f("SUBSTRING", vec![s("abc"), i(2), i(-1)]), "NULL"),
        (f("SUBSTR", vec![s("1世3"), i(1), i(2)]), "1世"),
        (f("TRIM", vec![s("BOTH"), s("x"), s("xaxx")]), "a"),
        (f("TRIM", vec![s("LEADING"), s(" "), s(" a ")]), "a "),
        (f("BTRIM", vec![s("  a ")]), "a"),
        (f("LPAD", vec![s("hi"), i(4), s("??")]), "??hi"),
        (f("RPAD", vec![s("hi"), i(1), s("??")]), "h"),
        (f("POSITION", vec![s("b"), s("世b")]), "2"),
        (f("INSTR", vec![s("abc"), s("d")]), "0"),
        (f("LOCATE", vec![s("a"), s("aba"), i(2)]), "3"),
        (f("CHAR_LENGTH", vec![s("世界")]), "2"),
        (f("INITCAP", vec![s("hello wORLD")]), "Hello World"),
        (
            f("OVERLAY", vec![s("xxxxxtest"), s("xxxx"), i(6)]),
            "xxxxxxxxx",
        ),
        (
            f("OVERLAY", vec![s("xxxxxtest"), s("xxxx"), i(6), i(2)]),
            "xxxxxxxxxst",
        ),
        (f("SPLIT_INDEX", vec![s("a,b,c"), s(","), i(1)]), "b"),
        (f("SPLIT_INDEX", vec![s("a"), s(","), i(1)]), "NULL"),
        (f("REPLACE", vec![s("aXbX"), s("X"), s("-")]), "a-b-"),
        (f("REPEAT", vec![s("ab"), i(2)]), "abab"),
        (
            f("FROM_BASE64", vec![f("TO_BASE64", vec![s("hello")])]),
            "hello",
        ),
        (f("ASCII", vec![s("abc")]), "97"),
        (f("CHR", vec![i(97)]), "a"),
        (f("RIGHT", vec![s("abc"), i(2)]), "bc"),
    ];
    for (expr, expected) in cases {
        assert_eq!(run(&expr), expected, "{:?}", expr.kind);
    }
}

#[test]
fn patterns() {
    let like = |text: &str, pattern: &str| run(&f("LIKE", vec![s(text), s(pattern)]));
    assert_eq!(like("test", "t%es%t"), "TRUE");
    assert_eq!(like("a.c", "a_c"), "TRUE");
    assert_eq!(like("abc", "a.c"), "FALSE");
    assert_eq!(like("a\nb", "a%"), "TRUE");
    let escaped = |text: &str, pattern: &str, by: &str| {
        run_in(&f("LIKE", vec![s(text), s(pattern), s(by)]), "UTC")
    };
    assert_eq!(escaped("te_st", "%!_st", "!").unwrap().unwrap(), "TRUE");
    assert_eq!(escaped("te_st", "te_st", "_"), Err(Kind::Data));
    assert_eq!(run(&f("NOT LIKE", vec![s("a"), s("b")])), "TRUE");
    assert_eq!(run(&f("SIMILAR TO", vec![s("abab"), s("(ab)+")])), "TRUE");
    assert_eq!(run(&f("REGEXP", vec![s("foobar"), s("(")])), "FALSE");
    assert_eq!(
        run(&f("REGEXP_REPLACE", vec![s("foobar"), s("o"), s("X")])),
        "fXXbar"
    );
    assert_eq!(
        run(&f("REGEXP_REPLACE", vec![s("ab"), s("(a)(b)"), s("$2$1")])),
        "$2$1"
    );
    assert_eq!(
        run(&f("REGEXP_REPLACE", vec![s("ab"), s("("), s("")])),
        "NULL"
    );
    assert_eq!(
        run(&f(
            "REGEXP_EXTRACT",
            vec![s("foothebar"), s("foo(.*?)(bar)"), i(2)]
        )),
        "bar"
    );
}

#[test]
fn numbers() {
    assert_eq!(run(&f("ABS", vec![n(-125, 3, 2)])), "1.25");
    assert_eq!(run(&f("FLOOR", vec![n(-125, 3, 2)])), "-2");
    assert_eq!(run(&f("CEIL", vec![d(-1.5)])), "-1.0");
    let rounded = f("ROUND", vec![n(12_345, 5, 3), i(2)]);
    assert_eq!(
        (run(&rounded).as_str(), rounded.ty.to_string().as_str()),
        ("12.35", "DECIMAL(5, 2) NOT NULL")
    );
    assert_eq!(run(&f("ROUND", vec![d(1.005), i(2)])), "1.01");
    assert_eq!(run(&f("ROUND", vec![i(155), i(-1)])), "160");
    assert_eq!(run(&f("TRUNCATE", vec![d(-1.987), i(1)])), "-1.9");
    assert_eq!(run(&f("SIGN", vec![n(-125, 3, 2)])), "-1.00");
    assert_eq!(run(&f("POWER", vec![i(2), i(10)])), "1024.0");
    assert_eq!(run(&f("LOG", vec![i(10), i(100)])), "2.0");
    assert_eq!(run(&f("SQRT", vec![null(TypeKind::Double)])), "NULL");
}

#[test]
fn conditionals() {
    let coalesced = f("COALESCE", vec![null(TypeKind::Int), i(2)]);
    assert_eq!(
        (run(&coalesced).as_str(), coalesced.ty.nullable),
        ("2", false)
    );
    assert_eq!(run(&f("NULLIF", vec![i(1), i(1)])), "NULL");
    assert_eq!(run(&f("NULLIF", vec![i(1), i(2)])), "1");
    assert_eq!(run(&f("IF", vec![b(false), i(1), i(2)])), "2");
    assert_eq!(
        run(&f("IFNULL", vec![null(TypeKind::string()), s("x")])),
        "x"
    );
    let words = case(
        vec![(b(true), s("GREATER"))],
        Some(s("SMALLER")),
        Span::default(),
    )
    .unwrap();
    assert_eq!(words.ty.to_string(), "CHAR(7) NOT NULL");
}

#[test]
fn calendar() {
    let ts = |text: &str| of(text, TypeKind::Timestamp(6));
    let part = |unit: &str| {
        run(&f(
            "EXTRACT",
            vec![s(unit), ts("2000-01-31 11:22:33.123456")],
        ))
    };
    let expected = [
        ("MICROSECOND", "123456"),
        ("MILLISECOND", "123"),
        ("SECOND", "33"),
        ("HOUR", "11"),
        ("WEEK", "5"),
        ("DOW", "2"),
        ("ISODOW", "1"),
        ("DOY", "31"),
        ("DECADE", "200"),
        ("CENTURY", "20"),
        ("MILLENNIUM", "2"),
        ("EPOCH", "949317753"),
        ("QUARTER", "1"),
        ("ISOYEAR", "2000"),
    ];
    for (unit, value) in expected {
        assert_eq!(part(unit), value, "{unit}");
    }
    let round =
        |name: &str, unit: &str| run(&f(name, vec![ts("2020-02-29 01:56:59.987654"), s(unit)]));
    assert_eq!(round("FLOOR", "WEEK"), "2020-02-23 00:00:00.000000");
    assert_eq!(round("FLOOR", "MILLENNIUM"), "2001-01-01 00:00:00.000000");
    assert_eq!(round("CEIL", "SECOND"), "2020-02-29 01:57:00.000000");
    assert_eq!(round("CEIL", "CENTURY"), "2101-01-01 00:00:00.000000");
    let date = |text: &str| of(text, TypeKind::Date);
    assert_eq!(
        run(&f("CEIL", vec![date("1990-10-14"), s("MONTH")])),
        "1990-11-01"
    );
    let months = |n| Expr::literal(Literal::Months(n), TypeKind::IntervalYearMonth.not_null());
    assert_eq!(
        run(&f("+", vec![date("2024-01-31"), months(1)])),
        "2024-02-29"
    );
    assert_eq!(
        run(&f("-", vec![date("2024-03-31"), months(1)])),
        "2024-02-29"
    );
    let millis = Expr::literal(Literal::Millis(1), TypeKind::IntervalDayTime.not_null());
    assert_eq!(
        run(&f(
            "-",
            vec![of("2024-01-01", TypeKind::Timestamp(3)), millis]
        )),
        "2023-12-31 23:59:59.999"
    );
    let diff = |unit: &str, a: &str, z: &str| run(&f("TIMESTAMPDIFF", vec![s(unit), ts(a), ts(z)]));
    assert_eq!(diff("MONTH", "2024-01-31", "2024-02-29"), "1");
    assert_eq!(diff("DAY", "2024-01-02", "2024-01-01"), "-1");
    assert_eq!(
        run(&f("TIMESTAMPADD", vec![s("DAY"), i(1), date("2024-02-28")])),
        "2024-02-29"
    );
}

#[test]
fn times_as_text() {
    let ts = of("2024-03-05 14:07:09.012", TypeKind::Timestamp(3));
    let shown = |pattern: &str| run(&f("DATE_FORMAT", vec![ts.clone(), s(pattern)]));
    assert_eq!(shown("yyyy-MM-dd HH:mm:ss.SSS"), "2024-03-05 14:07:09.012");
    assert_eq!(
        shown("EEE d MMM yy, h:mm a 'o''clock'"),
        "Tue 5 Mar 24, 2:07 PM o'clock"
    );
    assert_eq!(
        run_in(&f("DATE_FORMAT", vec![ts.clone(), s("QQ")]), "UTC"),
        Err(Kind::Unsupported)
    );
    assert_eq!(
        run(&f(
            "TO_TIMESTAMP",
            vec![s("05/03/2024 14"), s("dd/MM/yyyy HH")]
        )),
        "2024-03-05 14:00:00.000"
    );
    assert_eq!(
        run(&f(
            "TO_TIMESTAMP",
            vec![s("20240305140709"), s("yyyyMMddHHmmss")]
        )),
        "2024-03-05 14:07:09.000"
    );
    assert_eq!(run(&f("TO_TIMESTAMP", vec![s("nonsense")])), "NULL");
    assert_eq!(run(&f("TO_DATE", vec![s("2024-03-05")])), "2024-03-05");
    assert_eq!(
        run(&f("TO_TIMESTAMP_LTZ", vec![i(-100), i(0)])),
        "1969-12-31 23:58:20.000"
    );
    assert_eq!(
        run(&f("UNIX_TIMESTAMP", vec![s("1970-01-01 00:01:00")])),
        "60"
    );
    assert_eq!(run(&f("FROM_UNIXTIME", vec![i(60)])), "1970-01-01 00:01:00");
    let now = run_in(&f("NOW", vec![]), "Asia/Tokyo");
    assert_eq!(now.unwrap().unwrap(), "2023-11-15 07:13:20.123");
    assert_eq!(run(&f("CURRENT_DATE", vec![])), "2023-11-14");
    let rowtime = of("2024-01-01", TypeKind::TimestampLtz(3));
    assert_eq!(
        run(&f("CURRENT_WATERMARK", vec![rowtime])),
        "1970-01-01 00:00:00.005"
    );
}

#[test]
fn collections() {
    let array = f("ARRAY", vec![i(1), null(TypeKind::Int), i(3)]);
    assert_eq!(run(&f("ITEM", vec![array.clone(), i(3)])), "3");
    assert_eq!(run(&f("ITEM", vec![array.clone(), i(4)])), "NULL");
    assert_eq!(run(&f("CARDINALITY", vec![array.clone()])), "3");
    assert_eq!(run_in(&f("ELEMENT", vec![array]), "UTC"), Err(Kind::Data));
    let map = f("MAP", vec![s("a"), i(1), s("b"), i(2), s("a"), i(3)]);
    assert_eq!(run(&map), "{b=2, a=3}");
    assert_eq!(run(&f("ITEM", vec![map.clone(), s("a")])), "3");
    assert_eq!(run(&f("ITEM", vec![map, s("z")])), "NULL");
    let row = f("ROW", vec![i(1), s("x")]);
    assert_eq!(run(&f("FIELD", vec![row.clone(), s("EXPR$1")])), "x");
    assert!(resolve("FIELD", vec![row, s("EXPR$2")], Span::default()).is_err());
}

#[test]
fn results_are_confluents_json() {
    let json = |expr: &Expr| {
        let evaluator = Evaluator::compile(expr, "UTC").unwrap();
        let array = evaluator.eval(&one_row(), &EvalContext::default()).unwrap();
        to_result_json(&array, 0, &expr.ty, "UTC")
            .unwrap()
            .to_string()
    };
    assert_eq!(json(&b(true)), "\"TRUE\"");
    assert_eq!(json(&null(TypeKind::Int)), "null");
    assert_eq!(
        json(&f("ARRAY", vec![i(1), null(TypeKind::Int)])),
        r#"["1",null]"#
    );
    assert_eq!(json(&f("MAP", vec![s("a"), i(1)])), r#"[["a","1"]]"#);
    assert_eq!(json(&f("ROW", vec![i(7), s("seven")])), r#"["7","seven"]"#);
    let bytes = Expr::literal(Literal::Bytes(vec![0x7f, 2]), TypeKind::bytes().not_null());
    assert_eq!(json(&bytes), "\"x'7f02'\"");
    let months = Expr::literal(Literal::Months(18), TypeKind::IntervalYearMonth.not_null());
    assert_eq!(json(&months), "\"+1-06\"");
    let millis = Expr::literal(
        Literal::Millis(14_400_000),
        TypeKind::IntervalDayTime.not_null(),
    );
    assert_eq!(json(&millis), "\"+0 04:00:00.000\"");
}

#[test]
fn unknown_names_get_a_suggestion_and_the_place() {
    let error = resolve("UPER", vec![s("a")], Span::at(2, 5)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 5: unknown function \"UPER\", did you mean \"UPPER\"?"
    );
    let error = resolve("UPPER", vec![i(1)], Span::at(1, 8)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1, column 8: UPPER does not take (INT NOT NULL), it takes (STRING)"
    );
    assert!(is_function("CONCAT_WS") && !is_function("NOPE"));
    assert!(names().is_sorted() && !names().contains(&"FIELD"));
}

#[test]
fn common_types_are_least_restrictive() {
    let common = |a: TypeKind, z: TypeKind| {
        common_type(&[&a.not_null(), &z.nullable()]).map(|ty: FlinkType| ty.to_string())
    };
    let decimal = |precision, scale| TypeKind::Decimal { precision, scale };
    assert_eq!(common(TypeKind::Int, TypeKind::BigInt).unwrap(), "BIGINT");
    assert_eq!(common(TypeKind::Int, TypeKind::Float).unwrap(), "FLOAT");
    assert_eq!(common(decimal(5, 2), TypeKind::Float).unwrap(), "DOUBLE");
    assert_eq!(
        common(decimal(5, 2), TypeKind::Int).unwrap(),
        "DECIMAL(12, 2)"
    );
    assert_eq!(
        common(TypeKind::Char(3), TypeKind::Char(5)).unwrap(),
        "VARCHAR(5)"
    );
    assert_eq!(
        common(TypeKind::Timestamp(0), TypeKind::Timestamp(3)).unwrap(),
        "TIMESTAMP(3)"
    );
    assert_eq!(common(TypeKind::string(), TypeKind::Int), None);
}

#[test]
fn an_empty_batch_has_no_row_to_fail() {
    let batch = Batch::inserts(Vec::new(), 0);
    let evaluator = Evaluator::compile(&f("/", vec![i(1), i(0)]), "UTC").unwrap();
    assert_eq!(
        evaluator
            .eval(&batch, &EvalContext::default())
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn columns_of_numbers_keep_their_nulls() {
    let batch = Batch::inserts(
        vec![
            Arc::new(
                Decimal128Array::from(vec![Some(150), None])
                    .with_precision_and_scale(5, 2)
                    .unwrap(),
            ) as ArrayRef,
            Arc::new(Float64Array::from(vec![None, Some(2.0)])),
        ],
        2,
    );
    let price = Expr::column(
        0,
        TypeKind::Decimal {
            precision: 5,
            scale: 2,
        }
        .nullable(),
    );
    let factor = Expr::column(1, TypeKind::Double.nullable());
    for (expr, expected) in [
        (f("*", vec![price.clone(), i(2)]), [Some("3.00"), None]),
        (f("*", vec![i(2), factor.clone()]), [None, Some("4.0")]),
        (f("*", vec![price, factor]), [None, None]),
    ] {
        let array = Evaluator::compile(&expr, "UTC")
            .unwrap()
            .eval(&batch, &EvalContext::default())
            .unwrap();
        for (row, expected) in expected.iter().enumerate() {
            assert_eq!(
                to_text(&array, row, &expr.ty, "UTC").unwrap().as_deref(),
                *expected
            );
        }
    }
}

proptest! {
    #[test]
    fn division_rounds_half_up(a in -10_i128.pow(18)..10_i128.pow(18), z in 1_i128..10_i128.pow(17), negative: bool) {
        let z = if negative { -z } else { z };
        // At scale 10: |q * z - a * 10^10| is at most half of z, and a tie goes away from zero.
        let Some(q) = decimal::divide((a, 0), (z, 0), (38, 10)) else {
            return Err(TestCaseError::fail("the quotient fits"));
        };
        let exact = a * 10_i128.pow(10);
        let error = (q * z - exact).unsigned_abs() * 2;
        prop_assert!(error <= z.unsigned_abs());
        if error == z.unsigned_abs() {
            prop_assert!((q * z).unsigned_abs() > exact.unsigned_abs());
        }
    }

    #[test]
    fn wide_and_narrow_division_agree(a in -10_i128.pow(30)..10_i128.pow(30), z in 1_i128..10_i128.pow(30)) {
        // A common factor changes which path is taken, not the quotient.
        let small = decimal::divide((a, 3), (z, 3), (38, 6));
        let large = decimal::divide((a * 10_000_000, 3), (z * 10_000_000, 3), (38, 6));
        prop_assert_eq!(small, large);
    }

    #[test]
    fn products_are_schoolbook(a in any::<i64>(), z in any::<i64>()) {
        let exact = i128::from(a) * i128::from(z);
        prop_assert_eq!(decimal::multiply((a.into(), 3), (z.into(), 4), (38, 7)), decimal::fit(exact, 38));
    }

    #[test]
    fn decimals_survive_text(value in -10_i128.pow(38) + 1..10_i128.pow(38), scale in 0_u8..=38) {
        let text = decimal::to_text(value, scale);
        prop_assert_eq!(decimal::parse(&text, (38, scale)), Ok(Some(value)));
    }

    #[test]
    fn narrowing_keeps_the_low_bits(value in any::<i64>()) {
        let literal = Expr::literal(Literal::Integer(value), TypeKind::BigInt.not_null());
        let low = value.rem_euclid(256);
        let expected = if low > 127 { low - 256 } else { low };
        prop_assert_eq!(run(&cast(literal, TypeKind::TinyInt)), expected.to_string());
    }

    #[test]
    fn dates_survive_text(day in -700_000_i32..2_900_000) {
        let date = Expr::literal(Literal::Date(day), TypeKind::Date.not_null());
        let text = run(&cast(date.clone(), TypeKind::string()));
        prop_assert_eq!(run(&cast(cast(date, TypeKind::string()), TypeKind::Date)), text.clone());
        let expected = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap();
        prop_assert_eq!(text, expected.format("%Y-%m-%d").to_string());
    }
}
