//! What a record costs on a machine, and how far that is known.
//!
//! Place in the flow: a profile comes from a preset, a file or [`crate::calibrate()`]; every estimate is made with one. Invariant: each
//! profile says where its numbers come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::workload::StatementClass;

use crate::error::{Error, check};
use crate::workload::LatencyTier;

/// Costs and rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name.
    pub name: String,
    /// Where the numbers come from.
    pub provenance: String,
    /// Cost of a record by class of statement.
    pub classes: BTreeMap<StatementClass, CpuCost>,
    /// Share of its time that a slot may be busy when there is no latency target.
    pub utilisation_max: f64,
    /// What each latency tier asks for.
    pub tiers: BTreeMap<LatencyTier, TierRule>,
    /// Records that arrive together, for the waiting times; none leaves latency to the rule of the tier.
    pub arrival_batch: Option<f64>,
    /// State that one slot writes into a checkpoint per second; none takes the interval of the tier as it is.
    pub checkpoint_bytes_per_second: Option<f64>,
    /// Machines that the work is placed on, if the profile sizes machines.
    pub node: Option<NodeShape>,
}

/// CPU time of a record: lognormal, with a part that grows with its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuCost {
    /// Mean of the natural logarithm of the CPU seconds of a record without its bytes.
    pub mu: f64,
    /// Standard deviation of that logarithm for the next statement.
    pub sigma: f64,
    /// How many observations the knowledge counts for.
    pub weight: f64,
    /// CPU seconds of decoding and encoding a byte, at the median.
    pub serde_seconds_per_byte: f64,
    /// Time that a saturated slot takes for each second of CPU; learnt from saturated points only.
    pub slot_seconds_per_cpu_second: f64,
}

/// What a latency tier asks for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierRule {
    /// CPU to add, as a factor.
    pub cpu_factor: f64,
    /// Longest time between checkpoints.
    pub checkpoint_seconds_max: f64,
}

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeShape {
    /// Cores.
    pub cores: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Fewest machines.
    pub count_min: u32,
}

/// CPU seconds of a stateless record without its bytes.
///
/// # Source
/// Unmeasured. Flink 2.3 filters 303,000 records per CPU-second from Kafka to Kafka when tuned; Weir's goal is twelve times its default.
/// With 200 bytes a record, this and [`SERDE_SECONDS_PER_BYTE`] give 1,000,000, the geometric middle of both.
const STATELESS_SECONDS: f64 = 0.6e-6;

/// CPU seconds of decoding and encoding a byte.
///
/// # Source
/// Unmeasured, see [`STATELESS_SECONDS`].
const SERDE_SECONDS_PER_BYTE: f64 = 2e-9;

/// Spread of the logarithm of speed between Weir's goal and what Flink does.
///
/// # Source
/// Unmeasured, wide on purpose: P5 to P95 of a class spans a factor of 27 from machine and connector alone.
const MACHINE_SIGMA: f64 = 1.0;

/// Class; cost relative to stateless; spread of the logarithm within the class.
///
/// # Source
/// Published Nexmark results per core, geometric means of the queries of a class: stateless 144,000, window aggregation 41,000, group
/// aggregation 54,000, deduplication and Top-N 49,000, join 34,000 events per second; standard deviations of their logarithms.
const NEXMARK: [(StatementClass, f64, f64); 5] = [
    (StatementClass::Stateless, 1.0, 0.21),
    (StatementClass::WindowAggregate, 144.0 / 41.0, 0.98),
    (StatementClass::GroupAggregate, 144.0 / 54.0, 0.95),
    (StatementClass::Rank, 144.0 / 49.0, 0.14),
    (StatementClass::Join, 144.0 / 34.0, 1.06),
];

/// State that one slot writes into a checkpoint per second.
///
/// # Source
/// Guess, unmeasured: a fifth of a local disk.
const CHECKPOINT_BYTES_PER_SECOND: f64 = 100e6;

/// Records that arrive together.
///
/// # Source
/// Guess, unmeasured: one fetch from one partition.
const ARRIVAL_BATCH: f64 = 1_000.0;

/// Records per second and core of the guides.
///
/// # Source
/// Published sizing guides for Flink and Confluent Cloud: about 10,000 records per second and core.
const GUIDE_RECORDS_PER_SECOND: f64 = 10_000.0;

/// Additional CPU and checkpoint interval of each tier.
///
/// # Source
/// The same guides: 50, 20 and 10 % more CPU with checkpoints each 10, 30 and 60 seconds. Relaxed: no more CPU; Confluent Cloud checkpoints
/// each minute.
fn guide_tiers() -> BTreeMap<LatencyTier, TierRule> {
    [
        (LatencyTier::Sub500Ms, 1.5, 10.0),
        (LatencyTier::Sub1S, 1.2, 30.0),
        (LatencyTier::Sub5S, 1.1, 60.0),
        (LatencyTier::Relaxed, 1.0, 60.0),
    ]
    .into_iter()
    .map(|(tier, cpu_factor, checkpoint_seconds_max)| {
        let rule = TierRule {
            cpu_factor,
            checkpoint_seconds_max,
        };
        (tier, rule)
    })
    .collect()
}

impl Profile {
    /// What is believed of Weir before anything was measured: wide.
    pub fn weir_prior() -> Self {
        let classes = NEXMARK.into_iter().map(|(class, relative, spread)| {
            let cost = CpuCost {
                mu: libm::log(STATELESS_SECONDS * relative),
                sigma: libm::hypot(MACHINE_SIGMA, spread),
                weight: 1.0,
                serde_seconds_per_byte: SERDE_SECONDS_PER_BYTE,
                slot_seconds_per_cpu_second: 1.0,
            };
            (class, cost)
        });
        Self {
            name: "weir-prior".into(),
            provenance: "between Flink 2.3 and Weir's goal of 12 times its default; classes by published Nexmark results; \
                         not measured on this machine"
                .into(),
            classes: classes.collect(),
            // The default target of the autoscaler of Flink's Kubernetes operator.
            utilisation_max: 0.7,
            tiers: guide_tiers(),
            arrival_batch: Some(ARRIVAL_BATCH),
            checkpoint_bytes_per_second: Some(CHECKPOINT_BYTES_PER_SECOND),
            node: None,
        }
    }

    /// The rules of the published sizing guides, to compare with. They have no intervals, and neither has this.
    pub fn guide() -> Self {
        let cost = CpuCost {
            mu: -libm::log(GUIDE_RECORDS_PER_SECOND),
            sigma: 0.0,
            weight: 1.0,
            serde_seconds_per_byte: 0.0,
            slot_seconds_per_cpu_second: 1.0,
        };
        Self {
            name: "guide".into(),
            provenance: "published sizing guides: 10,000 records per second and core; 50, 20 and 10 % more CPU for latency; \
                         nodes of 4 cores and 16 GB, at least 3"
                .into(),
            classes: StatementClass::ALL.map(|class| (class, cost)).into(),
            utilisation_max: 1.0,
            tiers: guide_tiers(),
            arrival_batch: None,
            checkpoint_bytes_per_second: None,
            node: Some(NodeShape {
                cores: 4,
                memory_bytes: 16 << 30,
                count_min: 3,
            }),
        }
    }

    /// Reads a profile from JSON.
    ///
    /// # Errors
    /// [`Error::Profile`] for text that is no profile, [`Error::OutOfRange`] for numbers that cost nothing can have.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let profile: Self = serde_json::from_str(text).map_err(|error| Error::Profile {
            reason: error.to_string(),
        })?;
        profile.validate()?;
        Ok(profile)
    }

    /// Writes the profile as JSON.
    ///
    /// # Errors
    /// [`Error::Profile`] if a number of it is not finite.
    pub fn to_json(&self) -> Result<String, Error> {
        self.validate()?;
        serde_json::to_string_pretty(self).map_err(|error| Error::Profile {
            reason: error.to_string(),
        })
    }

    /// Refuses numbers that no machine has.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for the first number that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        for cost in self.classes.values() {
            cost.validate()?;
        }
        let utilisation = self.utilisation_max;
        let in_range = utilisation > 0.0 && utilisation <= 1.0;
        check(
            "utilisation_max",
            utilisation,
            in_range,
            "above 0 and at most 1",
        )?;
        for rule in self.tiers.values() {
            let factor = rule.cpu_factor;
            check(
                "cpu_factor",
                factor,
                (1.0..=100.0).contains(&factor),
                "between 1 and 100",
            )?;
            let seconds = rule.checkpoint_seconds_max;
            let in_range = seconds > 0.0;
            check("checkpoint_seconds_max", seconds, in_range, "above 0")?;
        }
        let batch = self.arrival_batch.unwrap_or(1.0);
        check("arrival_batch", batch, batch >= 1.0, "at least 1")?;
        let rate = self.checkpoint_bytes_per_second.unwrap_or(1.0);
        check("checkpoint_bytes_per_second", rate, rate > 0.0, "above 0")?;
        let node = self.node.map_or(1, |node| node.cores.min(node.count_min));
        check(
            "node",
            f64::from(node),
            node >= 1,
            "at least one core and one machine",
        )
    }

    /// The cost of a class.
    pub(crate) fn cost(&self, class: StatementClass) -> Result<&CpuCost, Error> {
        self.classes.get(&class).ok_or_else(|| Error::UnknownClass {
            profile: self.name.clone(),
            class: class.as_str(),
        })
    }

    /// The rule of a tier; without one, no more CPU and a checkpoint each minute.
    pub(crate) fn tier(&self, tier: LatencyTier) -> TierRule {
        self.tiers.get(&tier).copied().unwrap_or(TierRule {
            cpu_factor: 1.0,
            checkpoint_seconds_max: 60.0,
        })
    }
}

impl CpuCost {
    /// Refuses numbers that no machine has.
    fn validate(&self) -> Result<(), Error> {
        let mu = self.mu;
        check("mu", mu, (-46.0..=10.0).contains(&mu), "between -46 and 10")?;
        let sigma = self.sigma;
        check(
            "sigma",
            sigma,
            (0.0..=10.0).contains(&sigma),
            "between 0 and 10",
        )?;
        check("weight", self.weight, self.weight > 0.0, "above 0")?;
        let serde = self.serde_seconds_per_byte;
        let in_range = (0.0..=1.0).contains(&serde);
        check("serde_seconds_per_byte", serde, in_range, "between 0 and 1")?;
        let ratio = self.slot_seconds_per_cpu_second;
        let in_range = (1.0..=1e6).contains(&ratio);
        check(
            "slot_seconds_per_cpu_second",
            ratio,
            in_range,
            "between 1 and 1e6",
        )
    }

    /// How many times the cost of a record without bytes a record of that size has.
    ///
    /// The ratio is kept when the whole cost moves: points of one size cannot tell both parts apart.
    pub(crate) fn size_factor(&self, record_bytes: f64) -> f64 {
        1.0 + record_bytes * self.serde_seconds_per_byte / libm::exp(self.mu)
    }

    /// CPU seconds of a record at a number of standard deviations from the median.
    pub(crate) fn seconds(&self, record_bytes: f64, deviations: f64) -> f64 {
        libm::exp(self.mu + self.sigma * deviations) * self.size_factor(record_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_survive_their_file() {
        for profile in [Profile::weir_prior(), Profile::guide()] {
            let text = profile.to_json().unwrap();
            assert_eq!(Profile::from_json(&text), Ok(profile));
        }
        assert!(Profile::from_json("{}").is_err());
        let mut spoilt = Profile::guide();
        spoilt.utilisation_max = 0.0;
        assert!(spoilt.to_json().is_err());
    }

    #[test]
    fn the_guide_gives_ten_thousand_records_per_core() {
        let guide = Profile::guide();
        let seconds = guide.cost(StatementClass::Join).unwrap().seconds(1e6, 3.0);
        assert!((seconds * 1e4 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_prior_is_a_million_records_of_200_bytes() {
        let prior = Profile::weir_prior();
        let cost = prior.cost(StatementClass::Stateless).unwrap();
        assert!((cost.seconds(200.0, 0.0) * 1e6 - 1.0).abs() < 1e-9);
        assert!(cost.seconds(200.0, 1.64) / cost.seconds(200.0, -1.64) > 20.0);
    }
}
