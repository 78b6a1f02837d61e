//! The demo's forecast: ten times the load, calibrated by the run itself.
//!
//! Place in the flow: after the run, from two readings of its meter. Invariant: the only inputs are the meter and the bytes of the orders
//! topic.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weir_estimator::{
    EstimateOptions, LatencyTier, Observation, Profile, Workload, calibrate, estimate, to_markdown,
};
use weir_model::meter::Statement;

use crate::command::calibrate::class_of;
use crate::command::estimate::DRAWS;

/// How much more load is forecast.
const TIMES: f64 = 10.0;

/// Seed of the draws.
const SEED: u64 = 1;

/// What the run says of ten times its load.
pub(super) struct Forecast {
    /// CPU time of all slots, seconds.
    pub(super) cpu_seconds: f64,
    /// Records decoded per CPU-second.
    pub(super) records_per_cpu_second: f64,
    /// The estimate and how it was reached.
    pub(super) estimate: Value,
}

/// Calibrates and estimates.
///
/// # Errors
/// When the run was too short to learn from, or its figures are out of range.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a demo are far below 2^53"
)]
pub(super) fn forecast(
    earlier: &(i64, Statement),
    later: &(i64, Statement),
    decoded: u64,
    order_bytes: u64,
) -> Result<Forecast> {
    let cpu_seconds = later.1.cpu_ns() as f64 / 1e9;
    let interval_ms = u64::try_from(later.0 - earlier.0).context("the clock went back")?;
    let class = class_of(&later.1);
    let prior = Profile::weir_prior();
    let observation = Observation::between(&earlier.1, &later.1, interval_ms, class);
    let observation =
        observation.context("the run is too short to learn from; feed it longer with --seconds")?;
    let calibration = calibrate(std::slice::from_ref(&observation), &prior);
    let job = later
        .1
        .job
        .as_ref()
        .context("the meter forgot the statement's last run")?;
    let read_before: u64 = records(&earlier.1);
    let read = decoded.saturating_sub(read_before).max(1);
    let rate = (read as f64 * 1000.0 / interval_ms.max(1) as f64).round();
    let keys = job
        .operators
        .iter()
        .map(|operator| operator.state_keys)
        .max()
        .unwrap_or(1)
        .max(1);
    let record_bytes = (order_bytes as f64 / decoded.max(1) as f64).round();
    let workload = Workload::new(rate * TIMES, record_bytes, class, keys, LatencyTier::Sub1S);
    let sized = estimate(
        &workload,
        &calibration.profile,
        EstimateOptions {
            seed: SEED,
            draws: DRAWS,
        },
    )?;
    let mut value = serde_json::to_value(&sized)?;
    value["records_per_second"] = json!(rate * TIMES);
    value["calibrated_by_observations"] = json!(calibration.used.len());
    value["markdown"] = json!(to_markdown(&sized));
    Ok(Forecast {
        cpu_seconds,
        records_per_cpu_second: (decoded as f64 / cpu_seconds.max(1e-9)).round(),
        estimate: value,
    })
}

/// Records that a statement has read.
fn records(statement: &Statement) -> u64 {
    statement
        .tables(weir_model::meter::Direction::Read)
        .map(|table| table.records_total)
        .sum()
}

/// The estimate for a person.
pub(super) fn summary(estimate: &Value) -> String {
    estimate["markdown"].as_str().unwrap_or_default().to_owned()
}
