//! A running statement, as its owner sees it.
//!
//! Place in the flow: the server starts one per running statement. Invariant: exactly one [`JobEvent`] is reported, after every
//! thread of the job has ended.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_model::meter;

use crate::checkpoint::store::{CheckpointStore, CompactionLimits};
use crate::connector::results::Results;
use crate::connector::source::SplitPosition;
use crate::error::{Error, Result};
use crate::metering::JobMetrics;
use crate::plan::StreamPlan;
use crate::task::control::{Command, Control, Report, Savepoint};
use crate::task::runner::Threads;
use crate::task::supervisor::Supervisor;
use crate::task::watermark::IdleTimeout;
use crate::task::{Environment, Waker};

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
    /// Checkpoints. Absent for foreground statements.
    pub checkpoints: Option<Checkpoints>,
    /// Settings.
    pub config: JobConfig,
}

/// The checkpoints of a job.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    /// Where they are kept; the statement's own.
    pub store: Arc<CheckpointStore>,
    /// The statement's life: new for every start from a savepoint or from nothing, the same over restarts.
    pub run: String,
    /// Which of them is restored.
    pub start_from: StartFrom,
}

/// Which checkpoint a job goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// That of the run's newest committed epoch; without transactions the newest one.
    #[default]
    Committed,
    /// The savepoint of this name, unless the run has completed a checkpoint of its own.
    Savepoint(String),
    /// The newest readable one of the run up to this epoch, whatever was committed after it: rows may be written twice.
    Checkpoint(u64),
}

/// How often rows are written when a job is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryGuarantee {
    /// Once, in sinks that have transactions.
    #[default]
    ExactlyOnce,
    /// Once or more often.
    AtLeastOnce,
}

/// Most memory of a slot, bytes.
///
/// # Source
/// Design section 3, "State".
pub const SLOT_MEMORY_BYTES: usize = 4 << 30;

/// Settings of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// Longest time that a checkpoint may take; transactions stay open for as long.
    pub checkpoint_timeout: Duration,
    /// Least time between the end of a checkpoint and the beginning of the next.
    pub checkpoint_min_pause: Duration,
    /// Failures in a row after which a checkpoint is tried again; one more fails the job.
    pub tolerable_failed_checkpoints: u32,
    /// Complete checkpoints that are kept.
    pub retained_checkpoints: usize,
    /// When slices of state are merged.
    pub compaction: CompactionLimits,
    /// How often rows are written when the job is restarted.
    pub delivery: DeliveryGuarantee,
    /// Time after which keys of state that were not written are forgotten; absent keeps them for ever.
    pub state_ttl: Option<Duration>,
    /// Most memory that a slot may hold, less when the machine has less for each slot; of its state, what is above it goes to disk.
    pub slot_memory_bytes: usize,
    /// Where state goes that is larger than that; absent keeps all of it in memory.
    pub spill_dir: Option<PathBuf>,
    /// Bytes from which on a queue between two subtasks holds its producer back.
    pub exchange_queue_bytes: usize,
    /// CPU time a slot may use per wall time; 1.0 is a core.
    pub cfu_cpu_share: f64,
    /// Rows of a foreground statement held until its client fetches them.
    pub results_rows_max: usize,
    /// When splits without input stop holding back the watermark.
    pub idle_timeout: IdleTimeout,
    /// How far the watermark of a split may be ahead of the slowest one before it is not read; absent for any.
    pub watermark_drift: Option<Duration>,
}

impl Default for JobConfig {
    /// Ten seconds between checkpoints (design section 3), a whole core per slot, Confluent's idleness and drift; four mebibytes a queue and
    /// 10,000 result rows are guesses, unmeasured. Ten minutes a checkpoint, no pause and no
    /// tolerance are Flink's.
    fn default() -> Self {
        Self {
            checkpoint_interval: Duration::from_secs(10),
            checkpoint_timeout: Duration::from_mins(10),
            checkpoint_min_pause: Duration::ZERO,
            tolerable_failed_checkpoints: 0,
            retained_checkpoints: 2,
            compaction: CompactionLimits::default(),
            delivery: DeliveryGuarantee::default(),
            state_ttl: None,
            slot_memory_bytes: SLOT_MEMORY_BYTES,
            spill_dir: None,
            exchange_queue_bytes: 4 << 20,
            cfu_cpu_share: 1.0,
            results_rows_max: 10_000,
            idle_timeout: IdleTimeout::default(),
            watermark_drift: Some(Duration::from_mins(5)),
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
    /// Ended at once on request, without a checkpoint.
    Cancelled,
    /// Ended by an error.
    Failed(Error),
}

/// A running statement.
#[derive(Debug)]
pub struct Job {
    /// The present slots, which a rescale replaces.
    live: Arc<Mutex<Live>>,
    /// Requests to the supervisor.
    reports: Sender<Report>,
    /// The results of a foreground statement.
    results: Option<Arc<Results>>,
}

/// The present slots of a job.
#[derive(Debug)]
pub(super) struct Live {
    /// Requests to them.
    pub(super) control: Arc<Control>,
    /// One per slot.
    pub(super) wakers: Vec<Waker>,
    /// Counters.
    pub(super) metrics: Arc<JobMetrics>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            control: Arc::new(Control::new(0, 0)),
            wakers: Vec::new(),
            metrics: Arc::default(),
        }
    }
}

impl Job {
    /// Opens readers and writers, restores what counts and starts the slots. Waits for the outside world, so it must not be called on
    /// a thread that serves others.
    ///
    /// `on_event` is called once, from another thread, when the job has ended.
    ///
    /// # Errors
    /// Whatever keeps the job from starting.
    pub fn start(
        spec: &JobSpec,
        environment: &Environment,
        on_event: Box<dyn FnOnce(JobEvent) + Send>,
    ) -> Result<Self> {
        let (reports, inbox) = channel();
        let runner = Box::<Threads>::default();
        let supervisor = Supervisor::start(spec, environment, runner, (reports.clone(), inbox))?;
        let job = Self {
            live: supervisor.live(),
            reports,
            results: supervisor.results(),
        };
        std::thread::Builder::new()
            .name("weir-job".to_owned())
            .spawn(move || on_event(supervisor.run()))
            .map_err(|error| Error::unavailable(format!("no thread for the job: {error}")))?;
        Ok(job)
    }

    /// Counters and gauges now.
    pub fn meter(&self) -> meter::Job {
        let metrics = self.live().metrics.clone();
        metrics.read()
    }

    /// Ends sources at their present ends; the job then finishes.
    pub fn drain(&self) {
        let live = self.live();
        live.control.request_drain();
        live.wakers.iter().for_each(Waker::wake);
    }

    /// Takes a last checkpoint and ends.
    pub fn stop(&self) {
        self.command(Command::Stop);
    }

    /// Ends at once, without a checkpoint.
    pub fn cancel(&self) {
        // The supervisor may be waiting for the outside world.
        let live = self.live();
        live.control.request_cancel();
        live.wakers.iter().for_each(Waker::wake);
        drop(live);
        self.command(Command::Cancel);
    }

    /// Asks for a checkpoint of what was read up to now that is kept for good, under a name in the checkpoint store. The channel is
    /// closed without an answer when the job ends before.
    ///
    /// # Errors
    /// In the answer: `Invalid` without checkpoints or when the name is taken; `Unavailable` when it cannot be stored.
    pub fn savepoint(&self, name: &str) -> Receiver<Result<Savepoint>> {
        let (reply, answer) = sync_channel(1);
        let name = name.to_owned();
        self.command(Command::Savepoint { name, reply });
        answer
    }

    /// Asks for another number of slots: an epoch is committed, and the new slots go on with the state of the old ones. The channel is
    /// closed without an answer when the job ends before.
    ///
    /// # Errors
    /// In the answer: `Invalid` without checkpoints; `Conflict` while another request is under way; what keeps the new slots from
    /// starting, and then the job has failed.
    pub fn rescale(&self, parallelism: usize) -> Receiver<Result<()>> {
        let (reply, answer) = sync_channel(1);
        self.command(Command::Rescale { parallelism, reply });
        answer
    }

    /// The results of a foreground statement.
    pub fn results(&self) -> Option<Arc<Results>> {
        self.results.clone()
    }

    /// The present slots.
    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the supervisor. When it has ended there is nothing to ask.
    fn command(&self, command: Command) {
        if self.reports.send(Report::Command(command)).is_err() {
            tracing::debug!("the job has ended already");
        }
    }
}
