//! What the meter teaches the profile.
//!
//! Place in the flow: two snapshots of a statement make an observation, observations narrow a profile. Invariant: a point that cannot
//! teach is refused with its reason; how long a slot takes for a second of CPU is learnt from saturated points only, since an idle slot
//! says nothing about what it could do.

use serde::{Deserialize, Serialize};
use weir_model::meter::{Direction, Statement};
use weir_model::workload::StatementClass;

use crate::profile::{CpuCost, Profile};

/// Records that a point must have.
///
/// # Source
/// Guess: below it the fixed work of a slot hides the cost of a record.
pub const RECORDS_MIN: u64 = 1_000;

/// Share of its time from which a slot counts as saturated.
///
/// # Source
/// Guess of the published notes on autoscalers: below it, capacity was not seen.
const SATURATED_SHARE: f64 = 0.95;

/// Degrees of freedom of the spread before any observation.
///
/// # Source
/// The least whole number at which the spread has a mean.
const PRIOR_FREEDOM: f64 = 2.0;

/// A statement between two snapshots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Class.
    pub class: StatementClass,
    /// Time between the snapshots.
    pub interval_seconds: f64,
    /// Records read; written if it reads no table.
    pub records: u64,
    /// Bytes of these records.
    pub bytes: u64,
    /// CPU time of all slots.
    pub cpu_seconds: f64,
    /// Time in which the slots worked, waiting not included.
    pub busy_seconds: f64,
    /// Slots.
    pub slots: u32,
    /// Records that waited at both ends of the interval, if known.
    pub pending_records: Option<u64>,
}

/// A point that taught something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Used {
    /// The point.
    pub observation: Observation,
    /// Whether it taught capacity too; if not, the statement was not saturated.
    pub is_saturated: bool,
}

/// Backlog, in seconds of the rate reached, from which on a statement counts as saturated (guess: well above what one poll holds).
const BACKLOG_SECONDS: f64 = 1.0;

/// What became of the points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The narrowed profile.
    pub profile: Profile,
    /// Points that taught something.
    pub used: Vec<Used>,
    /// Points that did not, with the reason.
    pub refused: Vec<(Observation, String)>,
}

impl Observation {
    /// What a statement did between two snapshots.
    ///
    /// None for two statements, for two runs of one, for one that does not run, or without time between.
    pub fn between(
        earlier: &Statement,
        later: &Statement,
        interval_ms: u64,
        class: StatementClass,
    ) -> Option<Self> {
        if earlier.uid != later.uid || earlier.run != later.run || interval_ms == 0 {
            return None;
        }
        let (old, new) = (earlier.job.as_ref()?, later.job.as_ref()?);
        let busy_ns = |job: &weir_model::meter::Job| -> u64 {
            job.slots.iter().map(|slot| slot.busy_ns).sum()
        };
        let direction = if later.tables(Direction::Read).next().is_some() {
            Direction::Read
        } else {
            Direction::Written
        };
        let sum = |statement: &Statement, number: fn(&weir_model::meter::Table) -> u64| -> u64 {
            statement.tables(direction).map(number).sum()
        };
        let grown = |number: fn(&weir_model::meter::Table) -> u64| {
            sum(later, number).saturating_sub(sum(earlier, number))
        };
        Some(Self {
            class,
            interval_seconds: seconds(interval_ms.saturating_mul(1_000_000)),
            records: grown(|table| table.records_total),
            bytes: grown(|table| table.bytes_total),
            cpu_seconds: seconds(later.cpu_ns().saturating_sub(earlier.cpu_ns())),
            busy_seconds: seconds(busy_ns(new).saturating_sub(busy_ns(old))),
            slots: u32::try_from(new.slots.len()).unwrap_or(u32::MAX),
            pending_records: pending(earlier)
                .zip(pending(later))
                .map(|(before, after)| before.min(after)),
        })
    }

    /// Whether the slots had all the work that they could do.
    pub fn is_saturated(&self) -> bool {
        let slot_seconds = f64::from(self.slots) * self.interval_seconds;
        let is_busy = slot_seconds > 0.0 && self.busy_seconds >= SATURATED_SHARE * slot_seconds;
        // Records in flight are no backlog: what waits must be worth a second of the rate reached.
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of records are far below 2^53"
        )]
        let has_backlog = self.pending_records.is_some_and(|pending| {
            pending as f64 * self.interval_seconds >= self.records as f64 * BACKLOG_SECONDS
                && pending > 0
        });
        is_busy || has_backlog
    }

    /// Why the point teaches nothing.
    fn refusal(&self) -> Option<String> {
        if self.records < RECORDS_MIN {
            let records = self.records;
            return Some(format!(
                "{records} records are too few, at least {RECORDS_MIN} are needed"
            ));
        }
        let is_positive = |number: f64| number.is_finite() && number > 0.0;
        if !is_positive(self.cpu_seconds) {
            return Some("no CPU time was metered".into());
        }
        if !is_positive(self.interval_seconds) || self.slots == 0 {
            return Some("there is no time or no slot in it".into());
        }
        None
    }
}

/// Records that wait in all tables read, if known for all.
fn pending(statement: &Statement) -> Option<u64> {
    statement
        .tables(Direction::Read)
        .map(|table| table.pending_records)
        .sum()
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "2^53 nanoseconds are 104 days")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Narrows a profile with what was observed.
///
/// # Source
/// Conjugate update of a normal-inverse-gamma distribution over the logarithm of the cost.
pub fn calibrate(points: &[Observation], prior: &Profile) -> Calibration {
    let mut calibration = Calibration {
        profile: prior.clone(),
        used: Vec::new(),
        refused: Vec::new(),
    };
    for point in points {
        let is_known = prior.classes.contains_key(&point.class);
        let refusal = point
            .refusal()
            .or_else(|| (!is_known).then(|| format!("profile {} lacks its class", prior.name)));
        match refusal {
            Some(reason) => calibration.refused.push((point.clone(), reason)),
            None => calibration.used.push(Used {
                observation: point.clone(),
                is_saturated: point.is_saturated(),
            }),
        }
    }
    for (class, cost) in &mut calibration.profile.classes {
        let of_class: Vec<&Used> = calibration
            .used
            .iter()
            .filter(|used| used.observation.class == *class)
            .collect();
        if !of_class.is_empty() {
            *cost = updated(cost, &of_class);
        }
    }
    if !calibration.used.is_empty() {
        let count = calibration.used.len();
        let note = format!("; calibrated with {count} measured points");
        calibration.profile.provenance.push_str(&note);
    }
    calibration
}

/// The cost of a class after points of it.
fn updated(prior: &CpuCost, points: &[&Used]) -> CpuCost {
    let logs: Vec<f64> = points
        .iter()
        .map(|used| log_cost(prior, &used.observation))
        .collect();
    let count = as_number(logs.len());
    let mean = logs.iter().sum::<f64>() / count;
    let scatter: f64 = logs.iter().map(|log| (log - mean) * (log - mean)).sum();
    let weight = prior.weight + count;
    let mu = (prior.weight * prior.mu + logs.iter().sum::<f64>()) / weight;
    let shift = mean - prior.mu;
    let beta = beta(prior) + scatter / 2.0 + prior.weight * count * shift * shift / (2.0 * weight);
    let variance = beta * (weight + 1.0) / (alpha(weight) * weight);
    CpuCost {
        mu,
        sigma: libm::sqrt(variance),
        weight,
        serde_seconds_per_byte: prior.serde_seconds_per_byte * libm::exp(mu - prior.mu),
        slot_seconds_per_cpu_second: slot_seconds(points)
            .unwrap_or(prior.slot_seconds_per_cpu_second),
    }
}

/// The logarithm of the cost of a record without its bytes that a point shows.
fn log_cost(prior: &CpuCost, point: &Observation) -> f64 {
    let records = as_float(point.records);
    let record_seconds = point.cpu_seconds / records;
    libm::log(record_seconds / prior.size_factor(as_float(point.bytes) / records))
}

/// The shape of the spread's distribution: half the degrees of freedom.
fn alpha(weight: f64) -> f64 {
    f64::midpoint(weight, PRIOR_FREEDOM)
}

/// The scale of the spread's distribution, from the spread that it predicts.
fn beta(cost: &CpuCost) -> f64 {
    cost.sigma * cost.sigma * alpha(cost.weight) * cost.weight / (cost.weight + 1.0)
}

/// Slot time for each second of CPU over the saturated points.
fn slot_seconds(points: &[&Used]) -> Option<f64> {
    let saturated = || points.iter().filter(|used| used.is_saturated);
    let cpu: f64 = saturated().map(|used| used.observation.cpu_seconds).sum();
    let slots: f64 = saturated()
        .map(|used| f64::from(used.observation.slots) * used.observation.interval_seconds)
        .sum();
    (cpu > 0.0).then(|| (slots / cpu).max(1.0))
}

/// A small count.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of points are far below 2^53"
)]
fn as_number(count: usize) -> f64 {
    count as f64
}

/// Records or bytes.
#[expect(
    clippy::cast_precision_loss,
    reason = "records of an interval are far below 2^53"
)]
fn as_float(count: u64) -> f64 {
    count as f64
}
