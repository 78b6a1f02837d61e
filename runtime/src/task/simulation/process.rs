//! One life of the process that runs the statement.
//!
//! Place in the flow: the world starts, steps, pauses and kills it. Invariant: whatever is stepped is taken out of its place meanwhile,
//! so that a turn in the middle of a call never steps it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::checkpoint::store::testing::{FaultPlan, FaultyObjects};
use crate::connector::kafka::model::Connection;
use crate::error::Error;
use crate::task::Environment;
use crate::task::control::{Command, Report};
use crate::task::job::{JobEvent, JobSpec};
use crate::task::stepped::{Desk, Stepped};
use crate::task::supervisor::{Step, Supervisor};

/// Locks, also after a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a process stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Life {
    /// It is starting or running.
    Running,
    /// It was killed.
    Killed,
    /// Its job has ended.
    Ended(JobEvent),
}

/// One life of the process.
#[derive(Debug)]
pub(super) struct Process {
    /// Which life.
    pub(super) number: usize,
    /// Its way to the cluster.
    pub(super) connection: Arc<Connection>,
    /// Its way to the checkpoints.
    pub(super) objects: Arc<FaultyObjects>,
    /// Where it stands.
    life: Mutex<Life>,
    /// Whether it is stopped by a signal for now.
    is_paused: AtomicBool,
    /// Its supervisor, unless it is starting, ended or being stepped.
    supervisor: Mutex<Option<Supervisor>>,
    /// Until when the supervisor has nothing to do unless a report comes, or [`Duration::MAX`]; absent while it has.
    idle_until: Mutex<Option<Duration>>,
    /// Its slots and what else runs.
    desk: Arc<Desk>,
    /// Requests to the supervisor.
    reports: Mutex<Option<Sender<Report>>>,
}

impl Process {
    /// A process that has not begun.
    pub(super) fn new(
        number: usize,
        connection: Arc<Connection>,
        objects: Arc<FaultyObjects>,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            connection,
            objects,
            life: Mutex::new(Life::Running),
            is_paused: AtomicBool::new(false),
            supervisor: Mutex::new(None),
            idle_until: Mutex::new(None),
            desk: Arc::default(),
            reports: Mutex::new(None),
        })
    }

    /// Starts the statement, as the server does.
    pub(super) fn start(&self, spec: &JobSpec, environment: &Environment) {
        let (reports, inbox) = channel();
        *lock(&self.reports) = Some(reports.clone());
        let runner = Box::new(Stepped(Arc::clone(&self.desk)));
        match Supervisor::start(spec, environment, runner, (reports, inbox)) {
            Ok(supervisor) if self.is_live() => *lock(&self.supervisor) = Some(supervisor),
            Ok(_) => {}
            Err(error) => self.end(JobEvent::Failed(error)),
        }
    }

    /// Where it stands.
    pub(super) fn life(&self) -> Life {
        lock(&self.life).clone()
    }

    /// Whether it is starting or running.
    pub(super) fn is_live(&self) -> bool {
        *lock(&self.life) == Life::Running
    }

    /// Whether it is stopped by a signal.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::SeqCst)
    }

    /// Stops it by a signal, or lets it go on.
    pub(super) fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::SeqCst);
    }

    /// The job has ended; what a killed process would have said is never heard.
    fn end(&self, event: JobEvent) {
        let mut life = lock(&self.life);
        if *life == Life::Running {
            *life = Life::Ended(event);
        }
        drop(life);
        self.silence();
    }

    /// Kills it: memory is gone, and no call of it does anything any more.
    pub(super) fn kill(&self) {
        *lock(&self.life) = Life::Killed;
        self.silence();
    }

    /// Nothing of it acts any more.
    fn silence(&self) {
        self.connection.kill();
        self.objects.set_plan(FaultPlan {
            calls_max: Some(0),
            ..FaultPlan::default()
        });
        drop(lock(&self.supervisor).take());
        self.desk.clear();
        *lock(&self.reports) = None;
    }

    /// Asks the supervisor for something, if the process is up.
    pub(super) fn ask(&self, command: Command) {
        if let Some(reports) = &*lock(&self.reports) {
            drop(reports.send(Report::Command(command)));
        }
        *lock(&self.idle_until) = None;
    }

    /// Steps one slot that has something to do; `choice` says which is asked first. False when none has.
    pub(super) fn step_slot(&self, choice: u64, now: Duration) -> bool {
        let has_stepped = self.desk.step_slot(choice, now);
        if has_stepped {
            *lock(&self.idle_until) = None;
        }
        has_stepped
    }

    /// Does work that was to be done beside the slots. False when there is none.
    pub(super) fn work(&self) -> bool {
        let has_worked = self.desk.work();
        if has_worked {
            *lock(&self.idle_until) = None;
        }
        has_worked
    }

    /// Steps the supervisor. False when it has nothing to do.
    pub(super) fn step_supervisor(&self, now: Duration) -> bool {
        let idle_until = *lock(&self.idle_until);
        if idle_until.is_some_and(|until| now < until) {
            return false;
        }
        let Some(mut supervisor) = lock(&self.supervisor).take() else {
            return false;
        };
        let outcome = supervisor.step();
        let event = match outcome {
            Ok(Step::Done) => None,
            Ok(Step::Wait(limit)) => {
                *lock(&self.idle_until) = Some(limit.map_or(Duration::MAX, |limit| now + limit));
                *lock(&self.supervisor) = Some(supervisor).filter(|_| self.is_live());
                return false;
            }
            Ok(Step::Ended(event)) => Some(event),
            Err(error) => Some(JobEvent::Failed(error)),
        };
        match event {
            Some(event) => {
                drop(supervisor);
                self.end(event);
            }
            None => *lock(&self.supervisor) = Some(supervisor).filter(|_| self.is_live()),
        }
        true
    }

    /// When something is due that nothing wakes.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let slots = self.desk.due_at().into_iter();
        let supervisor = lock(&self.idle_until).filter(|until| *until != Duration::MAX);
        let rounds = self.connection.due_at();
        slots.chain(supervisor).chain(rounds).min()
    }

    /// Why the job has failed, if it has.
    pub(super) fn failure(&self) -> Option<Error> {
        match self.life() {
            Life::Ended(JobEvent::Failed(error)) => Some(error),
            Life::Running | Life::Killed | Life::Ended(_) => None,
        }
    }
}
