//! A Schema Registry that goes away while a statement reads records of a schema that it has not seen.
//!
//! Place in the flow: a second server is the registry. Invariant: nobody does anything but start the registry again; no record is lost,
//! doubled or made a dead letter.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{Weir, http_get, http_post, wait_for};
use crate::orders::{EmbeddedLog, binary, number_from, whole};

/// Records of the first schema: what the statement does not finish before the registry goes.
const RECORDS: usize = 60_000;

/// Records of the second schema, behind the others: some in each partition.
const NEW_RECORDS: usize = 100;

/// How long the registry is away, unless `WEIR_TEST_ABSENCE_SECONDS` says it: several attempts to reach it.
const ABSENCE_SECONDS: u64 = 5;

/// How long the statement may take to commit something, or to notice that the registry is away: 1 s, and 2 s of attempts.
const NOTICE_SECONDS_MAX: u64 = 60;

/// How long the rest may take once the registry is back: a few seconds.
const REST_SECONDS_MAX: u64 = 120;

/// Tables whose values have schemas.
const TABLES: &str = "
CREATE TABLE framed (id BIGINT) DISTRIBUTED INTO 4 BUCKETS WITH (
  'value.format' = 'json-registry', 'scan.bounded.mode' = 'latest-offset',
  'error-handling.mode' = 'log', 'error-handling.log.target' = 'framed_errors'
);
CREATE TABLE copies (id BIGINT) WITH ('value.format' = 'json-registry');
";

/// The statement, slow enough to be at work when the registry goes.
const INSERT: &str = "
SET 'execution.checkpointing.interval' = '200 ms';
SET 'weir.cfu-cpu-share' = '0.05';
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

/// Records with the numbers from 0, with one schema and then with the other.
fn framed(ids: [u32; 2]) -> impl Iterator<Item = Value> {
    (0..RECORDS + NEW_RECORDS).map(move |number| {
        // A zero byte and the id, before the JSON.
        let mut value = vec![0];
        value.extend(ids[usize::from(number >= RECORDS)].to_be_bytes());
        value.extend(format!("{{\"id\":{number}}}").bytes());
        binary(&value)
    })
}

/// A number in the meter of the one statement that has a job.
fn metered(weir: &Weir, pointer: &str) -> Result<u64> {
    let meter = weir.meter()?;
    let statements = meter["statements"].as_array().context("no statements")?;
    let found = statements
        .iter()
        .find(|statement| statement["job"].is_object() || statement["restarts_total"] != 0);
    let number = found.and_then(|statement| statement.pointer(pointer)?.as_u64());
    Ok(number.unwrap_or(0))
}

/// Waits until a number in the meter is above 0.
fn wait_for_metered(weir: &Weir, pointer: &str) -> Result<()> {
    wait_for(pointer, NOTICE_SECONDS_MAX, || {
        Ok((metered(weir, pointer)? > 0).then_some(()))
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
    EmbeddedLog::append(&weir, "framed", framed(schema_ids(&registry)?))?;
    weir.sql(INSERT)?;
    wait_for_metered(&weir, "/job/checkpoints/completed_total")?;
    drop(registry);
    wait_for_metered(&weir, "/restarts_total")?;
    // A server that starts without its registry starts all the same.
    drop(weir);
    let mut weir = Weir::up(own.path(), &options)?;
    std::thread::sleep(Duration::from_secs(number_from(
        "WEIR_TEST_ABSENCE_SECONDS",
        ABSENCE_SECONDS,
    )));
    let phases = weir.phases()?;
    ensure!(
        phases.iter().any(|(_, phase)| phase != "COMPLETED"),
        "the statement did not need the registry: {phases:?}"
    );
    let _registry = Weir::up_at(&address, other.path(), &[])?;
    weir.wait_completed(REST_SECONDS_MAX)?;

    let rows = EmbeddedLog::select(&weir, "id", "copies")?;
    let mut found = rows
        .iter()
        .map(|row| whole(row, "id"))
        .collect::<Result<Vec<_>>>()?;
    found.sort_unstable();
    ensure!(
        found.iter().copied().eq(0..(RECORDS + NEW_RECORDS) as u64),
        "{} rows",
        found.len()
    );
    let letters = EmbeddedLog::select(&weir, "error_message", "framed_errors")?;
    ensure!(letters.is_empty(), "dead letters: {letters:?}");
    Ok(())
}
