//! Slots and what they run.
//!
//! Enters: a [`crate::plan::StreamPlan`] and an [`Environment`]. Leaves: a running [`Job`]. The only folder that wires
//! connectors, formats and operators together.

mod environment;
mod job;
mod waker;

pub use environment::Environment;
pub use job::{Job, JobConfig, JobEvent, JobSpec};
pub use waker::{Waker, WakerSet};
