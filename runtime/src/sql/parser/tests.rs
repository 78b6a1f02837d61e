//! Tests of the parser: statements, places, misparses and random texts.

use proptest::prelude::*;
use sqlparser::ast::{Expr as Ast, SelectItem, SetExpr};

use super::*;
use crate::sql::ast::{AlterTable, ColumnDefKind, CreateTable, HintKind};
use crate::types::{FlinkType, TypeKind};

/// Parses one statement.
fn one(sql: &str) -> Statement {
    let mut statements = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(statements.len(), 1, "{sql}");
    statements.remove(0)
}

/// The message of a text that does not parse.
fn message(sql: &str) -> String {
    match parse(sql) {
        Err(error) => error.to_string(),
        Ok(statements) => panic!("{sql}: {statements:?}"),
    }
}

/// A parsed CREATE TABLE.
fn create(sql: &str) -> CreateTable {
    match one(sql).kind {
        StatementKind::CreateTable(create) => *create,
        other => panic!("{other:?}"),
    }
}

/// The type of the only column.
fn column_type(ty: &str) -> FlinkType {
    match create(&format!("CREATE TABLE t (c {ty})"))
        .columns
        .remove(0)
        .kind
    {
        ColumnDefKind::Physical(ty) => ty,
        other => panic!("{other:?}"),
    }
}

/// The first item of a SELECT.
fn selected(sql: &str) -> Ast {
    let StatementKind::Query(query) = one(sql).kind else {
        panic!("{sql}");
    };
    let SetExpr::Select(select) = *query.body.body else {
        panic!("{sql}");
    };
    match select.projection.into_iter().next() {
        Some(SelectItem::UnnamedExpr(expr)) => expr,
        other => panic!("{other:?}"),
    }
}

#[test]
fn create_table_keeps_every_clause() {
    let create = create(
        "CREATE TABLE IF NOT EXISTS c.d.t (
           id BIGINT NOT NULL COMMENT 'the id',
           `a b` ROW<x INT, y ARRAY<STRING NOT NULL>>,
           twice AS id * 2,
           ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
           headers MAP<BYTES, BYTES> METADATA,
           CONSTRAINT pk PRIMARY KEY (id) NOT ENFORCED,
           WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
         ) COMMENT 'it''s' DISTRIBUTED BY HASH(id) INTO 4 BUCKETS WITH ('connector' = 'kafka', 'a' = 'b')",
    );
    assert!(create.if_not_exists);
    assert_eq!(create.name.parts.len(), 3);
    assert_eq!(create.columns.len(), 5);
    assert_eq!(create.columns[0].comment.as_deref(), Some("the id"));
    assert_eq!(create.columns[1].name.value, "a b");
    assert!(
        matches!(&create.columns[2].kind, ColumnDefKind::Computed { text, .. } if text == "id * 2")
    );
    assert!(
        matches!(&create.columns[3].kind, ColumnDefKind::Metadata { key: Some(key), is_virtual: true, .. } if key.value == "timestamp")
    );
    assert!(matches!(
        &create.columns[4].kind,
        ColumnDefKind::Metadata {
            key: None,
            is_virtual: false,
            ..
        }
    ));
    assert_eq!(create.primary_key[0].value, "id");
    assert_eq!(create.watermark.unwrap().text, "ts - INTERVAL '5' SECOND");
    assert_eq!(create.comment.as_deref(), Some("it's"));
    let distribution = create.distribution.unwrap();
    assert_eq!(
        (distribution.columns[0].value.as_str(), distribution.buckets),
        ("id", Some(4))
    );
    assert_eq!(create.options[1].value.value, "b");
    let inline =
        super::tests::create("CREATE TABLE t (id INT NOT NULL PRIMARY KEY NOT ENFORCED, v INT)");
    assert_eq!(inline.primary_key[0].value, "id");
}

#[test]
fn types_are_flinks() {
    for (written, printed) in [
        ("INT NOT NULL", "INT NOT NULL"),
        ("VARCHAR", "STRING"),
        ("VARBINARY", "BYTES"),
        ("CHAR", "CHAR(1)"),
        ("TIMESTAMP(9)", "TIMESTAMP(9)"),
        ("TIME(9)", "TIME(9)"),
        ("CHARACTER VARYING(7)", "VARCHAR(7)"),
        ("STRING", "STRING"),
        ("NUMERIC(12)", "DECIMAL(12, 0)"),
        ("DEC", "DECIMAL(10, 0)"),
        ("DOUBLE PRECISION", "DOUBLE"),
        ("TIMESTAMP", "TIMESTAMP(6)"),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(3)"),
        (
            "TIMESTAMP(0) WITHOUT TIME ZONE NOT NULL",
            "TIMESTAMP(0) NOT NULL",
        ),
        ("ARRAY<ARRAY<INT>>", "ARRAY<ARRAY<INT>>"),
        (
            "MAP<STRING NOT NULL, ROW<a INT>>",
            "MAP<STRING NOT NULL, ROW<`a` INT>>",
        ),
        (
            "ROW(a INT NOT NULL, `b c` STRING 'comment')",
            "ROW<`a` INT NOT NULL, `b c` STRING>",
        ),
        ("INT ARRAY NOT NULL", "ARRAY<INT> NOT NULL"),
        ("MULTISET<STRING>", "MULTISET<STRING>"),
        (
            "INTERVAL DAY(3) TO SECOND(3)",
            "INTERVAL DAY(2) TO SECOND(3)",
        ),
    ] {
        assert_eq!(column_type(written).to_string(), printed, "{written}");
    }
    assert!(message("CREATE TABLE t (c DECIMAL(39))").contains("39 is not between 1 and 38"));
    assert!(message("CREATE TABLE t (c TIMESTAMP(10))").contains("10 is not between 0 and 9"));
    assert!(message("CREATE TABLE t (c INTT)").contains("did you mean \"INT\"?"));
}

#[test]
fn casts_take_flinks_types() {
    let Ast::Cast { data_type, .. } =
        selected("SELECT CAST(x AS ROW(a INT, b MAP<STRING, STRING>))")
    else {
        panic!("not a cast");
    };
    assert!(data_type.to_string().contains("Row"), "{data_type}");
}

#[test]
fn is_not_distinct_from_does_not_swallow_and() {
    let Ast::BinaryOp { left, .. } = selected("SELECT a IS NOT DISTINCT FROM b AND c") else {
        panic!("not AND at the top");
    };
    assert!(matches!(*left, Ast::IsNotDistinctFrom(..)));
    let Ast::BinaryOp { left, .. } = selected("SELECT a LIKE b = c") else {
        panic!("not = at the top");
    };
    assert!(matches!(*left, Ast::Like { .. }));
}

#[test]
fn clauses_of_json_functions_become_arguments() {
    for (written, parsed) in [
        (
            "json_exists(a, '$' UNKNOWN ON ERROR)",
            "JSON_EXISTS(a, '$', 'UNKNOWN')",
        ),
        (
            "JSON_QUERY(a, '$' EMPTY ARRAY ON ERROR)",
            "JSON_QUERY(a, '$', '', 'WITHOUT', 'NULL', 'EMPTY ARRAY')",
        ),
        (
            "JSON_VALUE(a, '$' ERROR ON ERROR DEFAULT b ON EMPTY)",
            "JSON_VALUE(a, '$', '', 'DEFAULT', b, 'ERROR', NULL)",
        ),
        (
            "JSON_ARRAY(JSON(a), `JSON`(b))",
            "JSON_ARRAY('ABSENT ON NULL', JSON DOCUMENT(a), `JSON`(b))",
        ),
        (
            "JSON_OBJECT(key VALUE 1, KEY key : 2 ABSENT ON NULL)",
            "JSON_OBJECT('ABSENT ON NULL', key, 1, key, 2)",
        ),
        ("JSON_OBJECTAGG(KEY a VALUE b)", "JSON_OBJECTAGG(a, b)"),
    ] {
        let sql = format!("SELECT {written}");
        assert_eq!(selected(&sql).to_string(), parsed, "{written}");
    }
}

#[test]
fn what_other_dialects_mean_is_refused() {
    for sql in [
        "SELECT a:b",
        "SELECT a::INT",
        "SELECT \"a\"",
        "SELECT a == b",
        "SELECT a & b",
        "SELECT a >> b",
        "SELECT ?",
        "SELECT a <=> b",
        "SELECT U&'!12' UESCAPE '!'",
        "SELECT U&'x' UESCAPE 'a'",
        "SELECT U & 'x'",
        "SELECT 1 FROM t /*+ BROADCAST(t) */",
        "SELECT /*+ STATE_TTL('t' = 'soon') */ 1",
        "SELECT /*+ STATE_TTL() */ 1",
        "SELECT /*+ STATE_TTL('t' = '1 h', 't' = '2 h') */ 1",
        "SELECT /*+ OPTIONS(t = '1 h') */ 1",
        "SELECT /*+ INDEX(t) */ 1",
        "SELECT 1 /*+ OPTIONS('a' = 'b') */ + 2; SELECT 2 FROM t; /*+ OPTIONS('a' = 'b') */",
        "CREATE TEMPORARY TABLE t (a INT)",
        "INSERT OVERWRITE t SELECT 1",
        "SELECT 1 SELECT 2",
        "SELECT 'a",
        "SELECT * FROM t WHERE",
    ] {
        let error = parse(sql).unwrap_err();
        assert!(error.span.is_known(), "{sql}: {error}");
    }
}

#[test]
fn hints_stay_with_their_table() {
    let StatementKind::Query(query) = one(
        "SELECT * FROM t /*+ OPTIONS('scan.startup.mode' = 'latest-offset', 'k' = 'v') */ AS x",
    )
    .kind
    else {
        panic!("not a query");
    };
    assert_eq!(query.hints.len(), 1);
    assert_eq!(query.hints[0].after, (1, 15));
    assert_eq!(query.hints[0].options["k"], "v");
}

#[test]
fn times_to_live_stay_with_select_and_advice_goes() {
    let sql =
        "SELECT /*+ BROADCAST(b), STATE_TTL('a' = '1 d', b = '0') */ * FROM a JOIN b USING (k)";
    let StatementKind::Query(query) = one(sql).kind else {
        panic!("not a query");
    };
    assert_eq!(query.hints.len(), 1);
    assert_eq!(query.hints[0].kind, HintKind::StateTtl);
    assert_eq!(query.hints[0].after, (1, 6));
    assert_eq!(query.hints[0].options["b"], "0");
}

#[test]
fn places_are_lines_and_columns() {
    assert_eq!(
        message("SELECT 1,\n  FROM t"),
        "line 2, column 3: expected an expression, found FROM"
    );
    assert_eq!(
        message("SELEC 1"),
        "line 1, column 1: unknown statement \"SELEC\", did you mean \"SELECT\"?"
    );
    assert_eq!(
        message("SELECT 'abc"),
        "line 1, column 8: unterminated string literal"
    );
    assert_eq!(
        message("CREATE TABLE t (a INT,\n b STRING NOT NUL)"),
        "line 2, column 11: expected ), found NOT"
    );
    assert!(
        message("SELECT (1").starts_with("line 1, column 9: expected "),
        "{}",
        message("SELECT (1")
    );
}

#[test]
fn statement_sets_and_scripts_are_split() {
    let StatementKind::StatementSet(inserts) =
        one("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b (x) VALUES (1), (2); END;").kind
    else {
        panic!("not a set");
    };
    assert_eq!(inserts.len(), 2);
    assert_eq!(inserts[1].columns[0].value, "x");
    let script = parse("SET 'a' = 'b'; -- comment\nUSE c; ;DROP VIEW IF EXISTS v").unwrap();
    assert_eq!(script.len(), 3);
    assert_eq!(script[1].text, "USE c");
    assert_eq!(script[1].span.line, 2);
}

#[test]
fn views_keep_their_text() {
    let StatementKind::CreateView {
        query_text,
        columns,
        ..
    } = one("CREATE VIEW v (a) AS SELECT x\n FROM t").kind
    else {
        panic!("not a view");
    };
    assert_eq!(
        (query_text.as_str(), columns.len()),
        ("SELECT x\n FROM t", 1)
    );
}

#[test]
fn alter_table_is_parsed() {
    let change = |sql: &str| match one(sql).kind {
        StatementKind::AlterTable { change, .. } => change,
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(change("ALTER TABLE t SET ('a' = 'b')"), AlterTable::Set(options) if options.len() == 1)
    );
    assert!(
        matches!(change("ALTER TABLE t RESET ('a', 'b')"), AlterTable::Reset(keys) if keys.len() == 2)
    );
    assert!(matches!(
        change("ALTER TABLE t ADD WATERMARK FOR a AS a"),
        AlterTable::Add {
            watermark: Some(_),
            ..
        }
    ));
    assert!(
        matches!(change("ALTER TABLE t ADD (p INT METADATA VIRTUAL)"), AlterTable::Add { columns, .. } if columns.len() == 1)
    );
    assert!(matches!(
        change("ALTER TABLE t DROP WATERMARK"),
        AlterTable::DropWatermark(_)
    ));
}

#[test]
fn deep_texts_are_refused() {
    for deep in [
        format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT {}1", "NOT ".repeat(5_000)),
        format!("SELECT {}1", "- ".repeat(5_000)),
        format!("SELECT 1{}", " + 1".repeat(100_000)),
        format!("SELECT 1{}", " OR 1".repeat(100_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(50_000)),
        format!("SELECT 1{}", " IS NULL".repeat(100_000)),
        format!("SELECT a{}", "[1]".repeat(100_000)),
        format!(
            "SELECT {}1{}",
            "CASE WHEN ".repeat(5_000),
            " THEN 1 END".repeat(5_000)
        ),
        format!(
            "CREATE TABLE t (a {}INT{})",
            "ARRAY<".repeat(5_000),
            ">".repeat(5_000)
        ),
        format!("SELECT 1 FROM {}t{}", "(".repeat(5_000), ")".repeat(5_000)),
    ] {
        if let Ok(statements) = parse(&deep) {
            // Chains that sqlparser keeps flat are fine.
            assert!(deep.contains("[1]"), "{}", statements.len());
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _outcome = parse(&text).is_ok();
    }

    #[test]
    fn no_sequence_of_words_panics(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..40)) {
        let text = words.join(" ");
        if let Err(error) = parse(&text) {
            prop_assert!(error.span.is_known(), "{}: {}", text, error);
        }
    }

    #[test]
    fn printed_types_parse_back(ty in types()) {
        prop_assert_eq!(column_type(&ty.to_string()), ty);
    }
}

/// Pieces of statements for random texts.
const WORDS: [&str; 60] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "t",
    "`a b`",
    "a",
    ",",
    "(",
    ")",
    "1",
    "1.5",
    "'s'",
    "=",
    "+",
    "-",
    "*",
    "AND",
    "NOT",
    "NULL",
    "IS",
    "DISTINCT",
    "CAST",
    "AS",
    "INT",
    "ROW",
    "<",
    ">",
    "ARRAY",
    "[",
    "]",
    "MAP",
    "TABLE",
    "TUMBLE",
    "DESCRIPTOR",
    "INTERVAL",
    "SECOND",
    "CREATE",
    "VIEW",
    "WITH",
    "INSERT",
    "INTO",
    "VALUES",
    ";",
    "EXECUTE",
    "STATEMENT",
    "SET",
    "BEGIN",
    "END",
    "CASE",
    "WHEN",
    "THEN",
    "/*+ OPTIONS('a'='b') */",
    "UNION",
    "ALL",
    "WATERMARK",
    "FOR",
    "PRIMARY KEY",
    ".",
];

/// Random types.
fn types() -> impl Strategy<Value = FlinkType> {
    let leaf = prop_oneof![
        Just(TypeKind::Int),
        Just(TypeKind::Double),
        Just(TypeKind::string()),
        Just(TypeKind::bytes()),
        Just(TypeKind::Bitmap),
        (1_u32..100).prop_map(TypeKind::Char),
        (1_u8..=38).prop_map(|precision| TypeKind::Decimal {
            precision,
            scale: precision / 2
        }),
        (0_u8..=6).prop_map(TypeKind::Timestamp),
        (0_u8..=6).prop_map(TypeKind::TimestampLtz),
    ];
    let nullability = |kind: TypeKind, nullable| {
        if nullable {
            kind.nullable()
        } else {
            kind.not_null()
        }
    };
    let leaf = (leaf, any::<bool>()).prop_map(move |(kind, nullable)| nullability(kind, nullable));
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let row = prop::collection::vec(inner.clone(), 1..4).prop_map(|types| {
            let field = |(i, ty)| crate::types::RowField {
                name: format!("f {i}"),
                ty,
            };
            TypeKind::Row(types.into_iter().enumerate().map(field).collect())
        });
        let kind = prop_oneof![
            inner.clone().prop_map(|ty| TypeKind::Array(Box::new(ty))),
            (inner.clone(), inner).prop_map(|(k, v)| TypeKind::Map(Box::new(k), Box::new(v))),
            row,
        ];
        (kind, any::<bool>()).prop_map(move |(kind, nullable)| nullability(kind, nullable))
    })
}
