//! Tests of the JSON functions, from SQL text to the text of the result.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use crate::batch::Batch;
use crate::error::Kind;
use crate::plan::Operator;
use crate::sql::catalog::MemoryCatalog;
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::Expr;
use crate::sql::session::Session;
use crate::sql::text::to_text;
use crate::sql::{Bound, analyze, parse};

/// The bound expression of `SELECT ...`, after a trip through its stored form.
fn bind(sql: &str) -> Result<Expr, Kind> {
    let statements = parse(&format!("SELECT {sql}")).map_err(|error| error.kind)?;
    let bound = analyze(&statements[0], &MemoryCatalog::new(), &Session::default());
    let Bound::Query(plan, _) = bound.map_err(|error| error.kind)? else {
        panic!("{sql} is no query");
    };
    let expr = plan.nodes.iter().find_map(|node| match &node.operator {
        Operator::Calc { projections, .. } => projections.first(),
        _ => None,
    });
    let stored = serde_json::to_string(expr.unwrap()).unwrap();
    Ok(serde_json::from_str(&stored).unwrap())
}

/// Result and type of an expression, or the kind of the error.
fn run(sql: &str) -> Result<(String, String), Kind> {
    let expr = bind(sql)?;
    let array = Evaluator::compile(&expr, "UTC")
        .and_then(|evaluator| {
            evaluator.eval(&Batch::inserts(Vec::new(), 1), &EvalContext::default())
        })
        .map_err(|error| error.kind)?;
    assert_eq!(array.data_type(), &expr.ty.to_arrow().unwrap(), "{sql}");
    let text = to_text(&array, 0, &expr.ty, "UTC").unwrap();
    Ok((text.unwrap_or_else(|| "-".to_owned()), expr.ty.to_string()))
}

/// Checks results; NULL is `-`.
fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        let result = run(sql).map(|(text, _)| text);
        assert_eq!(result.as_deref(), Ok(*expected), "{sql}");
    }
}

/// Checks errors.
fn refused(kind: Kind, cases: &[&str]) {
    for sql in cases {
        assert_eq!(run(sql), Err(kind), "{sql}");
    }
}

#[test]
fn exists_follows_its_clause() {
    check(&[
        (r#"JSON_EXISTS('{"a":[1]}', '$.a[0]')"#, "TRUE"),
        (r#"JSON_EXISTS('{"a":[1]}', '$.b')"#, "FALSE"),
        (r#"JSON_EXISTS('{"a":[1]}', '$.b' TRUE ON ERROR)"#, "TRUE"),
        (
            r#"JSON_EXISTS('{"a":[1]}', 'strict $.b' UNKNOWN ON ERROR)"#,
            "-",
        ),
        (
            r#"JSON_EXISTS('{"a":[1]}', 'lax $.b' ERROR ON ERROR)"#,
            "FALSE",
        ),
        (
            r#"JSON_EXISTS('{"a":[1]}', 'lax $.b[*]' ERROR ON ERROR)"#,
            "TRUE",
        ),
        ("JSON_EXISTS('{', 'lax $' ERROR ON ERROR)", "FALSE"),
        ("JSON_EXISTS('{', 'strict $')", "FALSE"),
        (
            "JSON_EXISTS(CAST(NULL AS STRING), 'strict $' ERROR ON ERROR)",
            "-",
        ),
        ("JSON_EXISTS('1', CAST(NULL AS STRING))", "-"),
        ("NOT JSON_EXISTS('[]', '$[0]') AND TRUE", "TRUE"),
    ]);
    refused(
        Kind::Data,
        &[
            "JSON_EXISTS('{}', 'strict $.b' ERROR ON ERROR)",
            "JSON_EXISTS('{', '$' ERROR ON ERROR)",
            "JSON_EXISTS('{}', 'lax $[' ERROR ON ERROR)",
        ],
    );
    refused(
        Kind::Invalid,
        &[
            "JSON_EXISTS('{}')",
            "JSON_EXISTS(1, '$')",
            "JSON_EXISTS('{}', '$' NULL ON ERROR)",
            "JSON_EXISTS('{}', '$' TRUE ON EMPTY)",
            "`JSON_EXISTS`('{}', '$')",
        ],
    );
    assert_eq!(run("JSON_EXISTS('{}', '$')").unwrap().1, "BOOLEAN");
}

#[test]
fn value_returns_scalars_of_a_type() {
    let typed = [
        (r#"JSON_VALUE('{"a":true}', '$.a')"#, "true", "STRING"),
        (r#"JSON_VALUE('{"a":1.50}', '$.a')"#, "1.50", "STRING"),
        (r#"JSON_VALUE('{"a":1e10}', '$.a')"#, "1E+10", "STRING"),
        (r#"JSON_VALUE('{"a":"x\ty"}', '$.a')"#, "x\ty", "STRING"),
        (r#"JSON_VALUE('{"a":7}', '$.a' RETURNING INT)"#, "7", "INT"),
        (
            r#"JSON_VALUE('{"a":7}', '$.a' RETURNING BIGINT NOT NULL)"#,
            "7",
            "BIGINT",
        ),
        (
            r#"JSON_VALUE('{"a":7}', '$.a' RETURNING DOUBLE)"#,
            "7.0",
            "DOUBLE",
        ),
        (
            r#"JSON_VALUE('{"a":7.256}', '$.a' RETURNING DECIMAL(5, 2))"#,
            "7.26",
            "DECIMAL(5, 2)",
        ),
        (
            r#"JSON_VALUE('{"a":true}', '$.a' RETURNING BOOLEAN)"#,
            "TRUE",
            "BOOLEAN",
        ),
        (
            r#"JSON_VALUE('{"a":300}', '$.a' RETURNING TINYINT)"#,
            "-",
            "TINYINT",
        ),
        (
            r#"JSON_VALUE('{"a":"12"}', '$.a' RETURNING INTEGER)"#,
            "12",
            "INT",
        ),
    ];
    for (sql, value, ty) in typed {
        assert_eq!(run(sql), Ok((value.to_owned(), ty.to_owned())), "{sql}");
    }
    refused(
        Kind::Invalid,
        &[
            "JSON_VALUE('{}', '$' RETURNING DATE)",
            "JSON_VALUE('{}', '$' RETURNING ARRAY<STRING>)",
            "JSON_VALUE('{}', '$' NULL ON EMPTY NULL ON EMPTY)",
            "JSON_VALUE('{}', '$' DEFAULT 1 ON NULL)",
            "JSON_VALUE('{}')",
            "`JSON_VALUE`('{}', '$')",
        ],
    );
}

#[test]
fn value_tells_empty_from_error() {
    check(&[
        (
            "JSON_VALUE('{}', 'lax $.a' DEFAULT 'none' ON EMPTY)",
            "none",
        ),
        ("JSON_VALUE('{}', 'lax $.a' DEFAULT 'none' ON ERROR)", "-"),
        ("JSON_VALUE('{}', '$.a' DEFAULT 'none' ON EMPTY)", "-"),
        ("JSON_VALUE('{}', '$.a' DEFAULT 'bad' ON ERROR)", "bad"),
        (
            "JSON_VALUE('{}', 'lax $' DEFAULT 'empty' ON EMPTY DEFAULT 'bad' ON ERROR)",
            "empty",
        ),
        (
            "JSON_VALUE('{}', 'strict $' DEFAULT 'empty' ON EMPTY DEFAULT 'bad' ON ERROR)",
            "bad",
        ),
        (
            "JSON_VALUE('{', 'lax $.a' RETURNING INT DEFAULT 1 + 1 ON EMPTY)",
            "2",
        ),
        (
            "JSON_VALUE('[\"x\"]', '$[0]' RETURNING INT DEFAULT -1 ON ERROR)",
            "-1",
        ),
        (
            "JSON_VALUE('[1]', '$[0]' RETURNING INT NULL ON EMPTY ERROR ON ERROR)",
            "1",
        ),
        // A default that is NULL makes the whole call NULL.
        (
            "JSON_VALUE('[1]', '$[0]' DEFAULT CAST(NULL AS STRING) ON EMPTY)",
            "-",
        ),
        (
            "JSON_VALUE(CAST(NULL AS STRING), '$' ERROR ON EMPTY ERROR ON ERROR)",
            "-",
        ),
    ]);
    refused(
        Kind::Data,
        &[
            "JSON_VALUE('{}', 'lax $.a' ERROR ON EMPTY)",
            "JSON_VALUE('{}', 'strict $.a' ERROR ON ERROR)",
            "JSON_VALUE('[true]', '$[0]' RETURNING INT ERROR ON ERROR)",
        ],
    );
}

#[test]
fn defaults_are_taken_row_by_row() {
    let expr = bind("JSON_VALUE('[]', 'lax $.a' RETURNING INT DEFAULT 9 ON EMPTY)").unwrap();
    let column = Expr::column(0, crate::types::TypeKind::string().nullable());
    let crate::sql::expr::ExprKind::Call { function, mut args } = expr.kind else {
        panic!("not a call");
    };
    args[0] = column;
    let call = super::super::call(&function, args, expr.ty, expr.span);
    let texts = [Some(r#"{"a":1}"#), Some("{}"), None, Some(r#"{"a":"x"}"#)];
    let texts = Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
    let evaluator = Evaluator::compile(&call, "UTC").unwrap();
    let batch = Batch::inserts(vec![texts], 4);
    let values = evaluator.eval(&batch, &EvalContext::default()).unwrap();
    let expected: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![
        Some(1),
        Some(9),
        None,
        None,
    ]));
    assert_eq!(&values, &expected);
}

#[test]
fn query_returns_parts() {
    check(&[
        (
            r#"JSON_QUERY('{"a":{"c":1,"b":2}}', '$.a')"#,
            r#"{"b":2,"c":1}"#,
        ),
        (r#"JSON_QUERY('{"a":1}', 'lax $.a')"#, "-"),
        (r#"JSON_QUERY('{"a":1}', '$.a' WITH WRAPPER)"#, "[1]"),
        (
            r#"JSON_QUERY('{"a":[1]}', '$.a' WITH ARRAY WRAPPER)"#,
            "[[1]]",
        ),
        (
            r#"JSON_QUERY('{"a":[1]}', '$.a' WITH CONDITIONAL ARRAY WRAPPER)"#,
            "[1]",
        ),
        (
            r#"JSON_QUERY('{"a":{}}', '$.a' WITH CONDITIONAL WRAPPER)"#,
            "[{}]",
        ),
        (
            r#"JSON_QUERY('{"a":[1]}', '$.a' WITH UNCONDITIONAL WRAPPER)"#,
            "[[1]]",
        ),
        (
            r#"JSON_QUERY('{"a":[1]}', '$.a' RETURNING VARCHAR WITHOUT ARRAY WRAPPER)"#,
            "[1]",
        ),
        ("JSON_QUERY('{}', 'lax $.a' EMPTY ARRAY ON EMPTY)", "[]"),
        (
            "JSON_QUERY('{}', 'lax $.a' EMPTY OBJECT ON EMPTY NULL ON ERROR)",
            "{}",
        ),
        (
            "JSON_QUERY('{}', '$.a' NULL ON EMPTY EMPTY OBJECT ON ERROR)",
            "{}",
        ),
        ("JSON_QUERY('[1]', '$[0]' EMPTY ARRAY ON ERROR)", "[]"),
        (
            "CARDINALITY(JSON_QUERY('[1,{\"a\":2},null]', '$' RETURNING ARRAY<STRING>))",
            "3",
        ),
        (
            "JSON_QUERY('[1,{\"a\":2},\"x\"]', '$' RETURNING ARRAY<STRING>)[2]",
            r#"{"a":2}"#,
        ),
        ("JSON_QUERY('[\"x\"]', '$' RETURNING ARRAY<STRING>)[1]", "x"),
        (
            "JSON_QUERY('{}', '$' RETURNING ARRAY<STRING> EMPTY ARRAY ON ERROR)",
            "[]",
        ),
        ("JSON_QUERY('{}', '$' RETURNING ARRAY<STRING>)", "-"),
        ("JSON_QUERY('{\"a\":1}', '$.*')", "[1]"),
    ]);
    refused(
        Kind::Data,
        &[
            "JSON_QUERY('1', 'lax $' ERROR ON EMPTY)",
            "JSON_QUERY('1', '$' ERROR ON ERROR)",
        ],
    );
    refused(
        Kind::Invalid,
        &[
            "JSON_QUERY('[]', '$' RETURNING INT)",
            "JSON_QUERY('[]', '$' RETURNING ARRAY<INT>)",
            "JSON_QUERY('[]', '$' RETURNING ARRAY<STRING> EMPTY OBJECT ON ERROR)",
            "JSON_QUERY('[]', '$' WITH ARRAY)",
            "JSON_QUERY('[]', '$' DEFAULT '1' ON EMPTY)",
        ],
    );
}

#[test]
fn constructors_build_documents() {
    check(&[
        ("JSON_OBJECT()", "{}"),
        ("JSON_OBJECT(ABSENT ON NULL)", "{}"),
        (
            "JSON_OBJECT('b' VALUE 1, KEY 'a' VALUE TRUE)",
            r#"{"a":true,"b":1}"#,
        ),
        (
            "JSON_OBJECT('b' : 1.50, 'a' : 'x')",
            r#"{"a":"x","b":1.50}"#,
        ),
        ("JSON_OBJECT('k' : JSON_ARRAY(1, 'a'))", r#"{"k":[1,"a"]}"#),
        ("JSON_OBJECT('k' VALUE 1, 'k' VALUE 2)", r#"{"k":2}"#),
        ("JSON_OBJECT('k' VALUE CAST(NULL AS INT))", r#"{"k":null}"#),
        ("JSON_OBJECT('k' VALUE NULL ABSENT ON NULL)", "{}"),
        (
            "JSON_OBJECT('k' VALUE JSON_STRING('x'))",
            r#"{"k":"\"x\""}"#,
        ),
        (
            "JSON_OBJECT('k' VALUE (JSON('{\"b\":1,\"a\":2}')))",
            r#"{"k":{"a":2,"b":1}}"#,
        ),
        (
            "JSON_OBJECT('k' VALUE JSON('null') ABSENT ON NULL)",
            r#"{"k":null}"#,
        ),
        ("JSON_OBJECT('k' VALUE JSON(' ') ABSENT ON NULL)", "{}"),
        ("JSON_ARRAY()", "[]"),
        ("JSON_ARRAY(NULL ON NULL)", "[]"),
        ("JSON_ARRAY(1, NULL, 'x')", r#"[1,"x"]"#),
        ("JSON_ARRAY(1, NULL, 'x' NULL ON NULL)", r#"[1,null,"x"]"#),
        (
            "JSON_ARRAY(JSON_OBJECT('a' VALUE 1), JSON('[]'), '[]')",
            r#"[{"a":1},[],"[]"]"#,
        ),
    ]);
    assert_eq!(run("JSON_OBJECT()").unwrap().1, "STRING NOT NULL");
    assert_eq!(
        run("JSON_ARRAY(CAST(NULL AS INT))").unwrap().1,
        "STRING NOT NULL"
    );
    refused(
        Kind::Data,
        &[
            "JSON_OBJECT(KEY CAST(NULL AS STRING) VALUE 1)",
            "JSON_ARRAY(JSON('[1'))",
        ],
    );
    refused(
        Kind::Invalid,
        &[
            "JSON_OBJECT('k')",
            "JSON_OBJECT('k', 1)",
            "JSON_OBJECT(1 VALUE 1)",
            "JSON_OBJECT('k' VALUE DATE '2024-01-01')",
            "JSON_ARRAY(MAP[1, 2])",
            "JSON_ARRAY(JSON(1))",
            "JSON('{}')",
            "JSON_STRING(JSON('{}'))",
            "JSON_OBJECT(KEY JSON('{}') VALUE 1)",
            "`JSON_ARRAY`(1)",
            "1 : 2",
        ],
    );
}

#[test]
fn values_print_as_jackson_prints_them() {
    check(&[
        ("JSON_STRING('a\"\\/\u{7f}é')", "\"a\\\"\\\\/\u{7f}é\""),
        ("JSON_STRING(1.0E7)", "1.0E+7"),
        ("JSON_STRING(CAST(100 AS DOUBLE))", "100.0"),
        ("JSON_STRING(CAST(0.00000012 AS DECIMAL(10, 8)))", "1.2E-7"),
        ("JSON_STRING(CAST(1.1 AS FLOAT))", "1.100000023841858"),
        ("JSON_STRING(CAST('Infinity' AS DOUBLE))", "\"Infinity\""),
        ("JSON_STRING(X'00FF10')", "\"AP8Q\""),
        (
            "JSON_STRING(TIMESTAMP '2024-03-01 10:20:00')",
            "\"2024-03-01T10:20:00\"",
        ),
        (
            "JSON_STRING(TIMESTAMP '2024-03-01 10:20:30.120')",
            "\"2024-03-01T10:20:30.12\"",
        ),
        (
            "JSON_STRING(CAST(TIMESTAMP '2024-03-01 10:20:30' AS TIMESTAMP_LTZ(3)))",
            "\"2024-03-01T10:20:30Z\"",
        ),
        ("JSON_STRING(ARRAY[1, CAST(NULL AS INT)])", "[1,null]"),
        ("JSON_STRING(MAP['b', 1, 'a', 2])", r#"{"a":2,"b":1}"#),
        (
            "JSON_STRING(CAST(ROW(1, ROW('x')) AS ROW<z INT, a ROW<f STRING>>))",
            r#"{"a":{"f":"x"},"z":1}"#,
        ),
        ("JSON_STRING(CAST(NULL AS INT))", "-"),
        ("JSON_STRING(JSON_OBJECT('a' VALUE 1))", r#"{"a":1}"#),
    ]);
    refused(
        Kind::Invalid,
        &[
            "JSON_STRING(TIME '10:00:00')",
            "JSON_STRING()",
            "JSON_STRING(INTERVAL '1' DAY)",
        ],
    );
}

#[test]
fn quoting_and_tests() {
    check(&[
        ("JSON_QUOTE('a/b\"\\\t')", r#""a\/b\"\\\t""#),
        ("JSON_QUOTE('é😀')", r#""\u00e9\u1f600\ude00""#),
        ("JSON_UNQUOTE('\"\\u00e9\\n\\ud83d\\ude00\"')", "é\n😀"),
        ("JSON_UNQUOTE('\"a\\x\"')", "\"a\\x\""),
        ("JSON_UNQUOTE(' \"a\"')", " \"a\""),
        ("JSON_UNQUOTE('abc')", "abc"),
        ("'1' IS JSON", "TRUE"),
        ("'{}' IS JSON SCALAR", "FALSE"),
        ("'{}' IS NOT JSON ARRAY", "TRUE"),
        ("'{}' IS JSON OBJECT AND TRUE", "TRUE"),
        ("CAST(NULL AS STRING) IS JSON", "FALSE"),
        ("CAST(NULL AS STRING) IS NOT JSON VALUE", "TRUE"),
    ]);
    refused(
        Kind::Invalid,
        &["1 IS JSON", "JSON_QUOTE(1)", "JSON_UNQUOTE()"],
    );
    assert_eq!(run("'1' IS JSON").unwrap().1, "BOOLEAN NOT NULL");
}

#[test]
fn variants_hold_documents() {
    check(&[
        (
            r#"PARSE_JSON('{"b":[1,"x"], "a":1.50}')"#,
            r#"{"a":1.50,"b":[1,"x"]}"#,
        ),
        (
            "PARSE_JSON('[-0, 1e2, 1.0, 99999999999999999999]')",
            "[0,100.0,1.0,99999999999999999999]",
        ),
        ("PARSE_JSON('\"x\"')", "\"x\""),
        (r#"PARSE_JSON('{"b":[1,"x"]}')['b'][2]"#, "\"x\""),
        (r#"PARSE_JSON('{"b":1}')['a']"#, "-"),
        ("PARSE_JSON('[1]')[0]", "-"),
        ("PARSE_JSON('[1]')[2]", "-"),
        ("PARSE_JSON('[1]')['a']", "-"),
        ("TRY_PARSE_JSON('{')", "-"),
        ("TRY_PARSE_JSON('{\"a\":1,\"a\":2}')", "-"),
        ("PARSE_JSON('{\"a\":1,\"a\":2}', TRUE)", r#"{"a":2}"#),
        ("CAST(PARSE_JSON('\"x\"') AS STRING)", "x"),
        ("CAST(PARSE_JSON('[1.50]') AS STRING)", "[1.50]"),
        ("CAST(PARSE_JSON('12.7') AS INT)", "12"),
        ("CAST(PARSE_JSON('12') AS DOUBLE)", "12.0"),
        ("CAST(PARSE_JSON('true') AS BOOLEAN)", "TRUE"),
        ("CAST(PARSE_JSON('null') AS INT)", "-"),
        ("TRY_CAST(PARSE_JSON('\"1\"') AS INT)", "-"),
        ("TRY_CAST(PARSE_JSON('300') AS TINYINT)", "-"),
        ("JSON_STRING(PARSE_JSON('{ \"a\" : 1.0 }'))", r#"{"a":1.0}"#),
        ("PARSE_JSON('1') IS NULL", "FALSE"),
    ]);
    refused(
        Kind::Data,
        &[
            "PARSE_JSON('{')",
            "PARSE_JSON('{\"a\":1,\"a\":2}')",
            "CAST(PARSE_JSON('\"1\"') AS INT)",
            "CAST(PARSE_JSON('300') AS TINYINT)",
        ],
    );
    refused(
        Kind::Invalid,
        &[
            "PARSE_JSON(1)",
            "PARSE_JSON('1')[TRUE]",
            "CAST(PARSE_JSON('1') AS DATE)",
        ],
    );
    assert_eq!(run("PARSE_JSON('1')").unwrap().1, "VARIANT NOT NULL");
    assert_eq!(run("TRY_PARSE_JSON('1')").unwrap().1, "VARIANT");
    assert_eq!(run("PARSE_JSON('[1]')[1]").unwrap().1, "VARIANT");
}
