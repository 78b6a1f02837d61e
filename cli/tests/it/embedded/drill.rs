//! The disaster-recovery drill: a statement with state is stopped, exported, and goes on at another site.
//!
//! Place in the flow: two servers with the same topic, as a mirror keeps it. Invariant: what the second one counts is what one server
//! would have counted, so neither state nor position is lost on the way.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::harness::{Weir, wait_for};
use crate::orders::{EmbeddedLog, Orders, text, whole};

/// Records before the switch, and as many after it.
const RECORDS: u64 = 5_000;

/// How long each step may take; a few seconds on an idle machine.
const STEP_SECONDS_MAX: u64 = 60;

/// A source and a table of counts with a key.
const TABLES: &str = "
CREATE TABLE arrivals (id BIGINT) DISTRIBUTED INTO 4 BUCKETS WITH ('value.format' = 'json');
CREATE TABLE counts (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) DISTRIBUTED INTO 1 BUCKETS
  WITH ('value.format' = 'json', 'key.format' = 'json', 'changelog.mode' = 'upsert');
";

/// Counts by last digit.
const INSERT: &str = "
SET 'execution.checkpointing.interval' = '1 s';
INSERT INTO counts SELECT MOD(id, CAST(10 AS BIGINT)), COUNT(*) FROM arrivals GROUP BY MOD(id, CAST(10 AS BIGINT));
";

/// Appends orders of these numbers.
fn append(weir: &Weir, first: u64, end: u64) -> Result<()> {
    let orders = Orders::between(first, end).map(|order| text(&order.json()));
    EmbeddedLog::append(weir, "arrivals", orders)
}

/// Waits until a statement is in a phase.
fn wait_phase(weir: &Weir, name: &str, phase: &str) -> Result<()> {
    wait_for(&format!("{name} to be {phase}"), STEP_SECONDS_MAX, || {
        let phases = weir.phases()?;
        let found = phases.iter().find(|(found, _)| found == name);
        Ok(found.is_some_and(|(_, found)| found == phase).then_some(()))
    })
}

/// The name of the statement that runs.
fn running(weir: &Weir) -> Result<String> {
    let phases = weir.phases()?;
    let found = phases.into_iter().find(|(_, phase)| phase == "RUNNING");
    Ok(found.context("no statement runs")?.0)
}

/// Waits until the newest counts add up to a number; the counts by key.
fn wait_counted(weir: &Weir, total: u64) -> Result<Vec<(u64, u64)>> {
    wait_for(
        &format!("{total} records counted"),
        STEP_SECONDS_MAX,
        || {
            let mut counts = std::collections::BTreeMap::new();
            for row in EmbeddedLog::select(weir, "k, n", "counts")? {
                counts.insert(whole(&row, "k")?, whole(&row, "n")?);
            }
            let sum: u64 = counts.values().sum();
            ensure!(sum <= total, "{sum} records are counted of {total}");
            Ok((sum == total).then(|| counts.into_iter().collect()))
        },
    )
}

/// The manifest of an export.
fn manifest(folder: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(folder.join("manifest.json"))?;
    serde_json::from_str(&text).context(text)
}

#[test]
fn a_stopped_statement_goes_on_at_another_site_without_loss() -> Result<()> {
    let (here, there, moved) = (
        tempfile::tempdir()?,
        tempfile::tempdir()?,
        tempfile::tempdir()?,
    );
    let export = moved.path().join("counting-export");
    let export_path = export.display().to_string();
    let weir = Weir::up(here.path(), &[])?;
    weir.sql(TABLES)?;
    append(&weir, 0, RECORDS)?;
    weir.sql(INSERT)?;
    wait_counted(&weir, RECORDS)?;
    let name = running(&weir)?;
    weir.run(&["statement", "stop", &name, "--savepoint", "switch"])?;
    wait_phase(&weir, &name, "STOPPED")?;
    weir.run(&[
        "statement",
        "export",
        &name,
        "--savepoint",
        "switch",
        "--out",
        &export_path,
    ])?;
    let exported = manifest(&export)?;
    let offsets = exported["savepoint"]["offsets"]["arrivals"].to_string();
    ensure!(offsets.contains("offset:1250"), "{offsets}");
    drop(weir);

    // The mirror has the same records at the same offsets, and more have come since.
    let weir = Weir::up(there.path(), &[])?;
    weir.sql(TABLES)?;
    append(&weir, 0, RECORDS)?;
    append(&weir, RECORDS, 2 * RECORDS)?;
    weir.run(&[
        "statement",
        "import",
        &export_path,
        "--take-over",
        "--start",
    ])?;
    wait_phase(&weir, &name, "RUNNING")?;
    let counted = wait_counted(&weir, 2 * RECORDS)?;
    let expected: Vec<(u64, u64)> = (0..10).map(|k| (k, 2 * RECORDS / 10)).collect();
    ensure!(counted == expected, "{counted:?}");
    Ok(())
}
