//! Records that come too late for their window.
//!
//! Place in the flow: orders with more disorder than the watermark allows. Invariant: a record is in a window or is counted as late, and
//! never both.

use anyhow::{Context, Result, ensure};

use crate::harness::Weir;
use crate::orders::{EmbeddedLog, Orders, text, whole};

/// Records: enough that windows close while many are still to come.
const RECORDS: u64 = 20_000;

/// How long the statement may take; a second on an idle machine.
const RUN_SECONDS_MAX: u64 = 60;

/// Windows over orders that come up to 4 s after the newest time, with a watermark that waits for half a second.
const TABLES: &str = "
CREATE TABLE hasty (id BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.5' SECOND)
  DISTRIBUTED INTO 4 BUCKETS WITH ('value.format' = 'json', 'scan.bounded.mode' = 'latest-offset');
CREATE TABLE counts (window_start TIMESTAMP(3), n BIGINT) WITH ('value.format' = 'json');
";

/// Windows that close eight times while one second of orders is still to come.
const INSERT: &str = "
INSERT INTO counts
  SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE hasty, DESCRIPTOR(ts), INTERVAL '1' SECOND))
  GROUP BY window_start, window_end;
";

/// Late records of all operators of the one statement that has a job.
fn late_records(weir: &Weir) -> Result<u64> {
    let meter = weir.meter()?;
    let operators = meter["statements"]
        .as_array()
        .context("no statements")?
        .iter()
        .filter_map(|statement| statement["job"]["operators"].as_array())
        .flatten();
    operators
        .map(|operator| whole(operator, "late_records_total"))
        .sum()
}

#[test]
fn late_records_and_rows_in_windows_are_all_records() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut weir = Weir::up(folder.path(), &[])?;
    weir.sql(TABLES)?;
    let orders = Orders::new(RECORDS).map(|order| text(&order.json()));
    EmbeddedLog::append(&weir, "hasty", orders)?;
    weir.sql(&format!("SET 'parallelism.default' = '3';{INSERT}"))?;
    weir.wait_completed(RUN_SECONDS_MAX)?;
    let late = late_records(&weir)?;
    let counts = EmbeddedLog::select(&weir, "n", "counts")?;
    let counted = counts
        .iter()
        .map(|row| whole(row, "n"))
        .sum::<Result<u64>>()?;
    ensure!(late > 0, "no record is late");
    ensure!(
        counted + late == RECORDS,
        "{counted} records in windows and {late} late ones of {RECORDS}"
    );
    Ok(())
}
