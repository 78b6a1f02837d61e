//! Cases of our own, run as those of the files are.

use std::path::Path;

use serde_json::{Value, json};

use crate::{case, error_text};

/// A table of `k INT, v INT` with rows of `(kind, k, v)`, the last `after` of them after a restore.
fn table(name: &str, ddl: &str, rows: &[(&str, i64, i64)], after: usize) -> Value {
    let row = |(index, (kind, k, v)): (usize, &(&str, i64, i64))| {
        let phase = if index + after < rows.len() {
            "before"
        } else {
            "after"
        };
        json!({ "kind": kind, "phase": phase, "values": [k, v] })
    };
    let rows: Vec<Value> = rows.iter().enumerate().map(row).collect();
    json!({ "name": name, "role": "source", "ddl": format!("CREATE TABLE {name} ({ddl})"), "rows": rows })
}

/// A table that results are taken from.
fn sink(name: &str, ddl: &str) -> Value {
    json!({ "name": name, "role": "sink", "ddl": format!("CREATE TABLE {name} ({ddl})") })
}

/// The result of a case.
fn run(tables: &[Value], setup: &[&str], statements: &[&str]) -> Result<Vec<Value>, String> {
    let case = json!({ "tables": tables, "setup_sql": setup, "statements": statements });
    let result = case::run(&case, Path::new("")).map_err(|error| error_text(&error))?;
    Ok(result["outputs"].as_array().unwrap().clone())
}

/// The changelog of the only output as text, `+I[1, 2] -D[1, 2]`.
fn changelog(tables: &[Value], setup: &[&str], sql: &str) -> String {
    let outputs = run(tables, setup, &[sql]).unwrap();
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    let changes = outputs[0]["changelog"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().map_or("null".to_owned(), str::to_owned);
    let change = |change: &Value| {
        let values: Vec<String> = change[1].as_array().unwrap().iter().map(text).collect();
        format!("{}[{}]", change[0].as_str().unwrap(), values.join(", "))
    };
    changes.map(change).collect::<Vec<_>>().join(" ")
}

/// Columns without a key.
const PLAIN: &str = "k INT, v INT";

/// Columns with a key.
const KEYED: &str = "k INT, v INT, PRIMARY KEY (k) NOT ENFORCED";

/// Sums by key.
const SUMS: &str = "SELECT k, SUM(v) FROM t GROUP BY k";

#[test]
fn kinds_of_rows_are_read() {
    let retracted = [
        ("+I", 1, 5),
        ("+I", 2, 1),
        ("-U", 1, 5),
        ("+U", 1, 7),
        ("-D", 2, 1),
    ];
    let found = changelog(&[table("t", PLAIN, &retracted, 0)], &[], "SELECT * FROM t");
    assert_eq!(found, "+I[1, 5] +I[2, 1] -U[1, 5] +U[1, 7] -D[2, 1]");
    // The delete of a key needs nothing but the key.
    let upserted = [("+I", 1, 5), ("+U", 1, 7), ("-D", 1, 0)];
    let found = changelog(&[table("t", KEYED, &upserted, 0)], &[], "SELECT * FROM t");
    assert_eq!(found, "+I[1, 5] -U[1, 5] +U[1, 7] -D[1, 7]");
}

#[test]
fn maps_without_texts_as_keys_are_read() {
    let mut maps = table("t", "m MAP<DOUBLE, DOUBLE>", &[], 0);
    maps["rows"] = json!([
        { "values": [{ "$map": [[1.5, 2.5]] }] },
        { "values": [null] },
    ]);
    let found = run(&[maps], &[], &["SELECT m FROM t"]).unwrap();
    assert_eq!(
        found[0]["changelog"],
        json!([["+I", [{ "1.5": "2.5" }]], ["+I", [null]]])
    );
}

#[test]
fn rows_that_break_the_rules_of_their_table_reach_the_statement() {
    let mut maps = table("t", "m MAP<INT NOT NULL, INT>", &[], 0);
    maps["rows"] = json!([{ "values": [{ "$map": [[null, 1]] }] }]);
    let error = run(&[maps], &[], &["SELECT m FROM t"]).unwrap_err();
    assert!(
        error.contains("NULL") && !error.starts_with(crate::UNSUPPORTED),
        "{error}"
    );
    let mut short = table("t", "m MAP<BINARY(2), INT>", &[], 0);
    short["rows"] = json!([{ "values": [{ "$map": [[{ "$bytes": "01" }, 1]] }] }]);
    let found = run(&[short], &[], &["SELECT CARDINALITY(m) FROM t"]).unwrap();
    assert_eq!(found[0]["changelog"], json!([["+I", ["1"]]]));
}

#[test]
fn a_watermark_goes_through_after_every_record() {
    let timed = "k INT, v INT, ts AS TO_TIMESTAMP_LTZ(k, 0), WATERMARK FOR ts AS ts";
    // The window of 2 is closed by 65, before 3 comes.
    let rows = [
        ("+I", 2, 1),
        ("+I", 65, 10),
        ("+I", 3, 100),
        ("+I", 66, 1000),
    ];
    let windows = "SELECT SUM(v) FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end";
    let found = changelog(&[table("t", timed, &rows, 0)], &[], windows);
    assert_eq!(found, "+I[1] +I[1010]");
}

#[test]
fn what_comes_after_a_restore_meets_the_state_of_before() {
    let rows = [("+I", 1, 5), ("+I", 2, 1), ("+I", 1, 2)];
    let found = changelog(&[table("t", PLAIN, &rows, 1)], &[], SUMS);
    assert_eq!(found, "+I[1, 5] +I[2, 1] -U[1, 5] +U[1, 7]");
}

#[test]
fn results_are_those_of_the_sinks_that_statements_write() {
    let tables = [
        table("t", PLAIN, &[("+I", 1, 5), ("+I", 2, 1)], 0),
        sink("large", "v BIGINT"),
        sink("small", "k INT"),
    ];
    let set = "EXECUTE STATEMENT SET BEGIN INSERT INTO large SELECT v FROM t WHERE v > 3; INSERT INTO small SELECT k FROM t WHERE v < 3; END";
    let outputs = run(&tables, &[], &[set]).unwrap();
    let rows = |value: &str| json!([["+I", [value]]]);
    assert_eq!(
        outputs[0],
        json!({ "sink": "large", "changelog": rows("5") })
    );
    assert_eq!(
        outputs[1],
        json!({ "sink": "small", "changelog": rows("2") })
    );
    // A query is written to the only table for results.
    let outputs = run(&tables[..2], &[], &["SELECT k FROM t", "SELECT v FROM t"]).unwrap();
    assert_eq!(outputs[1]["sink"], "large");
    let outputs = run(&tables[..1], &[], &["SELECT k FROM t", "SELECT v FROM t"]).unwrap();
    assert_eq!(outputs[1]["query"], 1);
}

#[test]
fn tables_are_filled_by_statements_of_the_case() {
    let mut kafka = table("t", PLAIN, &[], 0);
    kafka["role"] = json!("kafka");
    let setup = [
        "CREATE TABLE t (k INT, v INT)",
        "INSERT INTO t VALUES (1, 5), (1, 2)",
        "INSERT INTO t VALUES (2, 9)",
    ];
    let found = changelog(&[kafka], &setup, "SELECT * FROM t");
    assert_eq!(found, "+I[1, 5] +I[1, 2] +I[2, 9]");
}

#[test]
fn what_fails_says_why() {
    let tables = [table("t", PLAIN, &[("+I", 1, 0)], 0)];
    let error = run(&tables, &[], &["SELECT v / 0 FROM t"]).unwrap_err();
    assert!(error.contains("zero"), "{error}");
    let error = run(&tables, &[], &["SELECT w FROM t"]).unwrap_err();
    assert!(!error.starts_with(crate::UNSUPPORTED), "{error}");
    let mut absent = tables[0].clone();
    absent["rows"] = Value::Null;
    absent["rows_file"] = json!("nowhere.json");
    let error = run(&[absent], &[], &[SUMS]).unwrap_err();
    assert!(error.contains("nowhere.json"), "{error}");
}
