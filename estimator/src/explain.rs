//! Every formula of an estimate with its numbers.
//!
//! Place in the flow: for people who want to check. Invariant: the numbers are those of [`crate::estimate`] at the median cost.

use serde::Serialize;

use crate::profile::Profile;
use crate::sizing::Sizing;
use crate::workload::Workload;

/// One step of the reckoning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What is reckoned.
    pub name: &'static str,
    /// How.
    pub formula: String,
    /// The result.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Where formula and numbers come from.
    pub source: String,
}

/// The steps at the median cost of a record; none for a workload or a profile that [`crate::estimate`] refuses.
pub fn explain(workload: &Workload, profile: &Profile) -> Vec<Step> {
    let is_valid = workload.validate().is_ok() && profile.validate().is_ok();
    match Sizing::new(workload, profile) {
        Ok(sizing) if is_valid => steps(workload, profile, &sizing),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The steps of a valid workload.
fn steps(workload: &Workload, profile: &Profile, sizing: &Sizing) -> Vec<Step> {
    let mut all = Vec::new();
    let mut add = |name, formula: String, value: f64, unit, source: &str| {
        let source = source.into();
        all.push(Step {
            name,
            formula,
            value,
            unit,
            source,
        });
    };
    let (rate, bytes) = (workload.records_per_second, workload.record_bytes);
    let cost = &sizing.cost;
    let seconds = cost.seconds(bytes, 0.0);
    let (median, per_byte) = (libm::exp(cost.mu), cost.serde_seconds_per_byte);
    add(
        "CPU of a record",
        format!("{median:e} + {per_byte:e} x {bytes} bytes"),
        seconds,
        "seconds",
        &profile.provenance,
    );
    let busy = sizing.busy_cores(seconds);
    add(
        "busy cores",
        format!("{rate} x {seconds:e}"),
        busy,
        "cores",
        "rate times cost",
    );
    let (factor, allowed) = (sizing.tier.cpu_factor, profile.utilisation_max);
    add(
        "utilisation by tier",
        format!("{allowed} / {factor}"),
        sizing.utilisation_tier,
        "share",
        "autoscaler of Flink's Kubernetes operator; latency tiers of the published guides",
    );
    add(
        "utilisation by latency",
        format!("P99 of the wait within {}", workload.latency_tier),
        sizing.utilisation_latency,
        "share",
        "Kingman 1961 for one server with batches of records",
    );
    let (utilisation, waiting) = (sizing.utilisation(), cost.slot_seconds_per_cpu_second);
    let slots = sizing.slots(seconds);
    add(
        "cores",
        format!("{busy:.4} x {waiting} / {utilisation:.4}"),
        slots,
        "cores",
        "work divided by the share of time allowed",
    );
    let need = sizing.need(seconds);
    let cfus = need.cfus;
    add(
        "worth of the slots",
        format!("1 / share of the busiest of {cfus} subtasks"),
        sizing.speed_up(cfus),
        "slots",
        "Zipf's law over the keys, Flink's key groups",
    );
    add(
        "CFUs",
        format!("fewest slots worth {slots:.4}"),
        f64::from(cfus),
        "CFUs",
        "a slot is a thread is a CFU",
    );
    add(
        "state",
        format!(
            "{} keys x bytes of a key of class {}",
            workload.distinct_keys,
            workload.class.as_str()
        ),
        sizing.state_bytes,
        "bytes",
        "sizes of entries: guess, unmeasured",
    );
    let (interval, _) = sizing.checkpoint_seconds(profile, cfus);
    add(
        "checkpoint interval",
        format!("optimum, at most {} s", sizing.tier.checkpoint_seconds_max),
        interval,
        "seconds",
        "Lambert's W as in arXiv 1911.11915; latency tiers of the published guides",
    );
    all
}
