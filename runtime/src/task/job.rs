//! A running statement: its slots, its checkpoints, its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weir_model::meter;

use crate::connector::source::SplitPosition;
use crate::error::{Error, Result};
use crate::plan::StreamPlan;
use crate::task::Environment;

/// What is to run.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// Statement name, for dead letters and messages.
    pub statement_name: String,
    /// Statement uid, for transactional ids and files.
    pub statement_uid: String,
    /// What to do.
    pub plan: StreamPlan,
    /// Slots.
    pub parallelism: usize,
    /// Where checkpoints are kept; the newest one in it is restored. Absent for foreground statements.
    pub checkpoint_dir: Option<PathBuf>,
    /// Settings.
    pub config: JobConfig,
}

/// Settings of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// Bytes that a queue between two slots holds.
    pub exchange_queue_bytes: usize,
    /// CPU time a slot may use per wall time; 1.0 is a core.
    pub cfu_cpu_share: f64,
    /// Rows of a foreground statement held until its client fetches them.
    pub results_rows_max: usize,
}

impl Default for JobConfig {
    fn default() -> Self {
        Self {
            checkpoint_interval: Duration::from_secs(10),
            exchange_queue_bytes: 4 << 20,
            cfu_cpu_share: 1.0,
            results_rows_max: 10_000,
        }
    }
}

/// What happens to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEvent {
    /// All input was processed and is committed.
    Finished,
    /// Stopped on request, after a last checkpoint; `positions` are those of every split.
    Stopped {
        /// Next offsets.
        positions: Vec<SplitPosition>,
    },
    /// Ended by an error.
    Failed(Error),
}

/// A running statement.
#[derive(Debug)]
pub struct Job;

impl Job {
    /// Opens readers and writers, restores the newest checkpoint and starts the slots. Waits for the outside world.
    ///
    /// `on_event` is called once, from another thread, when the job has ended.
    ///
    /// # Errors
    /// Whatever keeps the job from starting.
    pub fn start(
        spec: JobSpec,
        environment: &Environment,
        on_event: Box<dyn FnOnce(JobEvent) + Send>,
    ) -> Result<Self> {
        let _ = (spec, environment, on_event);
        Err(Error::unsupported("job"))
    }

    /// Counters and gauges now.
    pub fn meter(&self) -> meter::Job {
        meter::Job::default()
    }

    /// Ends sources at their present ends; the job then finishes.
    pub fn drain(&self) {}

    /// Takes a last checkpoint and ends.
    pub fn stop(&self) {}

    /// Ends at once, without a checkpoint.
    pub fn cancel(&self) {}

    /// The results of a foreground statement.
    pub fn results(&self) -> Option<Arc<crate::connector::results::Results>> {
        None
    }
}
