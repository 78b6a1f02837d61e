//! Workload to sizing, cost and calibration: pure functions.
//!
//! Place in the flow: the CLI and the server pass a [`Workload`] and a [`Profile`]; [`estimate()`] answers with intervals, [`calibrate()`]
//! narrows the profile with what the meter saw. Invariant: no I/O, no clock, no global randomness: the same inputs and the same seed
//! give the same bits, on every platform, since transcendental functions come from one library.

pub mod billing;
pub mod checkpoint;
pub mod queueing;
pub mod skew;
pub mod usl;

mod calibrate;
mod error;
mod estimate;
mod explain;
mod markdown;
mod profile;
mod rng;
mod sizing;
mod workload;

pub use calibrate::{Calibration, Observation, RECORDS_MIN, Used, calibrate};
pub use error::Error;
pub use estimate::{
    Constraint, ConstraintKind, Estimate, EstimateOptions, Measurement, Nodes, Quantiles, estimate,
};
pub use explain::{Step, explain};
pub use markdown::to_markdown;
pub use profile::{CpuCost, NodeShape, Profile, TierRule};
pub use workload::{LatencyTier, Workload};

#[cfg(test)]
mod tests;
