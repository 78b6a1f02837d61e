//! CREATE TABLE ... LIKE.

use super::{bind, catalog, message};
use crate::sql::binder::{Bound, analyze};
use crate::sql::catalog::{ColumnKind, MemoryCatalog, TableDef};
use crate::sql::parse;
use crate::sql::session::Session;

/// A catalog with a table that has everything that can be taken over.
fn with_source() -> MemoryCatalog {
    let mut catalog = catalog();
    let source = "CREATE TABLE source (id INT, cents BIGINT, ts TIMESTAMP(3), total AS cents / 100, \
        part INT METADATA FROM 'partition' VIRTUAL, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, PRIMARY KEY (id) NOT ENFORCED) \
        DISTRIBUTED BY (id) INTO 3 BUCKETS WITH ('value.format' = 'json', 'scan.startup.mode' = 'latest-offset')";
    match analyze(&parse(source).unwrap()[0], &catalog, &Session::default()).unwrap() {
        Bound::CreateTable { table, .. } => catalog.put_table(table),
        other => panic!("{other:?}"),
    }
    catalog
}

/// The table that a statement creates.
fn create(sql: &str) -> Result<TableDef, String> {
    let statement = parse(sql).map_err(|error| error.to_string())?;
    match analyze(&statement[0], &with_source(), &Session::default()) {
        Ok(Bound::CreateTable { table, .. }) => Ok(table),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

/// Names of the columns.
fn names(table: &TableDef) -> Vec<&str> {
    table
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect()
}

#[test]
fn everything_is_taken_over_and_own_options_count() {
    let table = create(
        "CREATE TABLE t (note STRING) WITH ('scan.startup.mode' = 'earliest-offset') LIKE source",
    )
    .unwrap();
    assert_eq!(
        names(&table),
        ["id", "cents", "ts", "total", "part", "note"]
    );
    assert_eq!(table.primary_key, ["id"]);
    assert_eq!(table.buckets, Some(3));
    assert_eq!(table.watermark.as_ref().unwrap().column, "ts");
    assert_eq!(table.option("value.format"), Some("json"));
    assert_eq!(table.option("scan.startup.mode"), Some("earliest-offset"));
}

#[test]
fn what_is_excluded_is_not_taken() {
    let table = create(
        "CREATE TABLE t (PRIMARY KEY (cents) NOT ENFORCED) WITH ('value.format' = 'raw-json') LIKE source (EXCLUDING ALL)",
    );
    assert!(table.unwrap_err().contains("raw-json"));
    let table = create(
        "CREATE TABLE t (note STRING, PRIMARY KEY (cents) NOT ENFORCED) LIKE source \
         (EXCLUDING ALL INCLUDING OPTIONS)",
    )
    .unwrap();
    assert_eq!(names(&table), ["id", "cents", "ts", "note"]);
    assert_eq!(table.primary_key, ["cents"]);
    assert_eq!(table.watermark, None);
    assert_eq!(table.option("value.format"), Some("json"));
}

#[test]
fn columns_are_overwritten_in_their_places() {
    let table = create(
        "CREATE TABLE t (total AS cents * 2, extra AS cents + 1) LIKE source (OVERWRITING GENERATED)",
    )
    .unwrap();
    assert_eq!(
        names(&table),
        ["id", "cents", "ts", "total", "part", "extra"]
    );
    assert_eq!(
        table.columns[3].kind,
        ColumnKind::Computed("cents * 2".to_owned())
    );
}

#[test]
fn what_both_have_is_refused() {
    for (sql, part) in [
        ("CREATE TABLE t (total AS 1) LIKE source", "column `total`"),
        ("CREATE TABLE t (id INT) LIKE source", "column `id`"),
        (
            "CREATE TABLE t (PRIMARY KEY (cents) NOT ENFORCED) LIKE source",
            "a primary key",
        ),
        (
            "CREATE TABLE t (WATERMARK FOR ts AS ts) LIKE source",
            "a watermark",
        ),
        (
            "CREATE TABLE t WITH ('value.format' = 'json') LIKE source (INCLUDING OPTIONS)",
            "option 'value.format'",
        ),
        ("CREATE TABLE t LIKE nothing", "nothing"),
        (
            "CREATE TABLE t LIKE source (OVERWRITING CONSTRAINTS)",
            "overwritten",
        ),
        (
            "CREATE TABLE t LIKE source (EXCLUDING OPTIONS INCLUDING OPTIONS)",
            "one rule",
        ),
    ] {
        let error = create(sql).unwrap_err();
        assert!(error.contains(part), "{sql}: {error}");
    }
    assert!(bind("CREATE TABLE t LIKE orders").is_ok());
    assert!(message("CREATE TABLE t LIKE big").contains("is a view"));
}
