//! Records in Avro with a schema id, of the table's own schema and of another program's.
//!
//! Place in the flow: the server is its own Schema Registry. Invariant: records of every schema become rows, what is written has the
//! schema of its table, and a record of no schema is a dead letter and nothing more.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{Weir, http_get, http_post, wait_for};
use crate::orders::{EmbeddedLog, binary};

/// How long rows may take: a few seconds.
const ROWS_SECONDS_MAX: u64 = 120;

/// Tables whose values have Avro schemas.
const TABLES: &str = "
CREATE TABLE readings (id BIGINT NOT NULL, label STRING, tags MAP<STRING, INT>) WITH (
  'value.format' = 'avro-registry', 'error-handling.mode' = 'log', 'error-handling.log.target' = 'readings_errors'
);
CREATE TABLE copies (id BIGINT NOT NULL, label STRING, tags MAP<STRING, INT>) WITH ('value.format' = 'avro-registry');
";

/// The statement.
const INSERT: &str = "
SET 'execution.checkpointing.interval' = '200 ms';
INSERT INTO copies SELECT id, label, tags FROM readings;
";

/// The latest schema of a subject: its id and what it is.
fn latest(weir: &Weir, subject: &str) -> Result<(u32, Value)> {
    let path = format!("/subjects/{subject}/versions/latest");
    let answer: Value = serde_json::from_str(&http_get(&weir.address, &path)?)?;
    ensure!(answer["schemaType"].is_null(), "not Avro: {answer}");
    let text = answer["schema"].as_str().context("no schema")?;
    let id = u32::try_from(answer["id"].as_u64().context("no id")?)?;
    Ok((id, serde_json::from_str(text)?))
}

/// The id of another schema of the same subject: an `int` that is promoted, a field more, another order, no tags.
fn other_schema(weir: &Weir) -> Result<u32> {
    let schema = json!({"type": "record", "name": "Reading", "fields": [
        {"name": "label", "type": "string"},
        {"name": "place", "type": {"type": "array", "items": "double"}},
        {"name": "id", "type": "int"},
    ]});
    let body = json!({ "schema": schema.to_string() }).to_string();
    // Under a subject of its own, as it is not compatible with the table's; an id counts under any.
    let path = "/subjects/others-value/versions";
    let answer: Value = serde_json::from_str(&http_post(&weir.address, path, &body)?)?;
    Ok(u32::try_from(answer["id"].as_u64().context("no id")?)?)
}

/// A record behind the frame of its schema.
fn framed(id: u32, body: &[u8]) -> Value {
    let mut value = vec![0];
    value.extend(id.to_be_bytes());
    value.extend(body);
    binary(&value)
}

/// The rows that were copied, by id.
fn copies(weir: &Weir) -> Result<Vec<Value>> {
    let mut rows = EmbeddedLog::select(weir, "id, label, tags['a'] AS a", "copies")?;
    rows.sort_by_key(|row| row["id"].to_string());
    Ok(rows)
}

#[test]
fn records_of_every_schema_become_rows() -> Result<()> {
    let own = tempfile::tempdir()?;
    let weir = Weir::up(own.path(), &[])?;
    weir.sql(TABLES)?;
    let (first, schema) = latest(&weir, "readings-value")?;
    ensure!(
        schema["fields"][1]["type"] == json!(["null", "string"]),
        "{schema}"
    );
    let second = other_schema(&weir)?;
    weir.sql(INSERT)?;
    let records = [
        // 1, "x", {"a": 5}; 2, NULL, NULL.
        framed(first, &[2, 2, 2, b'x', 2, 2, 2, b'a', 2, 10, 0]),
        framed(first, &[4, 0, 0]),
        framed(first, &[6, 2, 40]),
        framed(second + 1000, &[0]),
        // "y", [0.0], 3.
        framed(second, &[2, b'y', 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]),
    ];
    EmbeddedLog::append(&weir, "readings", records.into_iter())?;
    wait_for("rows to be committed", ROWS_SECONDS_MAX, || {
        Ok((copies(&weir)?.len() >= 3).then_some(()))
    })?;
    let expected = [
        json!({"id": "1", "label": "x", "a": "5"}),
        json!({"id": "2", "label": null, "a": null}),
        json!({"id": "3", "label": "y", "a": null}),
    ];
    let rows = copies(&weir)?;
    ensure!(rows == expected, "{rows:?}");
    let (_, written) = latest(&weir, "copies-value")?;
    ensure!(written["fields"] == schema["fields"], "{written}");
    wait_for("dead letters", ROWS_SECONDS_MAX, || {
        let letters = EmbeddedLog::select(&weir, "error_message", "readings_errors")?;
        Ok((letters.len() >= 2).then_some(()))
    })?;
    Ok(())
}
