//! From the cost of one record to CFUs.
//!
//! Place in the flow: prepared once per estimate, asked once per draw; `explain` shows the same numbers. Invariant: more load never needs
//! fewer CFUs.

use weir_model::workload::StatementClass;

use crate::checkpoint::optimal_period_seconds;
use crate::error::Error;
use crate::profile::{CpuCost, Profile, TierRule};
use crate::queueing::{Queue, utilisation_for_wait};
use crate::skew::{KeyGroupLoads, hottest_key_share};
use crate::workload::Workload;

/// Largest parallelism that is searched for keyed statements.
///
/// # Source
/// Guess: ten times the largest statement that Confluent runs.
const PARALLELISM_MAX: u32 = 512;

/// Bytes of a key with its bookkeeping in a state table.
///
/// # Source
/// Guess, unmeasured: 16 bytes of key, a hash entry and a timer.
const STATE_ENTRY_BYTES: f64 = 64.0;

/// Bytes of the accumulators of one group.
///
/// # Source
/// Guess, unmeasured: four aggregates of 16 bytes.
const ACCUMULATOR_BYTES: f64 = 64.0;

/// Windows of a key that are open at the same time.
///
/// # Source
/// The present tumbling window and the one that waits for the watermark.
const OPEN_WINDOWS: f64 = 2.0;

/// Memory of a slot apart from its state.
///
/// # Source
/// Guess, unmeasured: batches and buffers.
const SLOT_BYTES: f64 = 32e6;

/// Memory for each byte of state.
///
/// # Source
/// Guess, unmeasured: a hash table between half and fully loaded.
const MEMORY_PER_STATE: f64 = 1.5;

/// Mean time between failures of a statement, seconds.
///
/// # Source
/// Guess, unmeasured: a day.
const MTBF_SECONDS: f64 = 86_400.0;

/// Smallest cost of a checkpoint, seconds.
///
/// # Source
/// Guess, unmeasured: aligning the barrier and one write.
const CHECKPOINT_SECONDS_MIN: f64 = 0.05;

/// Time between checkpoints for each second that one takes.
///
/// # Source
/// Published guides: the interval is at least one and a half times the duration.
const INTERVAL_PER_DURATION: f64 = 1.5;

/// What does not depend on the draw.
#[derive(Debug, Clone)]
pub(crate) struct Sizing {
    /// Records per second.
    pub(crate) rate: f64,
    /// Bytes of a record.
    pub(crate) record_bytes: f64,
    /// Cost of a record.
    pub(crate) cost: CpuCost,
    /// Rule of the latency tier.
    pub(crate) tier: TierRule,
    /// Utilisation that the profile and the tier allow.
    pub(crate) utilisation_tier: f64,
    /// Utilisation at which waits meet the latency target.
    pub(crate) utilisation_latency: f64,
    /// Share of the hottest key, 0 for statements without keys.
    pub(crate) hottest_share: f64,
    /// Largest parallelism, if there is a limit.
    pub(crate) parallelism_max: Option<u32>,
    /// How many fully used slots each parallelism is worth, from 1 on; empty without keys.
    speed_ups: Vec<f64>,
    /// State.
    pub(crate) state_bytes: f64,
}

/// CFUs for one cost of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// CFUs, the most that help if there is no number that suffices.
    pub(crate) cfus: u32,
    /// Whether they suffice.
    pub(crate) is_sufficient: bool,
}

impl Sizing {
    /// Prepares a valid workload.
    pub(crate) fn new(workload: &Workload, profile: &Profile) -> Result<Self, Error> {
        let cost = *profile.cost(workload.class)?;
        let tier = profile.tier(workload.latency_tier);
        let is_keyed = workload.is_keyed();
        let (hottest_share, speed_ups) = if is_keyed {
            let (keys, exponent) = (workload.distinct_keys, workload.zipf_exponent);
            let speed_ups = speed_ups(workload);
            (hottest_key_share(keys, exponent), speed_ups)
        } else {
            (0.0, Vec::new())
        };
        let parallelism_max = if is_keyed {
            u32::try_from(speed_ups.len()).ok()
        } else {
            workload.partitions
        };
        let record_seconds = cost.seconds(workload.record_bytes, 0.0);
        let utilisation_latency = utilisation_latency(workload, profile, record_seconds);
        Ok(Self {
            rate: workload.records_per_second,
            record_bytes: workload.record_bytes,
            cost,
            tier,
            utilisation_tier: profile.utilisation_max / tier.cpu_factor,
            utilisation_latency,
            hottest_share,
            parallelism_max,
            speed_ups,
            state_bytes: workload.keys() * entry_bytes(workload),
        })
    }

    /// Share of its time that a slot may be busy.
    pub(crate) fn utilisation(&self) -> f64 {
        // A latency target that no load meets would ask for infinitely many slots: the smallest share keeps numbers finite.
        self.utilisation_tier
            .min(self.utilisation_latency)
            .max(1e-6)
    }

    /// Cores that the records keep busy.
    pub(crate) fn busy_cores(&self, record_seconds: f64) -> f64 {
        self.rate * record_seconds
    }

    /// Slots that would be needed if load could be split at will.
    pub(crate) fn slots(&self, record_seconds: f64) -> f64 {
        self.busy_cores(record_seconds) * self.cost.slot_seconds_per_cpu_second / self.utilisation()
    }

    /// How many fully used slots a parallelism is worth.
    pub(crate) fn speed_up(&self, parallelism: u32) -> f64 {
        let index = (parallelism.max(1) - 1) as usize;
        self.speed_ups
            .get(index)
            .copied()
            .unwrap_or(f64::from(parallelism))
    }

    /// The fewest CFUs that keep up.
    pub(crate) fn need(&self, record_seconds: f64) -> Need {
        let slots = self.slots(record_seconds);
        let cfus = if self.speed_ups.is_empty() {
            ceil_to_count(slots)
        } else {
            let below = self.speed_ups.partition_point(|speed_up| *speed_up < slots);
            u32::try_from(below).unwrap_or(u32::MAX).saturating_add(1)
        };
        let limit = self.parallelism_max.unwrap_or(u32::MAX);
        Need {
            cfus: cfus.min(limit),
            is_sufficient: cfus <= limit,
        }
    }

    /// Memory of all slots.
    pub(crate) fn memory_bytes(&self, cfus: u32) -> f64 {
        self.state_bytes * MEMORY_PER_STATE + f64::from(cfus) * SLOT_BYTES
    }

    /// Time between two checkpoints, and that of one.
    pub(crate) fn checkpoint_seconds(&self, profile: &Profile, cfus: u32) -> (f64, Option<f64>) {
        let Some(rate) = profile.checkpoint_bytes_per_second else {
            return (self.tier.checkpoint_seconds_max, None);
        };
        let duration = (self.state_bytes / (rate * f64::from(cfus))).max(CHECKPOINT_SECONDS_MIN);
        let best = optimal_period_seconds(duration, MTBF_SECONDS);
        let interval = best.min(self.tier.checkpoint_seconds_max);
        (
            interval.max(duration * INTERVAL_PER_DURATION),
            Some(duration),
        )
    }
}

/// The whole number at or above, at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "conversion saturates, and the number is at least 1"
)]
pub(crate) fn ceil_to_count(number: f64) -> u32 {
    // A hair below the next number is rounding of the formulas, not load.
    libm::ceil(number - 1e-9 * number.abs()).max(1.0) as u32
}

/// The share of its time that a slot may be busy so that 99 % of the waits stay within the latency target.
fn utilisation_latency(workload: &Workload, profile: &Profile, record_seconds: f64) -> f64 {
    let target = workload.latency_tier.seconds_max();
    let Some((seconds_max, batch)) = target.zip(profile.arrival_batch) else {
        return 1.0;
    };
    let queue = Queue {
        arrival_scv: batch,
        ..Queue::markov(1, 0.0, record_seconds)
    };
    utilisation_for_wait(&queue, seconds_max)
}

/// How many fully used slots each parallelism is worth; never falling, since nobody has to use more than the best.
fn speed_ups(workload: &Workload) -> Vec<f64> {
    let keys_max = u32::try_from(workload.distinct_keys).unwrap_or(u32::MAX);
    let limit = workload.key_groups.min(keys_max).min(PARALLELISM_MAX);
    let loads = KeyGroupLoads::new(
        workload.distinct_keys,
        workload.zipf_exponent,
        workload.key_groups,
    );
    let mut best = 0.0_f64;
    (1..=limit)
        .map(|parallelism| {
            best = best.max(1.0 / loads.busiest_share(parallelism));
            best
        })
        .collect()
}

/// State of a key.
fn entry_bytes(workload: &Workload) -> f64 {
    match workload.class {
        StatementClass::Stateless => 0.0,
        StatementClass::WindowAggregate => OPEN_WINDOWS * (STATE_ENTRY_BYTES + ACCUMULATOR_BYTES),
        StatementClass::GroupAggregate => STATE_ENTRY_BYTES + ACCUMULATOR_BYTES,
        StatementClass::Rank => STATE_ENTRY_BYTES + workload.record_bytes,
        // A row of each side.
        StatementClass::Join => 2.0 * (STATE_ENTRY_BYTES + workload.record_bytes),
    }
}
