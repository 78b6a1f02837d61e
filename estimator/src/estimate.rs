//! The estimate: intervals by seeded draws.
//!
//! Place in the flow: workload and profile in, what to buy out. Invariant: draws do not depend on the workload, so two estimates with one
//! seed differ by their workloads only, and a higher rate never gives a smaller number.

use serde::Serialize;
use weir_model::cfu::{CfuMillis, CfuPrice};

use crate::error::{Error, check};
use crate::profile::Profile;
use crate::rng::Rng;
use crate::sizing::{Sizing, ceil_to_count};
use crate::workload::Workload;

/// Most draws.
///
/// # Source
/// Bound: a hundred times the default.
const DRAWS_MAX: u32 = 1_000_000;

/// Sizes that a compute pool of Confluent Cloud can have.
///
/// # Source
/// Confluent's `fcpm/v2` description of `max_cfu`.
const MAX_CFU_SIZES: [u32; 6] = [5, 10, 20, 30, 40, 50];

/// CFUs that one statement can hold in Confluent Cloud.
///
/// # Source
/// Confluent's documentation of compute pools.
const STATEMENT_CFUS_MAX: u32 = 50;

/// Observations below which measuring the cost comes before anything else.
///
/// # Source
/// Guess: at ten the interval is a third of the prior's.
const WEIGHT_ENOUGH: f64 = 10.0;

/// How the draws are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EstimateOptions {
    /// Seed.
    pub seed: u64,
    /// Number of draws.
    pub draws: u32,
}

impl Default for EstimateOptions {
    /// Seed 1 and 10,000 draws, at which a P95 is stable to a few percent.
    fn default() -> Self {
        Self {
            seed: 1,
            draws: 10_000,
        }
    }
}

/// What half, four fifths and nineteen twentieths of all draws stay at or below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quantiles<T> {
    /// Median.
    pub p50: T,
    /// The number to plan with.
    pub p80: T,
    /// The number to set limits with.
    pub p95: T,
}

impl<T: Copy> Quantiles<T> {
    /// Quantiles of sorted numbers, of which there is at least one.
    fn of(sorted: &[T]) -> Self {
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        Self {
            p50: at(50),
            p80: at(80),
            p95: at(95),
        }
    }

    /// The same quantiles of a growing function.
    fn map<U>(self, function: impl Fn(T) -> U) -> Quantiles<U> {
        Quantiles {
            p50: function(self.p50),
            p80: function(self.p80),
            p95: function(self.p95),
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The question.
    pub workload: Workload,
    /// Name of the profile.
    pub profile: String,
    /// Where the profile comes from.
    pub provenance: String,
    /// Seed of the draws.
    pub seed: u64,
    /// Number of draws.
    pub draws: u32,
    /// Cores to provide, with the room that utilisation and latency ask for.
    pub cores: Quantiles<f64>,
    /// CFUs, at least 1.
    pub cfus: Quantiles<u32>,
    /// CFU-minutes per month.
    pub cfu_minutes_per_month: Quantiles<u64>,
    /// US dollars per month.
    pub cost_per_month_dollars: Quantiles<f64>,
    /// Share of the draws for which some number of CFUs suffices.
    pub probability_sustainable: f64,
    /// State held.
    pub state_bytes: u64,
    /// Memory at the CFUs of P80.
    pub memory_bytes: u64,
    /// Time between two checkpoints.
    pub checkpoint_interval_seconds: f64,
    /// Duration of one checkpoint, if the profile knows how fast it is written.
    pub checkpoint_duration_seconds: Option<f64>,
    /// Share of its time that a slot is to be busy.
    pub utilisation_target: f64,
    /// What limits the statement first.
    pub binding_constraint: Constraint,
    /// What limits it next, nearest first.
    pub next_constraints: Vec<Constraint>,
    /// Size of the compute pool that covers P95.
    pub recommended_max_cfu: u32,
    /// Machines, if the profile sizes machines.
    pub nodes: Option<Nodes>,
    /// What would narrow the answer most, best first.
    pub measure_next: Vec<Measurement>,
}

/// Something that limits the statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Constraint {
    /// What it is.
    pub kind: ConstraintKind,
    /// How much of it is used at P80; above 1 it cannot be met.
    pub used: f64,
    /// The same in words.
    pub detail: String,
}

/// What can limit a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConstraintKind {
    /// CPU of the slots.
    Cpu,
    /// Latency target: slots must stay less busy.
    Latency,
    /// The hottest key, which one subtask has to take alone.
    HotKey,
    /// Key groups or distinct keys, which bound the parallelism.
    KeyGroups,
    /// Partitions of the input.
    Partitions,
    /// The most CFUs that one statement can hold.
    StatementLimit,
}

/// Machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Nodes {
    /// How many.
    pub count: u32,
    /// Cores of each.
    pub cores: u32,
    /// Memory of each.
    pub memory_bytes: u64,
}

/// Something to measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// What and how.
    pub what: String,
    /// By how much the CFUs of P80 could differ, as a factor.
    pub factor: f64,
}

/// Sizes a workload.
///
/// # Errors
/// [`Error::OutOfRange`] for inputs out of their range, [`Error::UnknownClass`] if the profile lacks the class.
pub fn estimate(
    workload: &Workload,
    profile: &Profile,
    options: EstimateOptions,
) -> Result<Estimate, Error> {
    workload.validate()?;
    profile.validate()?;
    let in_range = (1..=DRAWS_MAX).contains(&options.draws);
    check(
        "draws",
        f64::from(options.draws),
        in_range,
        "between 1 and 1000000",
    )?;
    let sizing = Sizing::new(workload, profile)?;
    let seconds = draw(&sizing, options);
    let quantiles = Quantiles::of(&seconds);
    let needs = quantiles.map(|seconds| sizing.need(seconds));
    let cfus = needs.map(|need| need.cfus);
    let (interval, duration) = sizing.checkpoint_seconds(profile, cfus.p80);
    let cfu_minutes = cfus.map(|cfus| minutes_per_month(cfus, workload.days_per_month));
    let sustainable = seconds.partition_point(|seconds| sizing.need(*seconds).is_sufficient);
    let mut constraints = constraints(workload, &sizing, quantiles.p80, cfus.p80);
    let memory_bytes = sizing.memory_bytes(cfus.p80);
    let cores = quantiles.map(|seconds| sizing.slots(seconds));
    Ok(Estimate {
        workload: workload.clone(),
        profile: profile.name.clone(),
        provenance: profile.provenance.clone(),
        seed: options.seed,
        draws: options.draws,
        cores,
        cfus,
        cfu_minutes_per_month: cfu_minutes,
        cost_per_month_dollars: cfu_minutes.map(|minutes| dollars(minutes, workload.price)),
        probability_sustainable: ratio(sustainable, seconds.len()),
        state_bytes: whole(sizing.state_bytes),
        memory_bytes: whole(memory_bytes),
        checkpoint_interval_seconds: interval,
        checkpoint_duration_seconds: duration,
        utilisation_target: sizing.utilisation(),
        binding_constraint: constraints.remove(0),
        next_constraints: constraints,
        recommended_max_cfu: max_cfu(cfus.p95),
        nodes: nodes(profile, cores.p80, memory_bytes),
        measure_next: measurements(workload, profile, &sizing, quantiles),
    })
}

/// CPU seconds of a record for each draw, sorted.
fn draw(sizing: &Sizing, options: EstimateOptions) -> Vec<f64> {
    let mut rng = Rng::new(options.seed);
    let pairs = options.draws.div_ceil(2);
    let mut seconds: Vec<f64> = (0..pairs)
        .flat_map(|_| <[f64; 2]>::from(rng.normal_pair()))
        .take(options.draws as usize)
        .map(|deviations| sizing.cost.seconds(sizing.record_bytes, deviations))
        .collect();
    seconds.sort_unstable_by(f64::total_cmp);
    seconds
}

/// CFU-minutes of a month.
fn minutes_per_month(cfus: u32, days: f64) -> u64 {
    // The minutes of a statement are whole: one that was begun is billed.
    u64::from(cfus) * u64::from(ceil_to_count(days * 24.0 * 60.0))
}

/// What CFU-minutes cost.
fn dollars(cfu_minutes: u64, price: CfuPrice) -> f64 {
    price.cost(CfuMillis::from_minutes(cfu_minutes)).as_f64()
}

/// The smallest pool that holds so many CFUs; statements beyond the largest get the next ten.
fn max_cfu(cfus: u32) -> u32 {
    MAX_CFU_SIZES
        .into_iter()
        .find(|size| *size >= cfus)
        .unwrap_or_else(|| cfus.div_ceil(10).saturating_mul(10))
}

/// The machines of the profile that hold cores and memory.
fn nodes(profile: &Profile, cores: f64, memory_bytes: f64) -> Option<Nodes> {
    let shape = profile.node?;
    let by_cores = ceil_to_count(cores / f64::from(shape.cores));
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
    let by_memory = ceil_to_count(memory_bytes / shape.memory_bytes.max(1) as f64);
    Some(Nodes {
        count: by_cores.max(by_memory).max(shape.count_min),
        cores: shape.cores,
        memory_bytes: shape.memory_bytes,
    })
}

/// Every constraint, the most used first.
fn constraints(
    workload: &Workload,
    sizing: &Sizing,
    record_seconds: f64,
    cfus: u32,
) -> Vec<Constraint> {
    let slots = sizing.slots(record_seconds);
    let mut all = Vec::new();
    let mut add = |kind, used: f64, detail: String| all.push(Constraint { kind, used, detail });
    let worth = sizing.speed_up(cfus);
    let kind = if sizing.utilisation_latency < sizing.utilisation_tier {
        ConstraintKind::Latency
    } else {
        ConstraintKind::Cpu
    };
    let busy = sizing.utilisation() * 100.0;
    add(
        kind,
        slots / worth,
        format!("{slots:.2} slots at {busy:.0} % busy, of {worth:.2} that {cfus} CFUs are worth"),
    );
    if workload.is_keyed() {
        let used = slots * sizing.hottest_share;
        let share = sizing.hottest_share * 100.0;
        let detail = format!(
            "the hottest key has {share:.3} % of the records and keeps one slot {used:.2} full"
        );
        add(ConstraintKind::HotKey, used, detail);
        let limit = sizing.parallelism_max.unwrap_or(1);
        let detail =
            format!("parallelism {cfus} of at most {limit} by key groups and distinct keys");
        let needed = slots.max(f64::from(cfus));
        add(ConstraintKind::KeyGroups, needed / f64::from(limit), detail);
    }
    if let Some(partitions) = workload.partitions {
        let used = source_slots(workload, sizing, slots) / f64::from(partitions);
        let detail = format!("{partitions} partitions bound the parallelism of the source");
        add(ConstraintKind::Partitions, used, detail);
    }
    let used = slots.max(f64::from(cfus)) / f64::from(STATEMENT_CFUS_MAX);
    let detail =
        format!("{cfus} CFUs of at most {STATEMENT_CFUS_MAX} for one statement in Confluent Cloud");
    add(ConstraintKind::StatementLimit, used, detail);
    all.sort_by(|a, b| b.used.total_cmp(&a.used));
    all
}

/// Slots of the source: all of a stateless statement, decoding and encoding of a keyed one.
fn source_slots(workload: &Workload, sizing: &Sizing, slots: f64) -> f64 {
    if !workload.is_keyed() {
        return slots;
    }
    slots * (1.0 - 1.0 / sizing.cost.size_factor(workload.record_bytes))
}

/// What would narrow the answer, best first.
fn measurements(
    workload: &Workload,
    profile: &Profile,
    sizing: &Sizing,
    seconds: Quantiles<f64>,
) -> Vec<Measurement> {
    let mut all = Vec::new();
    let cost = &sizing.cost;
    if cost.sigma > 0.0 && cost.weight < WEIGHT_ENOUGH {
        all.push(Measurement {
            what: format!(
                "CPU time of a record: run a {} statement on this machine and calibrate profile {} with its meter",
                workload.class.as_str(),
                profile.name
            ),
            factor: seconds.p95 / seconds.p50,
        });
    }
    let now = sizing.need(seconds.p80);
    if workload.is_keyed() && workload.zipf_exponent == 0.0 {
        let skewed = Workload {
            zipf_exponent: 1.0,
            ..workload.clone()
        };
        // The workload is valid and the class known, or there would be no sizing to compare with.
        if let Ok(skewed) = Sizing::new(&skewed, profile) {
            let worth = sizing.speed_up(now.cfus) / skewed.speed_up(now.cfus);
            all.push(Measurement {
                what: "skew of the keys: the share of the hottest ones".into(),
                factor: worth.max(1.0),
            });
        }
    }
    if workload.partitions.is_none() && now.cfus > 1 {
        all.push(Measurement {
            what: "partitions of the input, which bound the parallelism of the source".into(),
            factor: f64::from(now.cfus),
        });
    }
    let half = workload.record_bytes / 2.0;
    let smaller = cost.size_factor(workload.record_bytes) / cost.size_factor(half);
    if smaller > 1.0 {
        all.push(Measurement {
            what: "bytes of a record".into(),
            factor: smaller,
        });
    }
    all.sort_by(|a, b| b.factor.total_cmp(&a.factor));
    all
}

/// A share of a count.
#[expect(clippy::cast_precision_loss, reason = "draws are bounded")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// A number of bytes, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "conversion saturates, and bytes are at least 0"
)]
fn whole(bytes: f64) -> u64 {
    libm::round(bytes) as u64
}
