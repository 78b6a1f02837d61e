//! What coordinates a running job: it completes epochs, keeps savepoints and changes the number of slots.
//!
//! Place in the flow: a thread of its own steps it in production, the simulator in tests. Invariant: a step does one thing, and only
//! the outside world can make it wait; a job whose supervisor is gone goes on from its last committed epoch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::checkpoint::entry::KeyGroupDelta;
use crate::checkpoint::store::{CheckpointName, Manifest, chain_facts, plan_compaction};
use crate::checkpoint::{Coordinator, Decision, Schedule, SubtaskState};
use crate::connector::results::Results;
use crate::connector::source::SplitPosition;
use crate::error::{Error, Kind, Result};
use crate::graph::JobGraph;
use crate::metering::{JobMetrics, SlotMetrics};
use crate::task::control::{Command, Control, Reply, Report, Savepoint};
use crate::task::deploy::{Deployer, Deployment, Generation, Restored, StateOrigin};
use crate::task::history::{History, Outside};
use crate::task::job::{JobEvent, JobSpec, Live};
use crate::task::runner::Runner;
use crate::task::slot::{Slot, bytes_of};
use crate::task::{Environment, Waker};
use crate::time::SharedClock;

/// Pause before something that failed is tried again, on top of the pauses of the checkpoint store (guess, unmeasured).
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Coordinates a job.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// What runs, with the present number of slots.
    spec: JobSpec,
    /// The outside.
    environment: Environment,
    /// Where slots run.
    runner: Box<dyn Runner>,
    /// What the job's owner reaches.
    live: Arc<Mutex<Live>>,
    /// Requests to the present slots.
    control: Arc<Control>,
    /// One per present slot.
    wakers: Vec<Waker>,
    /// Counters of the present slots.
    metrics: Arc<JobMetrics>,
    /// Reports of slots and requests of the owner.
    inbox: Receiver<Report>,
    /// Their other end, for new slots. Every subtask has one acknowledgement under way at most, and snapshots are bounded in bytes.
    reports: Sender<Report>,
    /// Reports that came while the supervisor waited for something else.
    stashed: VecDeque<Report>,
    /// Decides.
    coordinator: Coordinator,
    /// Checkpoints and commits.
    history: History,
    /// The epoch that is being completed.
    completing: Option<Completing>,
    /// What subtasks have changed behind the barrier of the epoch in progress: it belongs to the next one.
    behind: Vec<Changed>,
    /// Bytes stored for the epoch in progress.
    epoch_bytes: u64,
    /// Monotonic time of the last trigger.
    triggered_at: Duration,
    /// Failures in a row.
    failures: u32,
    /// When something that failed is tried again.
    retry_at: Option<Duration>,
    /// Savepoints that wait for an epoch.
    savepoints: Vec<(String, Reply<Savepoint>)>,
    /// Savepoints of the epoch in progress.
    epoch_savepoints: Vec<(String, Reply<Savepoint>)>,
    /// Another number of slots, wanted or under way.
    rescaling: Option<(usize, Reply<()>)>,
    /// Whether the job ends with the next epoch.
    is_stopping: bool,
    /// Whether slices are being merged.
    is_compacting: bool,
    /// Deployments so far.
    generation: u32,
    /// Records read at the last look.
    records_seen: u64,
    /// Node id of each vertex.
    node_ids: Vec<u32>,
    /// The results of a foreground statement.
    results: Option<Arc<Results>>,
}

/// What a step has done.
#[derive(Debug)]
pub(super) enum Step {
    /// Something; there may be more.
    Done,
    /// Nothing until a report comes, or this time has passed.
    Wait(Option<Duration>),
    /// The job has ended.
    Ended(JobEvent),
}

/// An epoch that is being completed.
#[derive(Debug)]
struct Completing {
    /// Its checkpoint.
    manifest: Manifest,
    /// What follows it.
    then: Then,
    /// What is done next.
    phase: Phase,
}

/// What a subtask has changed.
#[derive(Debug)]
struct Changed {
    /// Vertex in the job graph.
    vertex: usize,
    /// Which subtask of it.
    subtask: usize,
    /// The changes.
    key_groups: Vec<KeyGroupDelta>,
}

/// What follows an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The job goes on.
    GoOn,
    /// The slots have halted behind it.
    Halted,
    /// All input was processed.
    Finished,
}

/// The next step of completing an epoch.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Make the checkpoint durable.
    Store,
    /// Commit what was written.
    Commit,
    /// Note that, and show files.
    Note,
    /// Delete what is not kept any more, answer, and go on.
    Settle,
}

impl Supervisor {
    /// Opens the outside world, restores what counts and starts the slots.
    ///
    /// # Errors
    /// Whatever keeps the job from starting.
    pub(super) fn start(
        spec: &JobSpec,
        environment: &Environment,
        runner: Box<dyn Runner>,
        (reports, inbox): (Sender<Report>, Receiver<Report>),
    ) -> Result<Self> {
        if spec.parallelism == 0 {
            return Err(Error::option("a statement needs at least one slot"));
        }
        forget_spilled(spec)?;
        let wakers = wakers(spec.parallelism);
        let deployer = Deployer::new(spec, environment, &wakers, &Generation::default())?;
        let transactions = deployer.open_transactions()?;
        let outside = Outside {
            transactions,
            publishing: deployer.publishing_sinks(),
            reading: deployer.sources(),
        };
        let mut history = History::open(spec, outside, &environment.clock)?;
        history
            .restore(spec)
            .map_err(|error| history.judged(error))?;
        history.begin(history.last_epoch() + 1)?;
        let graph = JobGraph::from_plan(&spec.plan)?;
        let state = history.store().map_or(StateOrigin::Nothing, |store| {
            StateOrigin::Store(store.clone())
        });
        let node_ids: Vec<u32> = graph
            .vertices
            .iter()
            .map(|vertex| vertex.node.id.0)
            .collect();
        let now = environment.clock.monotonic();
        let mut supervisor = Self {
            coordinator: Coordinator::new(0, schedule(spec), 0, now),
            spec: spec.clone(),
            environment: environment.clone(),
            runner,
            live: Arc::default(),
            control: Arc::new(Control::new(0, 0)),
            wakers: Vec::new(),
            metrics: Arc::default(),
            inbox,
            reports,
            stashed: VecDeque::new(),
            history,
            completing: None,
            behind: Vec::new(),
            epoch_bytes: 0,
            triggered_at: now,
            failures: 0,
            retry_at: None,
            savepoints: Vec::new(),
            epoch_savepoints: Vec::new(),
            rescaling: None,
            is_stopping: false,
            is_compacting: false,
            generation: 0,
            records_seen: 0,
            node_ids,
            results: None,
        };
        let restored = supervisor.restored(state);
        let deployment = deployer
            .deploy(supervisor.history.transactions(), restored)
            .map_err(|error| supervisor.history.judged(error))?;
        supervisor.run_slots(deployment, wakers)?;
        Ok(supervisor)
    }

    /// What the job's owner reaches.
    pub(super) fn live(&self) -> Arc<Mutex<Live>> {
        self.live.clone()
    }

    /// The results of a foreground statement.
    pub(super) fn results(&self) -> Option<Arc<Results>> {
        self.results.clone()
    }

    /// What slots go on from.
    fn restored(&self, state: StateOrigin) -> Restored {
        Restored {
            manifest: self.history.newest().clone(),
            last_epoch: self.history.last_epoch(),
            is_exactly_once: self.history.is_exactly_once(),
            state,
        }
    }

    /// Starts the slots of a deployment; counters go on where those of the slots before ended.
    fn run_slots(&mut self, deployment: Deployment, wakers: Vec<Waker>) -> Result<()> {
        let before = std::mem::take(&mut self.metrics);
        let slot_metrics: Vec<Arc<SlotMetrics>> = wakers.iter().map(|_| Arc::default()).collect();
        self.metrics = Arc::new(JobMetrics {
            operators: deployment.operators,
            slots: slot_metrics.clone(),
            checkpoints: Mutex::new(before.checkpoints()),
        });
        self.metrics.go_on_from(&before);
        self.results = deployment.results;
        let caps = deployment
            .budgets
            .iter()
            .map(|budget| budget.memory.cap_bytes());
        let slots_bytes = caps.fold(0, usize::saturating_add);
        let control = Arc::new(Control::new(self.history.last_epoch(), slots_bytes));
        if self.control.drains() {
            control.request_drain();
        }
        self.control = control;
        self.wakers = wakers;
        let subtasks_count = self.node_ids.len() * self.wakers.len();
        self.coordinator = Coordinator::new(
            subtasks_count,
            schedule(&self.spec),
            self.history.last_epoch(),
            self.clock().monotonic(),
        );
        let slots = deployment.slots.into_iter().zip(deployment.budgets);
        let slots = slots.zip(slot_metrics).enumerate();
        let slots = slots.map(|(index, ((subtasks, memory), metrics))| Slot {
            index,
            subtasks,
            control: self.control.clone(),
            reports: self.reports.clone(),
            waker: self.wakers[index].clone(),
            clock: self.environment.clock.clone(),
            cpu_before_ns: metrics.cpu_ns.get(),
            metrics,
            cpu_share: self.spec.config.cfu_cpu_share,
            memory,
        });
        self.runner.start(slots.collect())?;
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Live {
            control: self.control.clone(),
            wakers: self.wakers.clone(),
            metrics: self.metrics.clone(),
        };
        Ok(())
    }

    /// Coordinates until the job has ended, and ends its slots.
    pub(super) fn run(mut self) -> JobEvent {
        let event = loop {
            match self.step() {
                Ok(Step::Done) => {}
                Ok(Step::Wait(limit)) => self.wait(limit),
                Ok(Step::Ended(event)) => break event,
                Err(error) => break JobEvent::Failed(error),
            }
        };
        self.end_slots();
        if let Some(results) = &self.results {
            results.finish();
        }
        event
    }

    /// Ends the slots at once; the slots.
    fn end_slots(&mut self) -> Vec<Slot> {
        self.control.request_cancel();
        self.wake_all();
        self.runner.join()
    }

    /// Waits for a report.
    fn wait(&mut self, limit: Option<Duration>) {
        let report = match limit {
            Some(limit) => self.inbox.recv_timeout(limit),
            None => self
                .inbox
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        self.stashed.extend(report);
    }

    /// Time.
    fn clock(&self) -> &SharedClock {
        &self.environment.clock
    }

    /// Takes in one report, or does the next thing that is to be done.
    ///
    /// # Errors
    /// What fails the job.
    pub(super) fn step(&mut self) -> Result<Step> {
        let stashed = self.stashed.pop_front();
        let report = stashed.or_else(|| self.inbox.try_recv().ok());
        if let Some(report) = report {
            return self.receive(report);
        }
        let now = self.clock().monotonic();
        if let Some(retry_at) = self.retry_at.filter(|retry_at| now < *retry_at) {
            return Ok(Step::Wait(Some(retry_at.saturating_sub(now))));
        }
        self.retry_at = None;
        if self.history.has_unstored() {
            let stored = self.store_segment();
            return self.tolerate(stored);
        }
        if let Some(completing) = self.completing.take() {
            return self.complete(completing);
        }
        self.note_progress();
        match self.coordinator.decide(now) {
            Decision::Trigger { epoch, is_last } => self.trigger(epoch, is_last),
            Decision::Complete {
                epoch,
                states,
                is_last,
            } => {
                let then = if is_last { Then::Halted } else { Then::GoOn };
                self.begin_completing(epoch, states, then)
            }
            Decision::Finish { epoch, states } => {
                self.begin_completing(epoch, states, Then::Finished)
            }
            Decision::Expired { epoch } => self.expire(epoch),
            Decision::Wait(until) => Ok(Step::Wait(until.map(|until| until.saturating_sub(now)))),
        }
    }

    /// Asks sources for a barrier.
    fn trigger(&mut self, epoch: u64, is_last: bool) -> Result<Step> {
        self.triggered_at = self.clock().monotonic();
        // Slots go on writing behind the barrier, in the next transaction.
        self.history.begin(epoch + 1)?;
        self.epoch_savepoints.append(&mut self.savepoints);
        self.control.request(epoch, is_last);
        self.metrics
            .change_checkpoints(|meter| meter.in_progress = true);
        self.wake_all();
        Ok(Step::Done)
    }

    /// Takes in a report.
    fn receive(&mut self, report: Report) -> Result<Step> {
        match report {
            Report::Snapshot {
                vertex,
                subtask,
                key_groups,
            } => self.take(Changed {
                vertex,
                subtask,
                key_groups,
            }),
            Report::Acknowledged {
                epoch,
                vertex,
                subtask,
                mut state,
            } => {
                self.take(Changed {
                    vertex,
                    subtask,
                    key_groups: std::mem::take(&mut state.key_groups),
                });
                self.coordinator.acknowledge(epoch, vertex, subtask, state);
            }
            Report::SlotEnded { subtask, outcome } => {
                let mut states = outcome?;
                for (vertex, state) in states.iter_mut().enumerate() {
                    let changed = Changed {
                        vertex,
                        subtask,
                        key_groups: std::mem::take(&mut state.key_groups),
                    };
                    if self.coordinator.has_joined(vertex, subtask) {
                        self.behind.push(changed);
                    } else {
                        self.take(changed);
                    }
                }
                self.coordinator.slot_ended(subtask, states);
            }
            Report::Compacted(outcome) => {
                self.is_compacting = false;
                match outcome {
                    Ok(replacements) => self.history.take_replacements(replacements),
                    Err(error) => tracing::warn!(%error, "state could not be compacted"),
                }
            }
            Report::Command(command) => return Ok(self.command(command)),
        }
        Ok(Step::Done)
    }

    /// Takes over what a subtask has changed.
    fn take(&mut self, changed: Changed) {
        if !self.history.is_kept() {
            self.control
                .remove_snapshot_bytes(bytes_of(&changed.key_groups));
        }
        let node = self.node_ids[changed.vertex];
        self.history.take(node, changed.subtask, changed.key_groups);
    }

    /// Does what the owner asks for.
    fn command(&mut self, command: Command) -> Step {
        let is_kept = self.history.is_kept();
        match command {
            Command::Stop if is_kept => {
                self.is_stopping = true;
                self.coordinator.stop();
            }
            Command::Stop | Command::Cancel => return Step::Ended(JobEvent::Cancelled),
            Command::Savepoint { name, reply } if is_kept => {
                self.savepoints.push((name, reply));
                self.coordinator.request();
            }
            Command::Savepoint { reply, .. } => answer(
                &reply,
                Err(Error::validation(
                    "a statement without checkpoints has no savepoints",
                )),
            ),
            Command::Rescale { parallelism, reply } => {
                let refused = match parallelism {
                    0 => Some(Error::option("a statement needs at least one slot")),
                    _ if !is_kept => Some(Error::validation(
                        "a statement without checkpoints keeps the slots that it has",
                    )),
                    _ if self.rescaling.is_some() => Some(Error::validation(
                        "the statement is getting another number of slots already",
                    )),
                    _ => None,
                };
                if let Some(refused) = refused {
                    answer(&reply, Err(refused));
                } else if parallelism == self.spec.parallelism {
                    answer(&reply, Ok(()));
                } else {
                    // An epoch before the one that halts: what is left to store while nothing runs is small then.
                    self.rescaling = Some((parallelism, reply));
                    self.coordinator.request();
                }
            }
        }
        Step::Done
    }

    /// Stores a part of what subtasks have handed out.
    fn store_segment(&mut self) -> Result<()> {
        // Above the epoch that is being completed, since settling it deletes what no checkpoint refers to.
        let completing = self.completing.as_ref();
        let settled = completing.map_or(0, |completing| completing.manifest.epoch);
        let settled = settled.max(self.history.last_epoch());
        let bytes = self.history.store_segment(settled + 1)?;
        self.epoch_bytes += bytes as u64;
        self.control.remove_snapshot_bytes(bytes);
        self.wake_all();
        Ok(())
    }

    /// Goes on after a failure, if that is tolerated: what failed is tried again.
    fn tolerate(&mut self, outcome: Result<()>) -> Result<Step> {
        let Err(error) = outcome else {
            return Ok(Step::Done);
        };
        self.failures += 1;
        self.metrics
            .change_checkpoints(|meter| meter.failed_total += 1);
        let is_passing = error.kind == Kind::Unavailable;
        if !is_passing || self.failures > self.spec.config.tolerable_failed_checkpoints {
            return Err(error);
        }
        tracing::warn!(%error, failures = self.failures, "a checkpoint is tried again");
        self.retry_at = Some(self.clock().monotonic() + RETRY_PAUSE);
        Ok(Step::Done)
    }

    /// An epoch has taken as long as it may. It goes on when that is tolerated, unless a transaction would be open for too long.
    fn expire(&mut self, epoch: u64) -> Result<Step> {
        let error = Error::unavailable(format!(
            "checkpoint {epoch} was not complete after {:?}; raise 'execution.checkpointing.timeout' or give the statement more slots",
            self.spec.config.checkpoint_timeout
        ));
        if self.history.is_transactional() {
            return Err(error);
        }
        self.tolerate(Err(error))
    }

    /// Begins to complete an epoch that every subtask has joined.
    fn begin_completing(
        &mut self,
        epoch: u64,
        states: BTreeMap<(usize, usize), SubtaskState>,
        then: Then,
    ) -> Result<Step> {
        let states = states
            .into_iter()
            .map(|((vertex, subtask), state)| ((self.node_ids[vertex], subtask), state));
        self.completing = Some(Completing {
            manifest: self.history.manifest(epoch, states.collect())?,
            then,
            phase: Phase::Store,
        });
        for changed in std::mem::take(&mut self.behind) {
            self.take(changed);
        }
        Ok(Step::Done)
    }

    /// Does the next step of completing an epoch.
    fn complete(&mut self, mut completing: Completing) -> Result<Step> {
        match completing.phase {
            Phase::Store => {
                let stored = self.history.store_manifest(&completing.manifest);
                let bytes = *stored.as_ref().unwrap_or(&0);
                self.epoch_bytes += bytes;
                if stored.is_ok() {
                    completing.phase = Phase::Commit;
                }
                self.completing = Some(completing);
                return self.tolerate(stored.map(drop));
            }
            Phase::Commit => {
                self.history
                    .commit(std::mem::take(&mut completing.manifest))?;
                completing.phase = Phase::Note;
            }
            Phase::Note => {
                self.history.publish()?;
                let noted = self.history.note();
                if noted.is_ok() {
                    completing.phase = Phase::Settle;
                }
                self.completing = Some(completing);
                return self.tolerate(noted);
            }
            Phase::Settle => return self.settle(completing.then),
        }
        self.completing = Some(completing);
        Ok(Step::Done)
    }

    /// The epoch is complete: cleans up behind it, answers those who waited for it, and goes on.
    fn settle(&mut self, then: Then) -> Result<Step> {
        self.failures = 0;
        let now = self.clock().monotonic();
        self.coordinator.settled(now);
        self.control.settle(self.history.last_epoch());
        self.wake_all();
        let (bytes, now_ms) = (std::mem::take(&mut self.epoch_bytes), self.clock().now_ms());
        let duration = now.saturating_sub(self.triggered_at);
        if self.history.is_kept() {
            let full_bytes = self.history.newest().state_bytes();
            self.metrics.change_checkpoints(|meter| {
                meter.completed_total += 1;
                meter.last_duration_ms = u64::try_from(duration.as_millis()).ok();
                meter.last_bytes = Some(bytes);
                meter.last_full_bytes = Some(full_bytes);
                meter.in_progress = false;
                meter.last_completed_at_ms = Some(now_ms);
            });
            if let Err(error) = self.history.collect() {
                tracing::warn!(%error, "old checkpoints are left behind");
            }
        }
        let positions = positions(self.history.newest());
        for (name, reply) in std::mem::take(&mut self.epoch_savepoints) {
            let written = self.history.write_savepoint(&name);
            let savepoint = written.map(|()| Savepoint {
                name,
                epoch: self.history.newest().epoch,
                positions: positions.clone(),
            });
            answer(&reply, savepoint);
        }
        match then {
            Then::Finished => Ok(Step::Ended(JobEvent::Finished)),
            Then::Halted if self.is_stopping => Ok(Step::Ended(JobEvent::Stopped { positions })),
            Then::Halted => self.rescale(),
            Then::GoOn => {
                if self.rescaling.is_some() {
                    self.coordinator.stop();
                } else {
                    self.compact()?;
                }
                Ok(Step::Done)
            }
        }
    }

    /// Merges chains that have become long, beside everything else.
    fn compact(&mut self) -> Result<()> {
        let Some(store) = self.history.store().cloned() else {
            return Ok(());
        };
        if self.is_compacting || self.history.has_replacements() {
            return Ok(());
        }
        let manifest = self.history.newest().clone();
        let merges = plan_compaction(&chain_facts(&manifest), &self.spec.config.compaction);
        if merges.is_empty() {
            return Ok(());
        }
        let at = CheckpointName::new(manifest.run.clone(), manifest.epoch + 1);
        let reports = self.reports.clone();
        let bytes_max = self.control.merge_bytes_max();
        self.is_compacting = true;
        self.runner.spawn(Box::new(move || {
            let outcome = store.compact(&manifest, &merges, &at, bytes_max);
            if reports.send(Report::Compacted(outcome)).is_err() {
                tracing::debug!("the job has ended before its compaction");
            }
        }))
    }

    /// Hands the state of the halted slots over to another number of slots, and starts those.
    fn rescale(&mut self) -> Result<Step> {
        let Some((parallelism, reply)) = self.rescaling.take() else {
            return Err(Error::internal("slots have halted and nobody asked for it"));
        };
        let slots = self.end_slots();
        // What slots still had to say is of no use; requests of the owner are.
        let reports: Vec<Report> = self.inbox.try_iter().collect();
        self.stashed.extend(reports);
        self.stashed
            .retain(|report| matches!(report, Report::Command(_) | Report::Compacted(_)));
        let outcome = self.redeploy(parallelism, operators_of(slots, &self.node_ids));
        if outcome.is_ok() {
            let pause = self.clock().monotonic().saturating_sub(self.triggered_at);
            tracing::info!(parallelism, ?pause, "the statement has other slots");
        }
        if !self.savepoints.is_empty() {
            self.coordinator.request();
        }
        answer(&reply, outcome.clone());
        outcome.map(|()| Step::Done)
    }

    /// Starts other slots with the state of those before.
    fn redeploy(
        &mut self,
        parallelism: usize,
        operators: HashMap<u32, Vec<Box<dyn crate::operator::Operator>>>,
    ) -> Result<()> {
        self.spec.parallelism = parallelism;
        let generation = Generation {
            number: self.generation + 1,
            results: self.results.clone(),
        };
        self.generation = generation.number;
        let wakers = wakers(parallelism);
        let (spec, environment) = (self.spec.clone(), self.environment.clone());
        let deployer = Deployer::new(&spec, &environment, &wakers, &generation)?;
        let restored = self.restored(StateOrigin::Operators(operators));
        let deployment = deployer.deploy(self.history.transactions(), restored)?;
        self.run_slots(deployment, wakers)
    }

    /// Tells the coordinator whether sources have moved.
    fn note_progress(&mut self) {
        let records = self.metrics.records_moved();
        if records != self.records_seen {
            self.records_seen = records;
            self.coordinator.note_progress();
        }
    }

    /// Makes every slot look at its requests.
    fn wake_all(&self) {
        self.wakers.iter().for_each(Waker::wake);
    }
}

/// When a job takes checkpoints.
fn schedule(spec: &JobSpec) -> Schedule {
    Schedule {
        interval: spec
            .checkpoints
            .is_some()
            .then_some(spec.config.checkpoint_interval),
        min_pause: spec.config.checkpoint_min_pause,
        timeout: spec.config.checkpoint_timeout,
    }
}

/// Wakers of as many slots.
fn wakers(parallelism: usize) -> Vec<Waker> {
    (0..parallelism).map(|_| Waker::default()).collect()
}

/// The operators of ended slots by node id.
fn operators_of(
    slots: Vec<Slot>,
    node_ids: &[u32],
) -> HashMap<u32, Vec<Box<dyn crate::operator::Operator>>> {
    let mut operators: HashMap<u32, Vec<_>> = HashMap::new();
    for slot in slots {
        for (id, (_, subtask)) in node_ids.iter().zip(slot.subtasks) {
            operators
                .entry(*id)
                .or_default()
                .extend(subtask.into_operator());
        }
    }
    operators
}

/// Where every split goes on.
fn positions(manifest: &Manifest) -> Vec<SplitPosition> {
    let splits = manifest.nodes.values().flat_map(|node| &node.splits);
    splits.map(|split| split.position.clone()).collect()
}

/// Answers the owner, who may not be waiting any more.
fn answer<T>(reply: &Reply<T>, answer: Result<T>) {
    if reply.try_send(answer).is_err() {
        tracing::debug!("nobody waits for the answer to a request");
    }
}

/// Removes what an earlier process has spilled: nothing of it is used again.
fn forget_spilled(spec: &JobSpec) -> Result<()> {
    let Some(dir) = &spec.config.spill_dir else {
        return Ok(());
    };
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::storage(format!(
            "spilled state {}: {error}",
            dir.display()
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}
