//! Every formula of an estimate with its numbers.
//!
//! Place in the flow: for people who want to check. Invariant: the numbers are those of [`crate::estimate()`] at the median cost.

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

/// The steps at the median cost of a record; none for a workload or a profile that [`crate::estimate()`] refuses.
pub fn explain(workload: &Workload, profile: &Profile) -> Vec<Step> {
    let is_valid = workload.validate().is_ok() && profile.validate().is_ok();
    match Sizing::new(workload, profile) {
        Ok(sizing) if is_valid => steps(workload, profile, &sizing),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The steps of a valid workload.
fn steps(workload: &Workload, profile: &Profile, sizing: &Sizing) -> Vec<Step> {
    let mut all = Vec::from(load_steps(workload, profile, sizing));
    all.extend(size_steps(workload, profile, sizing));
    all
}

/// A step.
fn step(name: &'static str, formula: String, result: (f64, &'static str), source: &str) -> Step {
    Step {
        name,
        formula,
        value: result.0,
        unit: result.1,
        source: source.into(),
    }
}

/// From a record to busy cores and the share of time that slots may be busy.
fn load_steps(workload: &Workload, profile: &Profile, sizing: &Sizing) -> [Step; 4] {
    let (rate, bytes) = (workload.records_per_second, workload.record_bytes);
    let cost = &sizing.cost;
    let seconds = cost.seconds(bytes, 0.0);
    let (median, per_byte) = (libm::exp(cost.mu), cost.serde_seconds_per_byte);
    let (factor, allowed) = (sizing.tier.cpu_factor, profile.utilisation_max);
    [
        step(
            "CPU of a record",
            format!("{median:e} + {per_byte:e} x {bytes} bytes"),
            (seconds, "seconds"),
            &profile.provenance,
        ),
        step(
            "busy cores",
            format!("{rate} x {seconds:e}"),
            (sizing.busy_cores(seconds), "cores"),
            "rate times cost",
        ),
        step(
            "utilisation by tier",
            format!("{allowed} / {factor}"),
            (sizing.utilisation_tier, "share"),
            "autoscaler of Flink's Kubernetes operator; latency tiers of the published guides",
        ),
        step(
            "utilisation by latency",
            format!("99 % of the waits within {}", workload.latency_tier),
            (sizing.utilisation_latency, "share"),
            "one server with batches of records: Kingman 1961",
        ),
    ]
}

/// From busy cores to CFUs, state and checkpoints.
fn size_steps(workload: &Workload, profile: &Profile, sizing: &Sizing) -> [Step; 5] {
    let cost = &sizing.cost;
    let seconds = cost.seconds(workload.record_bytes, 0.0);
    let (busy, utilisation) = (sizing.busy_cores(seconds), sizing.utilisation());
    let waiting = cost.slot_seconds_per_cpu_second;
    let slots = sizing.slots(seconds);
    let cfus = sizing.need(seconds).cfus;
    let (interval, _) = sizing.checkpoint_seconds(profile, cfus);
    let (keys, class) = (workload.distinct_keys, workload.class.as_str());
    [
        step(
            "cores",
            format!("{busy:.4} x {waiting} / {utilisation:.4}"),
            (slots, "cores"),
            "work divided by the share of time allowed",
        ),
        step(
            "worth of the slots",
            format!("1 / share of the busiest of {cfus} subtasks"),
            (sizing.speed_up(cfus), "slots"),
            "Zipf's law over the keys, Flink's key groups",
        ),
        step(
            "CFUs",
            format!("fewest slots worth {slots:.4}"),
            (f64::from(cfus), "CFUs"),
            "a slot is a thread is a CFU",
        ),
        step(
            "state",
            format!("{keys} keys x bytes of a key of class {class}"),
            (sizing.state_bytes, "bytes"),
            "sizes of entries: guess, unmeasured",
        ),
        step(
            "checkpoint interval",
            format!("optimum, at most {} s", sizing.tier.checkpoint_seconds_max),
            (interval, "seconds"),
            "Lambert's W as in arXiv 1911.11915; latency tiers of the published guides",
        ),
    ]
}
