//! Who does the next thing, and what goes wrong.
//!
//! Place in the flow: a test runs a [`World`] by its seed. Invariant: nothing but the seed decides anything, so that a run that fails
//! fails again; and once the world is calm, a statement that is not beyond help comes to its end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::objects::Timed;
use super::process::{Life, Process, lock};
use super::shape::Shape;
use super::statement::{CHECKPOINT_TIMEOUT, Changes, error_table, spec};
use super::within::Within;
use crate::checkpoint::store::Components;
use crate::checkpoint::store::testing::{FaultPlan, FaultyObjects, next_random};
use crate::connector::kafka::model::{Conductor, Connection, Fate, ModelCluster};
use crate::error::{Code, Error, Kind};
use crate::task::Environment;
use crate::task::control::Command;
use crate::task::job::JobEvent;
use crate::testing::SimulatedClock;
use crate::time::Clock as _;

/// Turns of a run at most: an undisturbed one takes about a thousand, so that whoever needs so many is stuck.
const TURNS_MAX: u64 = 200_000;

/// Turns after which nothing more goes wrong: more than an undisturbed run takes, so that faults meet every part of it.
const CALM_AFTER: u64 = 6_000;

/// How deep calls are interrupted by turns in which others make calls. Three processes that wait for one another, and the slots below.
const DEPTH_MAX: usize = 3;

/// How long the cluster keeps group offsets: Kafka's default.
const RETENTION: Duration = Duration::from_hours(7 * 24);

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
            objects: Timed::new(clock.clone()),
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
            if self.turns() > TURNS_MAX {
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
                for process in &lives {
                    process.pause(false);
                }
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
        self.turns() > CALM_AFTER
    }

    /// Turns taken.
    pub(super) fn turns(&self) -> u64 {
        self.turn_count.load(Ordering::SeqCst)
    }

    /// Notes what was done.
    fn note(&self, what: &str) {
        let turn = self.turns();
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
            turn_count: self.turns(),
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

    /// Whether every process that lives is stopped by a signal.
    pub(super) fn nobody_runs(&self) -> bool {
        let lives = self.lives();
        let mut live = lives.iter().filter(|process| process.is_live());
        live.all(|process| process.is_paused())
    }

    /// Starts the statement while another process lives.
    pub(super) fn start_beside(&self) {
        self.happened.twin.store(true, Ordering::SeqCst);
        self.count("twin");
        self.start();
    }

    /// Starts another process.
    fn start(&self) {
        let number = lock(&self.processes).len();
        let parallelism = usize::try_from(1 + self.below(3)).unwrap_or(1);
        self.note(&format!("process {number} starts with {parallelism} slots"));
        let within = Within::new(self.me.clone());
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
        within.name(&process);
        lock(&self.processes).push(Arc::clone(&process));
        let components = Components {
            pause: within,
            token: format!("process{number}"),
        };
        let environment = Environment::over_model(self.clock.clone(), connection, error_table());
        let spec = spec(parallelism, self.shape.interval, objects, components);
        self.deeper(|| process.start(&spec, &environment));
        let life = match process.life() {
            Life::Running => "runs".to_owned(),
            Life::Killed => {
                self.count("killed while it started");
                "was killed while it started".to_owned()
            }
            Life::Ended(event) => {
                self.count("did not start");
                self.count(event_name(&event));
                format!("did not start: {event:?}")
            }
        };
        self.note(&format!("process {number} {life}"));
    }

    /// Does something in the middle of a call.
    fn deeper<T>(&self, inside: impl FnOnce() -> T) -> T {
        self.depth.fetch_add(1, Ordering::SeqCst);
        let outcome = inside();
        self.depth.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    /// Whether calls may be begun that let others act in their middle.
    pub(super) fn may_call(&self) -> bool {
        self.depth.load(Ordering::SeqCst) < DEPTH_MAX
    }

    /// Lets somebody do one thing; false when nobody has anything to do.
    pub(super) fn turn(&self) -> bool {
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
            self.count(event_name(&event));
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
                self.start_beside();
            }
            60..68 => {
                self.note("who was paused goes on");
                for process in &live {
                    process.pause(false);
                }
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
        let (choice, place) = (self.below(u64::MAX), self.below(u64::MAX));
        if let Some(name) = self.objects.damage(choice, place) {
            self.note(&format!("{name} is damaged"));
            self.count("damage");
            self.happened.damage.store(true, Ordering::SeqCst);
        }
    }
}

/// What the end of a job is counted as.
fn event_name(event: &JobEvent) -> &'static str {
    match event {
        JobEvent::Finished => "finished",
        JobEvent::Stopped { .. } => "stopped",
        JobEvent::Cancelled => "cancelled",
        JobEvent::Failed(error) if error.code == Code::Fenced => "fenced",
        JobEvent::Failed(error) if error.code == Code::CommittedCheckpoint => {
            "committed checkpoint lost"
        }
        JobEvent::Failed(_) => "another failure",
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
        for _ in 0..=self.below(8) {
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
