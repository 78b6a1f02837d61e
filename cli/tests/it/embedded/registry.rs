//! A Schema Registry that goes away while a statement reads records of a schema that it has not seen.
//!
//! Place in the flow: a second server is the registry. Invariant: nobody does anything but start the registry again; no record is lost,
//! doubled or made a dead letter.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{Weir, http_get, http_post, wait_for};
use crate::orders::{EmbeddedLog, binary, number_from, whole};

/// Records of each of the two schemas: some for every partition.
const RECORDS: usize = 2_000;

/// How long the registry is away, unless `WEIR_TEST_ABSENCE_SECONDS` says it: several attempts to reach it.
const ABSENCE_SECONDS: u64 = 5;

/// How long the statement may take to notice that the registry is away: 2 s of attempts.
const NOTICE_SECONDS_MAX: u64 = 60;

/// How long the rest may take once the registry is back: a few seconds.
const REST_SECONDS_MAX: u64 = 120;

/// Tables whose values have schemas.
const TABLES: &str = "
CREATE TABLE framed (id BIGINT) DISTRIBUTED INTO 4 BUCKETS WITH (
  'value.format' = 'json-registry', 'error-handling.mode' = 'log', 'error-handling.log.target' = 'framed_errors'
);
CREATE TABLE copies (id BIGINT) WITH ('value.format' = 'json-registry');
";

/// The statement, which commits often and does not wait long for another attempt.
const INSERT: &str = "
SET 'execution.checkpointing.interval' = '200 ms';
SET 'restart-strategy.exponential-delay.max-backoff' = '2 s';
INSERT INTO copies SELECT id FROM framed;
";

/// The id of the schema that the table was registered under, and of another one of the same columns.
fn schema_ids(registry: &Weir) -> Result<[u32; 2]> {
    let latest = http_get(&registry.address, "/subjects/framed-value/versions/latest")?;
    let mut latest: Value = serde_json::from_str(&latest)?;
    let first = latest["id"].take();
    let text = latest["schema"].as_str().context("no schema")?;
    let mut schema: Value = serde_json::from_str(text)?;
    schema["title"] = json!("the same columns under another name");
    let body = json!({ "schemaType": "JSON", "schema": schema.to_string() });
    let path = "/subjects/framed-value/versions";
    let second: Value =
        serde_json::from_str(&http_post(&registry.address, path, &body.to_string())?)?;
    let id = |id: &Value| -> Result<u32> { Ok(u32::try_from(id.as_u64().context("no id")?)?) };
    Ok([id(&first)?, id(&second["id"])?])
}

/// The records of one of the schemas, with numbers that go on from those of the one before.
fn framed(ids: [u32; 2], nth: usize) -> impl Iterator<Item = Value> {
    (nth * RECORDS..(nth + 1) * RECORDS).map(move |number| {
        // A zero byte and the id, before the JSON.
        let mut value = vec![0];
        value.extend(ids[nth].to_be_bytes());
        value.extend(format!("{{\"id\":{number}}}").bytes());
        binary(&value)
    })
}

/// How often statements were started again.
fn restarts(weir: &Weir) -> Result<u64> {
    let meter = weir.meter()?;
    let statements = meter["statements"].as_array().context("no statements")?;
    statements
        .iter()
        .map(|statement| whole(statement, "restarts_total"))
        .sum()
}

/// The numbers that were copied.
fn ids_of_copies(weir: &Weir) -> Result<Vec<u64>> {
    let rows = EmbeddedLog::select(weir, "id", "copies")?;
    rows.iter().map(|row| whole(row, "id")).collect()
}

/// Waits until so many rows are committed, or more.
fn wait_for_rows(weir: &Weir, count: usize) -> Result<()> {
    wait_for("rows to be committed", REST_SECONDS_MAX, || {
        Ok((ids_of_copies(weir)?.len() >= count).then_some(()))
    })
}

#[test]
fn an_absent_registry_holds_records_back_and_costs_none() -> Result<()> {
    let (own, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let registry = Weir::up(other.path(), &[])?;
    let address = registry.address.clone();
    let url = format!("http://{address}");
    let options = ["--schema-registry", url.as_str()];
    let weir = Weir::up(own.path(), &options)?;
    weir.sql(TABLES)?;
    let ids = schema_ids(&registry)?;
    weir.sql(INSERT)?;
    EmbeddedLog::append(&weir, "framed", framed(ids, 0))?;
    wait_for_rows(&weir, RECORDS)?;
    drop(registry);
    EmbeddedLog::append(&weir, "framed", framed(ids, 1))?;
    wait_for("the statement to fail", NOTICE_SECONDS_MAX, || {
        Ok((restarts(&weir)? > 0).then_some(()))
    })?;
    // A server that starts without its registry starts all the same.
    drop(weir);
    let mut weir = Weir::up(own.path(), &options)?;
    std::thread::sleep(Duration::from_secs(number_from(
        "WEIR_TEST_ABSENCE_SECONDS",
        ABSENCE_SECONDS,
    )));
    let _registry = Weir::up_at(&address, other.path(), &[])?;
    wait_for_rows(&weir, 2 * RECORDS)?;
    http_post(&weir.address, "/weir/v1/topics/framed:seal", "")?;
    weir.wait_completed(REST_SECONDS_MAX)?;

    let mut found = ids_of_copies(&weir)?;
    found.sort_unstable();
    ensure!(
        found.iter().copied().eq(0..2 * RECORDS as u64),
        "{} rows",
        found.len()
    );
    let letters = EmbeddedLog::select(&weir, "error_message", "framed_errors")?;
    ensure!(letters.is_empty(), "dead letters: {letters:?}");
    Ok(())
}
