//! `weir demo` and the figures of its report.
//!
//! Place in the flow: runs the program without any component; the Kafka form is called from `kafka`. Invariant: the figures come from
//! different counters, so that their identities prove something.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::harness::{Weir, output};

/// Dollars per CFU-minute.
///
/// # Source
/// Confluent's list price of 0.21 dollars per CFU-hour.
const DOLLARS_PER_CFU_MINUTE: f64 = 0.21 / 60.0;

/// Runs the demo and checks its report.
///
/// # Errors
/// When a figure is missing or an identity does not hold.
pub(crate) fn run_demo(options: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let text = output(
        Weir::program()
            .args(["demo", "--seconds", "20", "--json"])
            .args(options)
            .current_dir(folder.path()),
    )?;
    let report: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let count = |name: &str| -> Result<u64> {
        report[name]
            .as_u64()
            .with_context(|| format!("{name} in {report}"))
    };
    let number = |name: &str| -> Result<f64> {
        report[name]
            .as_f64()
            .with_context(|| format!("{name} in {report}"))
    };
    ensure!(count("produced")? > 0, "nothing produced: {report}");
    ensure!(count("dead_letters")? > 0, "no dead letters: {report}");
    ensure!(
        count("produced")? == count("decoded")? + count("dead_letters")?,
        "produced is not decoded + dead_letters: {report}"
    );
    ensure!(count("filtered_in")? > 0, "nothing filtered in: {report}");
    ensure!(
        count("window_count_sum")? + count("late")? == count("filtered_in")?,
        "window_count_sum + late is not filtered_in: {report}"
    );
    ensure!(number("cfu_minutes")? > 0.0, "no CFU-minutes: {report}");
    let cost = number("cfu_minutes")? * DOLLARS_PER_CFU_MINUTE;
    ensure!(
        (number("cost")? - cost).abs() < 1e-6,
        "cost is not the price of cfu_minutes, {cost}: {report}"
    );
    ensure!(
        number("records_per_cpu_second")? > 0.0,
        "no records per CPU-second: {report}"
    );
    ensure!(report["estimate"].is_object(), "no estimate: {report}");
    Ok(())
}

#[test]
fn the_report_adds_up_on_the_embedded_log() -> Result<()> {
    run_demo(&[])
}
