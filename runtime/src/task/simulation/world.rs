//! Who does the next thing, and what goes wrong.
//!
//! Place in the flow: a test runs a [`World`] by its seed. Invariant: nothing but the seed decides anything, so that a run that fails
//! fails again; and once the world is calm, a statement that is not beyond help comes to its end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::process::{Life, Process, lock};
use super::statement::{Changes, Size, plan};
use crate::checkpoint::store::objects::{self, Object, Objects, PutMode};
use crate::checkpoint::store::testing::{FaultPlan, FaultyObjects, MemoryObjects, next_random};
use crate::checkpoint::store::{
    CheckpointStore, CompactionLimits, Components, Location, Options, Pause, TransferOptions,
};
use crate::connector::kafka::model::{Conductor, Connection, Fate, ModelCluster};
use crate::error::{Code, Error, Kind};
use crate::task::Environment;
use crate::task::control::Command;
use crate::task::job::{Checkpoints, JobConfig, JobEvent, JobSpec, StartFrom};
use crate::testing::SimulatedClock;
use crate::time::{Clock as _, EpochMillis};

/// Turns of a run at most: an undisturbed one takes about a thousand, so that whoever needs so many is stuck.
const TURNS_MAX: u64 = 200_000;

/// Turns after which nothing more goes wrong: more than an undisturbed run takes, so that faults meet every part of it.
const CALM_AFTER: u64 = 6_000;

/// How deep calls are interrupted by turns in which others make calls. Three processes that wait for one another, and the slots below.
const DEPTH_MAX: usize = 3;

/// Turns for which a process stays stopped in the middle of a call: enough for another one to start and to commit.
const PAUSED_TURNS_MAX: u64 = 500;

/// How long the cluster keeps group offsets: Kafka's default.
const RETENTION: Duration = Duration::from_hours(7 * 24);

/// Longest checkpoint. With the interval and ten seconds it is how long a transaction may be open, which sleeps exceed.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(20);

/// What a seed is like, which is drawn first.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// What there is to do.
    size: Size,
    /// Time between two checkpoints.
    interval: Duration,
    /// How many of a hundred requests to the cluster are lost, and how many answers.
    lost_percent: u64,
    /// What goes wrong with checkpoints.
    store: FaultPlan,
    /// How often the world is disturbed.
    disturbances: u64,
    /// Of a hundred disturbances, how many damage an object.
    damages_percent: u64,
    /// Whether the statement may be down for longer than records of epochs are kept.
    oversleeps: bool,
    /// Whether the number of slots changes.
    rescales: bool,
}

/// What has happened that a failure may be put down to.
#[derive(Debug, Default)]
struct Happened {
    /// Two processes ran at the same time.
    twin: AtomicBool,
    /// So much time passed at once that a transaction may have timed out.
    sleep: AtomicBool,
    /// An object was damaged.
    damage: AtomicBool,
    /// The statement was down for longer than records are kept.
    oversleep: AtomicBool,
}

/// A world with one statement.
pub(super) struct World {
    /// Itself.
    me: Weak<Self>,
    /// State of the random numbers.
    random: AtomicU64,
    /// What the seed is like.
    shape: Shape,
    /// Time.
    clock: Arc<SimulatedClock>,
    /// The cluster.
    cluster: Arc<ModelCluster>,
    /// Checkpoints.
    objects: Arc<Timed>,
    /// Every life of the process, oldest first.
    processes: Mutex<Vec<Arc<Process>>>,
    /// Calls that are in the middle of something.
    depth: AtomicUsize,
    /// Turns taken.
    turn_count: AtomicU64,
    /// Disturbances left.
    disturbances: AtomicU64,
    /// Until when no request arrives.
    outage_until: Mutex<Duration>,
    /// What has happened.
    happened: Happened,
    /// How often what has happened.
    counts: Mutex<Counts>,
    /// What the world has done to whom, for people.
    history: Mutex<Vec<String>>,
}

/// How often what has happened.
pub(super) type Counts = BTreeMap<&'static str, u64>;

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// What a run has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// Turns.
    pub(super) turn_count: u64,
    /// Lives of the process.
    pub(super) life_count: usize,
    /// How the statement ended: absent when all input was processed.
    pub(super) failure: Option<Code>,
    /// How often what has happened.
    pub(super) counts: Counts,
    /// What has come out.
    pub(super) found: Changes,
}

/// Objects with the simulated time of their writing.
#[derive(Debug)]
struct Timed {
    /// The objects.
    inner: MemoryObjects,
    /// When each was written.
    written_ms: Mutex<BTreeMap<String, EpochMillis>>,
    /// Time.
    clock: Arc<SimulatedClock>,
}

impl Objects for Timed {
    fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), objects::Fault> {
        self.inner.put(name, parts, mode)?;
        lock(&self.written_ms).insert(name.to_owned(), self.clock.now_ms());
        Ok(())
    }

    fn read(
        &self,
        name: &str,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<Bytes, objects::Fault> {
        self.inner.read(name, range)
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>, objects::Fault> {
        let written_ms = lock(&self.written_ms);
        let mut listed = self.inner.list(folder)?;
        for object in &mut listed {
            object.modified_ms = written_ms.get(&object.name).copied().unwrap_or_default();
        }
        Ok(listed)
    }

    fn delete(&self, name: &str) -> Result<(), objects::Fault> {
        self.inner.delete(name)
    }
}

impl Shape {
    /// A shape by a seed; undisturbed when nothing is to go wrong.
    fn draw(random: &AtomicU64, is_disturbed: bool) -> Self {
        let below = |end: u64| next_random(random) % end;
        let keys = 2 + below(6);
        let size = Size {
            records: 12 + below(40),
            keys,
            input_partitions: 1 + below(3),
            output_partitions: usize::try_from(1 + below(3)).unwrap_or(1),
        };
        let interval = Duration::from_millis(20 + below(400));
        let fraction = |percent: u64| f64::from(u32::try_from(percent).unwrap_or_default()) / 100.0;
        let store = FaultPlan {
            failing: fraction(below(8)),
            unanswered: fraction(below(8)),
            truncated: fraction(below(4)),
            flipped: fraction(below(4)),
            ..FaultPlan::default()
        };
        let disturbed = Self {
            size,
            interval,
            // Two of three seeds have a network that works, so that other faults are not lost in it.
            lost_percent: below(36).saturating_sub(24),
            store: if below(2) == 0 {
                FaultPlan::default()
            } else {
                store
            },
            disturbances: below(10),
            damages_percent: if below(12) == 0 { 20 } else { 0 },
            oversleeps: below(16) == 0,
            rescales: below(3) == 0,
        };
        if is_disturbed {
            return disturbed;
        }
        Self {
            lost_percent: 0,
            store: FaultPlan::default(),
            disturbances: 0,
            damages_percent: 0,
            oversleeps: false,
            ..disturbed
        }
    }
}

impl World {
    /// The world of a seed.
    pub(super) fn new(seed: u64, is_disturbed: bool) -> Arc<Self> {
        let random = AtomicU64::new(seed);
        let shape = Shape::draw(&random, is_disturbed);
        let clock = SimulatedClock::shared();
        let cluster = ModelCluster::new(RETENTION, clock.clone());
        shape.size.write(&mut cluster.brokers());
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            random,
            shape,
            cluster,
            objects: Arc::new(Timed {
                inner: MemoryObjects::default(),
                written_ms: Mutex::default(),
                clock: clock.clone(),
            }),
            clock,
            processes: Mutex::default(),
            depth: AtomicUsize::new(0),
            turn_count: AtomicU64::new(0),
            disturbances: AtomicU64::new(shape.disturbances),
            outage_until: Mutex::default(),
            happened: Happened::default(),
            counts: Mutex::default(),
            history: Mutex::default(),
        })
    }

    /// Runs until the statement has ended and every process with it.
    ///
    /// # Errors
    /// What is wrong, and what went before.
    pub(super) fn run(&self) -> Result<Summary, String> {
        let outcome = self.run_to_end();
        // The world and its processes hold one another.
        for process in self.lives() {
            process.kill();
        }
        outcome.map_err(|wrong| {
            let history = lock(&self.history).join("\n  ");
            format!("{wrong}\n{:?}\n  {history}", self.shape)
        })
    }

    /// Runs until the statement has ended and every process with it.
    fn run_to_end(&self) -> Result<Summary, String> {
        loop {
            if self.turn_count.load(Ordering::SeqCst) > TURNS_MAX {
                return Err(format!("no end after {TURNS_MAX} turns"));
            }
            let lives = self.lives();
            let is_live = lives.iter().any(|process| process.is_live());
            if let Some(failure) = self.beyond_help(&lives)? {
                return self.end(&lives, Some(failure));
            }
            let is_finished = lives.iter().any(|process| has_finished(process));
            if !is_live {
                if is_finished {
                    return self.end(&lives, None);
                }
                self.restart();
                continue;
            }
            if is_finished {
                // Whoever is left must hear that it was shut out.
                self.disturbances.store(0, Ordering::SeqCst);
                lives.iter().for_each(|process| process.pause(false));
            }
            if !self.turn() {
                self.idle(&lives)?;
            }
        }
    }

    /// Every life of the process.
    fn lives(&self) -> Vec<Arc<Process>> {
        lock(&self.processes).clone()
    }

    /// Whether nothing goes wrong any more.
    fn is_calm(&self) -> bool {
        self.turn_count.load(Ordering::SeqCst) > CALM_AFTER
    }

    /// Notes what was done.
    fn note(&self, what: &str) {
        let turn = self.turn_count.load(Ordering::SeqCst);
        let now = self.clock.monotonic();
        lock(&self.history).push(format!("turn {turn}, {now:?}: {what}"));
    }

    /// Counts something that has happened.
    fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_default() += 1;
    }

    /// What a failure says about the statement: a code when no restart helps.
    fn beyond_help(&self, lives: &[Arc<Process>]) -> Result<Option<Code>, String> {
        let mut beyond = None;
        for process in lives {
            let Some(error) = process.failure() else {
                continue;
            };
            if !self.is_justified(&error) {
                return Err(format!(
                    "process {} failed without a reason: {:?} {error}",
                    process.number, error.code
                ));
            }
            if error.code == Code::CommittedCheckpoint {
                beyond = Some(error.code);
            }
        }
        Ok(beyond)
    }

    /// Whether what has happened explains a failure.
    fn is_justified(&self, error: &Error) -> bool {
        let happened = |what: &AtomicBool| what.load(Ordering::SeqCst);
        let Happened {
            twin,
            sleep,
            damage,
            oversleep,
        } = &self.happened;
        let is_faulty = self.shape.lost_percent > 0
            || self.shape.store != FaultPlan::default()
            || self.shape.disturbances > 0;
        match error.kind {
            Kind::Conflict => happened(twin) || happened(sleep),
            Kind::Corrupt if error.code == Code::CommittedCheckpoint => {
                happened(damage) || happened(oversleep)
            }
            Kind::Corrupt => happened(damage) || self.shape.store != FaultPlan::default(),
            Kind::Unavailable => is_faulty,
            Kind::Invalid | Kind::Unsupported | Kind::Data | Kind::Internal => false,
        }
    }

    /// Compares what has come out.
    fn end(&self, lives: &[Arc<Process>], failure: Option<Code>) -> Result<Summary, String> {
        // What is decided becomes known everywhere, and what is open is nobody's any more.
        for process in lives {
            process.kill();
        }
        self.clock.advance(CHECKPOINT_TIMEOUT * 10);
        while self.cluster.act(self) {}
        let found = self.shape.size.found(&self.cluster.brokers());
        let expected = self.shape.size.expected();
        for (key, changes) in &expected {
            let empty = Vec::new();
            let seen = found.get(key).unwrap_or(&empty);
            let is_right = match failure {
                None => seen == changes,
                Some(_) => changes.starts_with(seen),
            };
            if !is_right {
                return Err(format!(
                    "key {key}: expected {changes:?}, found {seen:?}{}",
                    lost_and_doubled(changes, seen)
                ));
            }
        }
        if found.keys().any(|key| !expected.contains_key(key)) {
            return Err(format!("keys that nobody wrote: {:?}", found.keys()));
        }
        let timed_out = self.cluster.brokers().timed_out_count();
        lock(&self.counts).insert("timed-out transaction", timed_out);
        Ok(Summary {
            counts: lock(&self.counts).clone(),
            turn_count: self.turn_count.load(Ordering::SeqCst),
            life_count: lives.len(),
            failure,
            found,
        })
    }

    /// Nobody has anything to do: goes on to when somebody has.
    fn idle(&self, lives: &[Arc<Process>]) -> Result<(), String> {
        let live = || lives.iter().filter(|process| process.is_live());
        if live().next().is_none() {
            return Ok(());
        }
        let running = live().filter(|process| !process.is_paused());
        let now = self.clock.monotonic();
        if let Some(due) = running.filter_map(|process| process.due_at()).min() {
            // At least a little, for what is due and had nothing to do.
            let left = due.saturating_sub(now).max(Duration::from_micros(1));
            self.clock.advance(left);
            return Ok(());
        }
        let mut paused = live().filter(|process| process.is_paused());
        if let Some(process) = paused.next() {
            process.pause(false);
            return Ok(());
        }
        Err("nobody has anything to do, and nothing is due: a wake-up is lost".to_owned())
    }

    /// Starts the statement again after nobody runs it any more.
    fn restart(&self) {
        if self.shape.oversleeps && !self.lives().is_empty() && self.below(4) == 0 {
            self.note("everybody sleeps for longer than records are kept");
            self.happened.oversleep.store(true, Ordering::SeqCst);
            self.count("overslept");
            self.clock.advance(RETENTION + Duration::from_hours(1));
            self.cluster.act(self);
        }
        self.start();
    }

    /// Starts another process.
    fn start(&self) {
        let number = lock(&self.processes).len();
        let parallelism = usize::try_from(1 + self.below(3)).unwrap_or(1);
        self.note(&format!("process {number} starts with {parallelism} slots"));
        let within = Arc::new(Within {
            world: self.me.clone(),
            process: OnceLock::new(),
        });
        let connection = Connection::new(Arc::clone(&self.cluster), Arc::clone(&within) as _);
        let hook = Arc::clone(&within);
        let plan = if self.is_calm() {
            FaultPlan::default()
        } else {
            self.shape.store
        };
        let objects =
            FaultyObjects::new(Arc::clone(&self.objects) as _, plan, self.below(u64::MAX));
        let objects = Arc::new(objects.with_hook(Arc::new(move |_| hook.meanwhile())));
        let process = Process::new(number, Arc::clone(&connection), Arc::clone(&objects));
        within.process.get_or_init(|| Arc::downgrade(&process));
        lock(&self.processes).push(Arc::clone(&process));
        let components = Components {
            pause: within,
            token: format!("process{number}"),
        };
        let environment = Environment::over_model(self.clock.clone(), connection);
        let spec = self.spec(parallelism, objects, components);
        self.deeper(|| process.start(&spec, &environment));
        let life = match process.life() {
            Life::Running => "runs".to_owned(),
            Life::Killed => {
                self.count("killed while it started");
                "was killed while it started".to_owned()
            }
            Life::Ended(event) => {
                self.count("did not start");
                format!("did not start: {event:?}")
            }
        };
        self.note(&format!("process {number} {life}"));
    }

    /// What a process runs.
    fn spec(
        &self,
        parallelism: usize,
        objects: Arc<FaultyObjects>,
        components: Components,
    ) -> JobSpec {
        let options = Options {
            transfer: TransferOptions {
                // On the calling thread.
                parallelism: 1,
                ..TransferOptions::default()
            },
            ..Options::default()
        };
        let location = Location::parse("s3://simulated/statement").expect("a fixed text");
        let store = CheckpointStore::over(objects, &location, &options, components);
        JobSpec {
            statement_name: "simulated".to_owned(),
            statement_uid: "uid".to_owned(),
            plan: plan(),
            parallelism,
            checkpoints: Some(Checkpoints {
                store: Arc::new(store),
                run: "run".to_owned(),
                start_from: StartFrom::Committed,
            }),
            config: JobConfig {
                checkpoint_interval: self.shape.interval,
                checkpoint_timeout: CHECKPOINT_TIMEOUT,
                tolerable_failed_checkpoints: 2,
                // Few, so that merges happen in runs that are as short as these.
                compaction: CompactionLimits {
                    chain_slices_max: 3,
                    chain_slices_early: 2,
                    ..CompactionLimits::default()
                },
                // Some batches, so that queues fill up.
                exchange_queue_bytes: 1_000,
                ..JobConfig::default()
            },
        }
    }

    /// Does something in the middle of a call.
    fn deeper<T>(&self, inside: impl FnOnce() -> T) -> T {
        self.depth.fetch_add(1, Ordering::SeqCst);
        let outcome = inside();
        self.depth.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    /// Whether calls may be begun that let others act in their middle.
    fn may_call(&self) -> bool {
        self.depth.load(Ordering::SeqCst) < DEPTH_MAX
    }

    /// Lets somebody do one thing; false when nobody has anything to do.
    fn turn(&self) -> bool {
        self.turn_count.fetch_add(1, Ordering::SeqCst);
        self.clock.advance(Duration::from_micros(self.below(2_000)));
        if !self.is_calm() && self.may_call() && self.below(60) == 0 {
            self.disturb();
        }
        let running: Vec<Arc<Process>> = self
            .lives()
            .into_iter()
            .filter(|process| process.is_live() && !process.is_paused())
            .collect();
        let first = self.below(running.len().max(1) as u64);
        let (before, behind) = running.split_at(usize::try_from(first).unwrap_or_default());
        let first = self.below(KINDS);
        (0..KINDS).any(|offset| {
            let kind = (first + offset) % KINDS;
            let mut processes = behind.iter().chain(before);
            match kind {
                0 | 1 => processes
                    .any(|process| process.step_slot(self.below(8), self.clock.monotonic())),
                2 => self.may_call() && processes.any(|process| self.step_supervisor(process)),
                3 => self.may_call() && processes.any(|process| self.work(process)),
                4 | 5 => processes.any(|process| process.connection.act()),
                _ => self.cluster.act(self),
            }
        })
    }

    /// Does what a process has to do beside its slots.
    fn work(&self, process: &Process) -> bool {
        let worked = self.deeper(|| process.work());
        if worked {
            self.count("merge");
        }
        worked
    }

    /// Steps a supervisor, and notes what has become of its job.
    fn step_supervisor(&self, process: &Process) -> bool {
        let is_live = process.is_live();
        let stepped = self.deeper(|| process.step_supervisor(self.clock.monotonic()));
        if is_live && let Life::Ended(event) = process.life() {
            self.count(match &event {
                JobEvent::Finished => "finished",
                JobEvent::Stopped { .. } => "stopped",
                JobEvent::Cancelled => "cancelled",
                JobEvent::Failed(error) => name_of(error.code),
            });
            self.note(&format!("process {}: {event:?}", process.number));
        }
        stepped
    }

    /// Makes something go wrong.
    fn disturb(&self) {
        let spent = self
            .disturbances
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if spent.is_err() {
            return;
        }
        let live: Vec<Arc<Process>> = self
            .lives()
            .into_iter()
            .filter(|process| process.is_live())
            .collect();
        let Some(process) =
            live.get(usize::try_from(self.below(live.len().max(1) as u64)).unwrap_or_default())
        else {
            return;
        };
        if self.below(100) < self.shape.damages_percent {
            return self.damage();
        }
        let number = process.number;
        match self.below(100) {
            0..40 => {
                self.note(&format!("process {number} is killed"));
                self.count("killed");
                process.kill();
            }
            40..60 => {
                if self.below(2) == 0 {
                    self.note(&format!("process {number} is paused"));
                    self.count("paused");
                    process.pause(true);
                }
                self.happened.twin.store(true, Ordering::SeqCst);
                self.count("twin");
                self.start();
            }
            60..68 => {
                self.note("who was paused goes on");
                live.iter().for_each(|process| process.pause(false));
            }
            68..80 => {
                let time = Duration::from_millis(self.below(40_000));
                self.note(&format!("no request arrives for {time:?}"));
                self.happened.sleep.store(true, Ordering::SeqCst);
                self.count("outage");
                *lock(&self.outage_until) = self.clock.monotonic() + time;
            }
            80..90 => {
                let time = Duration::from_millis(self.below(40_000));
                self.note(&format!("everybody sleeps for {time:?}"));
                self.happened.sleep.store(true, Ordering::SeqCst);
                self.clock.advance(time);
            }
            90..95 => {
                self.note(&format!("process {number} is asked to stop"));
                process.ask(Command::Stop);
            }
            _ => {
                let parallelism = usize::try_from(1 + self.below(3)).unwrap_or(1);
                if self.shape.rescales {
                    self.note(&format!("process {number} is to have {parallelism} slots"));
                    self.count("rescale");
                    let (reply, _) = sync_channel(1);
                    process.ask(Command::Rescale { parallelism, reply });
                }
            }
        }
    }

    /// Damages an object.
    fn damage(&self) {
        let names = self.objects.inner.names();
        let chosen = usize::try_from(self.below(names.len().max(1) as u64)).unwrap_or_default();
        let Some(name) = names.get(chosen) else {
            return;
        };
        self.note(&format!("{name} is damaged"));
        self.count("damage");
        self.happened.damage.store(true, Ordering::SeqCst);
        let place = self.below(u64::MAX);
        self.objects.inner.damage(name, |bytes| {
            let at = usize::try_from((place >> 3) % bytes.len().max(1) as u64).unwrap_or_default();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (place & 7);
            }
        });
    }
}

/// What a failure is counted as.
fn name_of(code: Code) -> &'static str {
    match code {
        Code::Fenced => "fenced",
        Code::CommittedCheckpoint => "committed checkpoint lost",
        Code::Unavailable | Code::Storage => "unavailable",
        Code::Corrupt => "corrupt",
        _ => "other failure",
    }
}

/// Kinds of things to do in a turn.
const KINDS: u64 = 7;

/// Whether all input was processed.
fn has_finished(process: &Process) -> bool {
    process.life() == Life::Ended(JobEvent::Finished)
}

/// Changes that are missing or there more than once, for people.
fn lost_and_doubled(expected: &[String], seen: &[String]) -> String {
    let lost: Vec<_> = expected
        .iter()
        .filter(|change| !seen.contains(change))
        .collect();
    let doubled: Vec<_> = expected
        .iter()
        .filter(|change| seen.iter().filter(|seen| seen == change).count() > 1)
        .collect();
    format!("\nlost: {lost:?}\ndoubled: {doubled:?}")
}

impl Conductor for World {
    fn meanwhile(&self) {
        for _ in 0..self.below(6) {
            self.turn();
        }
    }

    fn wait(&self, time: Duration) {
        for _ in 0..1 + self.below(8) {
            self.turn();
        }
        self.clock.advance(time);
    }

    fn fate(&self) -> Fate {
        if self.is_calm() {
            return Fate::Answered;
        }
        if self.clock.monotonic() < *lock(&self.outage_until) {
            return Fate::Lost;
        }
        let lost = self.shape.lost_percent;
        match self.below(100) {
            chance if chance < lost => Fate::Lost,
            chance if chance < 2 * lost => Fate::Unanswered,
            _ => Fate::Answered,
        }
    }

    fn below(&self, end: u64) -> u64 {
        next_random(&self.random) % end
    }
}

/// The world as a process sees it in the middle of a call.
#[derive(Debug)]
struct Within {
    /// The world.
    world: Weak<World>,
    /// The process.
    process: OnceLock<Weak<Process>>,
}

impl Within {
    /// The world, which outlives its processes.
    fn world(&self) -> Arc<World> {
        self.world
            .upgrade()
            .expect("processes end with their world")
    }

    /// A call of a process that is stopped by a signal goes on when the process does.
    fn while_paused(&self, world: &World) {
        let Some(process) = self.process.get().and_then(Weak::upgrade) else {
            return;
        };
        let until = world.turn_count.load(Ordering::SeqCst) + PAUSED_TURNS_MAX;
        while process.is_paused() && process.is_live() {
            if world.turn_count.load(Ordering::SeqCst) > until || !world.turn() {
                process.pause(false);
            }
        }
    }
}

impl Conductor for Within {
    fn meanwhile(&self) {
        let world = self.world();
        world.meanwhile();
        self.while_paused(&world);
    }

    fn wait(&self, time: Duration) {
        let world = self.world();
        world.wait(time);
        self.while_paused(&world);
    }

    fn fate(&self) -> Fate {
        self.world().fate()
    }

    fn below(&self, end: u64) -> u64 {
        self.world().below(end)
    }
}

impl Pause for Within {
    fn pause(&self, time: Duration) {
        self.wait(time);
    }
}
