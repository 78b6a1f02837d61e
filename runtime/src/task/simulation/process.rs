//! One life of the process that runs the statement.
//!
//! Place in the flow: the world starts, steps, pauses and kills it. Invariant: whatever is stepped is taken out of its place meanwhile,
//! so that a turn in the middle of a call never steps it again.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::checkpoint::store::testing::{FaultPlan, FaultyObjects};
use crate::connector::kafka::model::Connection;
use crate::error::{Error, Result};
use crate::task::control::{Command, Report};
use crate::task::job::{JobEvent, JobSpec};
use crate::task::runner::{Runner, Work};
use crate::task::slot::{Next, Slot};
use crate::task::supervisor::{Step, Supervisor};
use crate::task::{Environment, Waker};

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

/// What a process's threads would run.
#[derive(Default)]
struct Desk {
    /// Slots.
    seats: Mutex<Vec<Seat>>,
    /// Work beside the slots.
    works: Mutex<Vec<Work>>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("seats", &self.seats)
            .finish_non_exhaustive()
    }
}

/// A slot and what it waits for.
#[derive(Debug)]
struct Seat {
    /// The slot, unless it is being stepped.
    slot: Option<Slot>,
    /// Wakes it.
    waker: Waker,
    /// What it does next.
    next: Next,
}

/// Runs slots when the world says so.
#[derive(Debug)]
struct Stepped(Arc<Desk>);

impl Runner for Stepped {
    fn start(&mut self, slots: Vec<Slot>) -> Result<()> {
        let seats = slots.into_iter().map(|slot| Seat {
            waker: slot.waker.clone(),
            next: Next::Step,
            slot: Some(slot),
        });
        lock(&self.0.seats).extend(seats);
        Ok(())
    }

    fn join(&mut self) -> Vec<Slot> {
        let seats = std::mem::take(&mut *lock(&self.0.seats));
        seats
            .into_iter()
            .filter_map(|seat| {
                let slot = seat.slot?;
                if seat.next != Next::End {
                    report_end(&slot, Ok(Vec::new()));
                }
                Some(slot)
            })
            .collect()
    }

    fn spawn(&mut self, work: Work) -> Result<()> {
        lock(&self.0.works).push(work);
        Ok(())
    }
}

/// Tells the supervisor that a slot has ended.
fn report_end(slot: &Slot, outcome: Result<Vec<crate::checkpoint::SubtaskState>>) {
    let subtask = slot.index;
    // A supervisor that is gone needs no report.
    drop(slot.reports.send(Report::SlotEnded { subtask, outcome }));
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
        lock(&self.desk.seats).clear();
        lock(&self.desk.works).clear();
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
        let count = lock(&self.desk.seats).len();
        if count == 0 {
            return false;
        }
        let first = usize::try_from(choice % count as u64).unwrap_or_default();
        (0..count).any(|offset| self.step_seat((first + offset) % count, now))
    }

    /// Steps a slot if it has something to do.
    fn step_seat(&self, index: usize, now: Duration) -> bool {
        let mut seats = lock(&self.desk.seats);
        let Some(seat) = seats.get_mut(index) else {
            return false;
        };
        let is_due = match seat.next {
            Next::End => false,
            Next::Step => true,
            Next::WaitForOutput => seat.waker.take(),
            Next::WaitForInput(until) => {
                let is_woken = seat.waker.take();
                is_woken || until.is_some_and(|until| until <= now)
            }
        };
        if !is_due {
            return false;
        }
        let Some(mut slot) = seat.slot.take() else {
            return false;
        };
        drop(seats);
        let stepped = if slot.control.is_cancelled() {
            report_end(&slot, Ok(Vec::new()));
            Next::End
        } else {
            step(&mut slot)
        };
        *lock(&self.idle_until) = None;
        if let Some(seat) = lock(&self.desk.seats).get_mut(index) {
            seat.next = stepped;
            seat.slot = Some(slot);
        }
        true
    }

    /// Does work that was to be done beside the slots. False when there is none.
    pub(super) fn work(&self) -> bool {
        let Some(work) = lock(&self.desk.works).pop() else {
            return false;
        };
        work();
        *lock(&self.idle_until) = None;
        true
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
        let slots = lock(&self.desk.seats);
        let slots = slots.iter().filter_map(|seat| match seat.next {
            Next::WaitForInput(until) => until,
            Next::Step | Next::WaitForOutput | Next::End => None,
        });
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

/// Steps a slot; what it does next.
fn step(slot: &mut Slot) -> Next {
    let outcome = match slot.step() {
        Ok(Next::End) => slot.states(),
        Ok(next) => return next,
        Err(error) => Err(error),
    };
    report_end(slot, outcome);
    Next::End
}
