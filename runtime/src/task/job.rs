//! A running statement: its slots, its checkpoints, its end.
//!
//! Place in the flow: the server starts one per running statement. Invariant: exactly one [`JobEvent`] is reported, after every
//! thread of the job has ended.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use weir_model::meter;

use crate::checkpoint::{Checkpoint, Coordinator, Decision, SubtaskState};
use crate::connector::results::Results;
use crate::connector::source::SplitPosition;
use crate::error::{Error, Result};
use crate::metering::{JobMetrics, SlotMetrics};
use crate::plan::StreamPlan;
use crate::task::control::{Command, Control, Report};
use crate::task::deploy::Deployer;
use crate::task::history::History;
use crate::task::slot::Slot;
use crate::task::watermark::IdleTimeout;
use crate::task::{Environment, Waker};
use crate::time::SharedClock;

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
    /// The statement's life: new for every start from a savepoint or from nothing, the same over restarts.
    pub run: String,
    /// Where the checkpoints of the run are kept. Absent for foreground statements.
    pub checkpoint_dir: Option<PathBuf>,
    /// Which of them is restored.
    pub start_from: StartFrom,
    /// Settings.
    pub config: JobConfig,
}

/// Which checkpoint of its directory a job goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// That of the newest committed epoch; without transactions the newest one.
    #[default]
    Committed,
    /// The oldest one, a copied savepoint, unless the run has committed something of its own.
    Savepoint,
    /// The newest one, whatever was committed after it: rows may be written twice.
    AcceptDuplicates,
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

/// Settings of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// Longest time that a checkpoint may take; transactions stay open for as long.
    pub checkpoint_timeout: Duration,
    /// How often rows are written when the job is restarted.
    pub delivery: DeliveryGuarantee,
    /// Time after which keys of state that were not written are forgotten; absent keeps them for ever.
    pub state_ttl: Option<Duration>,
    /// Memory that the state of a slot may take; what is above it goes to disk. Shared evenly by the tables of state.
    pub state_memory_bytes: usize,
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
}

impl Default for JobConfig {
    /// Ten seconds between checkpoints (design section 3), a whole core per slot, Confluent's idleness; four mebibytes a queue and
    /// 10,000 result rows are guesses, unmeasured. Ten minutes a checkpoint is Flink's `execution.checkpointing.timeout`, four
    /// gibibytes of state a slot are design section 3, "State".
    fn default() -> Self {
        Self {
            checkpoint_interval: Duration::from_secs(10),
            checkpoint_timeout: Duration::from_mins(10),
            delivery: DeliveryGuarantee::default(),
            state_ttl: None,
            state_memory_bytes: 4 << 30,
            spill_dir: None,
            exchange_queue_bytes: 4 << 20,
            cfu_cpu_share: 1.0,
            results_rows_max: 10_000,
            idle_timeout: IdleTimeout::default(),
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
    /// Requests to slots.
    control: Arc<Control>,
    /// One per slot.
    wakers: Vec<Waker>,
    /// Requests to the coordinator.
    reports: SyncSender<Report>,
    /// Counters.
    metrics: Arc<JobMetrics>,
    /// The results of a foreground statement.
    results: Option<Arc<Results>>,
}

/// Reports that may wait for the coordinator beside one acknowledgement per subtask: commands and ends of slots.
const REPORTS_SPARE: usize = 16;

impl Job {
    /// Opens readers and writers, restores the newest checkpoint and starts the slots. Waits for the outside world, so it must not
    /// be called on a thread that serves others.
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
        if spec.parallelism == 0 {
            return Err(Error::option("a statement needs at least one slot"));
        }
        let wakers: Vec<Waker> = (0..spec.parallelism).map(|_| Waker::default()).collect();
        let mut deployer = Deployer::new(spec, environment, &wakers)?;
        let history = History::open(spec, deployer.open_transactions()?, &environment.clock)?;
        let restored = history.restore(spec.start_from)?;
        let epoch = restored.as_ref().map_or(0, |checkpoint| checkpoint.epoch);
        history.begin(epoch + 1)?;
        let deployment = deployer.deploy(restored)?;
        let slot_metrics: Vec<Arc<SlotMetrics>> = wakers.iter().map(|_| Arc::default()).collect();
        let metrics = Arc::new(JobMetrics {
            operators: deployment.operators,
            slots: slot_metrics.clone(),
            checkpoints: std::sync::Mutex::default(),
        });
        let subtasks_count = spec.plan.nodes.len() * spec.parallelism;
        let (reports, inbox) = sync_channel(subtasks_count + spec.parallelism + REPORTS_SPARE);
        let control = Arc::new(Control::new(epoch));
        let slots = deployment.slots.into_iter().zip(slot_metrics).enumerate();
        let threads = spawn_slots(slots.map(|(index, (subtasks, metrics))| Slot {
            index,
            subtasks,
            control: control.clone(),
            reports: reports.clone(),
            waker: wakers[index].clone(),
            clock: environment.clock.clone(),
            metrics,
            cpu_share: spec.config.cfu_cpu_share,
        }))?;
        let interval = spec
            .checkpoint_dir
            .is_some()
            .then_some(spec.config.checkpoint_interval);
        let supervisor = Supervisor {
            coordinator: Coordinator::new(
                subtasks_count,
                interval,
                epoch,
                environment.clock.monotonic(),
            ),
            control: control.clone(),
            wakers: wakers.clone(),
            inbox,
            threads,
            metrics: metrics.clone(),
            node_ids: spec.plan.nodes.iter().map(|node| node.id.0).collect(),
            history,
            clock: environment.clock.clone(),
            triggered_at: Duration::ZERO,
            records_seen: 0,
            results: deployment.results.clone(),
        };
        std::thread::Builder::new()
            .name("weir-job".to_owned())
            .spawn(move || on_event(supervisor.run()))
            .map_err(|error| Error::unavailable(format!("no thread for the job: {error}")))?;
        Ok(Self {
            control,
            wakers,
            reports,
            metrics,
            results: deployment.results,
        })
    }

    /// Counters and gauges now.
    pub fn meter(&self) -> meter::Job {
        self.metrics.read()
    }

    /// Ends sources at their present ends; the job then finishes.
    pub fn drain(&self) {
        self.control.request_drain();
        self.wakers.iter().for_each(Waker::wake);
    }

    /// Takes a last checkpoint and ends.
    pub fn stop(&self) {
        self.command(Command::Stop);
    }

    /// Ends at once, without a checkpoint.
    pub fn cancel(&self) {
        self.command(Command::Cancel);
    }

    /// The results of a foreground statement.
    pub fn results(&self) -> Option<Arc<Results>> {
        self.results.clone()
    }

    /// Asks the coordinator. When it has ended there is nothing to ask; when its inbox is full of earlier commands, they do.
    fn command(&self, command: Command) {
        if self.reports.try_send(Report::Command(command)).is_err() {
            tracing::debug!(?command, "the job has ended or is ending already");
        }
    }
}

/// Starts the threads of all slots, or none.
fn spawn_slots(slots: impl Iterator<Item = Slot>) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for slot in slots {
        let (control, waker) = (slot.control.clone(), slot.waker.clone());
        match spawn_slot(slot) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                control.request_cancel();
                waker.wake();
                return Err(error);
            }
        }
    }
    Ok(threads)
}

/// Starts the thread of a slot. A panic in it fails the job, not the process.
fn spawn_slot(mut slot: Slot) -> Result<JoinHandle<()>> {
    let subtask = slot.index;
    let reports = slot.reports.clone();
    let body = move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| slot.run()))
            .unwrap_or_else(|_| {
                Err(Error::internal(format!(
                    "slot {subtask} panicked; the log has the place"
                )))
            });
        if reports
            .send(Report::SlotEnded { subtask, outcome })
            .is_err()
        {
            tracing::debug!(subtask, "the job has ended before its slot");
        }
    };
    std::thread::Builder::new()
        .name(format!("weir-slot-{subtask}"))
        .spawn(body)
        .map_err(|error| Error::unavailable(format!("no thread for slot {subtask}: {error}")))
}

/// The thread that coordinates a job.
struct Supervisor {
    /// Decides.
    coordinator: Coordinator,
    /// Requests to slots.
    control: Arc<Control>,
    /// One per slot.
    wakers: Vec<Waker>,
    /// Reports of slots and requests of the owner.
    inbox: Receiver<Report>,
    /// Slot threads.
    threads: Vec<JoinHandle<()>>,
    /// Counters.
    metrics: Arc<JobMetrics>,
    /// Node id of each vertex.
    node_ids: Vec<u32>,
    /// Checkpoints and commits.
    history: History,
    /// Time.
    clock: SharedClock,
    /// Monotonic time of the last trigger.
    triggered_at: Duration,
    /// Records read at the last look.
    records_seen: u64,
    /// The results of a foreground statement.
    results: Option<Arc<Results>>,
}

impl Supervisor {
    /// Coordinates until the job has ended.
    fn run(mut self) -> JobEvent {
        let event = self.coordinate().unwrap_or_else(JobEvent::Failed);
        self.control.request_cancel();
        self.wake_all();
        for thread in std::mem::take(&mut self.threads) {
            if thread.join().is_err() {
                tracing::error!("a slot thread could not be joined");
            }
        }
        if let Some(results) = &self.results {
            results.finish();
        }
        event
    }

    /// Carries out decisions until there is an outcome.
    fn coordinate(&mut self) -> Result<JobEvent> {
        loop {
            self.note_progress();
            let wait = match self.coordinator.decide(self.clock.monotonic()) {
                Decision::Trigger { epoch, is_last } => {
                    self.triggered_at = self.clock.monotonic();
                    // Slots go on writing behind the barrier, in the next transaction.
                    self.history.begin(epoch + 1)?;
                    self.control.request(epoch, is_last);
                    self.wake_all();
                    continue;
                }
                Decision::Store {
                    epoch,
                    states,
                    is_last,
                } => {
                    let stored = self.complete(epoch, states);
                    if is_last {
                        return Ok(JobEvent::Stopped { positions: stored? });
                    }
                    match stored {
                        Ok(_) => {}
                        // What the epoch wrote can only be committed with its checkpoint, so a restart writes it anew.
                        Err(error) if self.history.is_transactional() => return Err(error),
                        // The job goes on: a later epoch covers this one.
                        Err(error) => {
                            tracing::warn!(epoch, %error, "a checkpoint could not be stored");
                        }
                    }
                    continue;
                }
                Decision::Finish { epoch, states } => {
                    self.complete(epoch, states)?;
                    return Ok(JobEvent::Finished);
                }
                Decision::Wait(until) => {
                    until.map(|until| until.saturating_sub(self.clock.monotonic()))
                }
            };
            if let Some(event) = self.receive(wait)? {
                return Ok(event);
            }
        }
    }

    /// Waits for a report and takes it in; the outcome, if it brings one.
    fn receive(&mut self, wait: Option<Duration>) -> Result<Option<JobEvent>> {
        let report = match wait {
            Some(wait) => self.inbox.recv_timeout(wait),
            None => self
                .inbox
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        match report {
            Ok(Report::Acknowledged {
                epoch,
                vertex,
                subtask,
                state,
            }) => {
                self.coordinator.acknowledge(epoch, vertex, subtask, state);
            }
            Ok(Report::SlotEnded { subtask, outcome }) => {
                self.coordinator.slot_ended(subtask, outcome?);
            }
            Ok(Report::Command(Command::Stop)) if self.history.is_kept() => self.coordinator.stop(),
            Ok(Report::Command(Command::Stop | Command::Cancel)) => {
                return Ok(Some(JobEvent::Cancelled));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal("all slots are gone without a word"));
            }
        }
        Ok(None)
    }

    /// Tells the coordinator whether sources have moved.
    fn note_progress(&mut self) {
        let read = |operator: &crate::metering::OperatorMetrics| -> u64 {
            operator
                .subtasks
                .iter()
                .map(|subtask| subtask.table.records.get() + subtask.records_in.get())
                .sum()
        };
        let records: u64 = self.metrics.operators.iter().map(read).sum();
        if records != self.records_seen {
            self.records_seen = records;
            self.coordinator.note_progress();
        }
    }

    /// Stores an epoch and commits what was written in it; the positions of all splits.
    fn complete(
        &self,
        epoch: u64,
        states: BTreeMap<(usize, usize), SubtaskState>,
    ) -> Result<Vec<SplitPosition>> {
        let mut checkpoint = Checkpoint {
            epoch,
            ..Checkpoint::default()
        };
        for ((vertex, subtask), state) in states {
            checkpoint
                .nodes
                .entry(self.node_ids[vertex])
                .or_default()
                .add(state, subtask == 0);
        }
        let splits = checkpoint.nodes.values().flat_map(|node| &node.splits);
        let positions = splits.map(|split| split.position.clone()).collect();
        if !self.history.is_kept() {
            return Ok(positions);
        }
        let completed = self.history.complete(checkpoint);
        let mut meter = self
            .metrics
            .checkpoints
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match completed {
            Ok(bytes) => {
                let duration = self.clock.monotonic().saturating_sub(self.triggered_at);
                meter.completed_total += 1;
                meter.last_duration_ms = u64::try_from(duration.as_millis()).ok();
                meter.last_bytes = Some(bytes);
                meter.last_completed_at_ms = Some(self.clock.now_ms());
                Ok(positions)
            }
            Err(error) => {
                meter.failed_total += 1;
                Err(error)
            }
        }
    }

    /// Makes every slot look at its requests.
    fn wake_all(&self) {
        self.wakers.iter().for_each(Waker::wake);
    }
}
