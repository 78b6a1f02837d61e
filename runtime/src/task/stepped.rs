//! Jobs whose slots are stepped by whoever wants to say in which order things happen.
//!
//! Place in the flow: in the place of [`super::runner::Threads`]: the simulator steps a [`Desk`] itself, tests outside of the crate run a
//! [`SteppedJob`]. Invariant: nothing happens on another thread, and whatever is stepped is taken out of its place meanwhile, so that a
//! turn in the middle of a call never steps it again.

use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::checkpoint::SubtaskState;
use crate::connector::results::Results;
use crate::error::{Error, Result};
use crate::task::control::{Command, Report};
use crate::task::job::{JobEvent, JobSpec};
use crate::task::runner::{Runner, Work};
use crate::task::slot::{Next, Slot};
use crate::task::supervisor::{Step, Supervisor};
use crate::task::{Environment, Waker};
use crate::testing::SimulatedClock;
use crate::time::Clock as _;

/// Time that passes with each turn of a [`SteppedJob`]: about what a step takes (guess, unmeasured).
const TURN_TIME: Duration = Duration::from_micros(100);

/// Time that passes when nothing has anything to do (guess, unmeasured).
const IDLE_TIME: Duration = Duration::from_secs(1);

/// Idle turns in a row after which a job is stuck: more than the longest pause of anything that is tried again (guess, unmeasured).
const IDLE_TURNS_MAX: u32 = 120;

/// Locks, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a job's threads would run.
#[derive(Default)]
pub(super) struct Desk {
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

/// Leaves slots and work on a desk.
#[derive(Debug)]
pub(super) struct Stepped(pub(super) Arc<Desk>);

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

impl Desk {
    /// Steps one slot that has something to do; `choice` says which is asked first. False when none has.
    pub(super) fn step_slot(&self, choice: u64, now: Duration) -> bool {
        let count = lock(&self.seats).len();
        if count == 0 {
            return false;
        }
        let first = usize::try_from(choice % count as u64).unwrap_or_default();
        (0..count).any(|offset| self.step_seat((first + offset) % count, now))
    }

    /// Steps a slot if it has something to do.
    fn step_seat(&self, index: usize, now: Duration) -> bool {
        let mut seats = lock(&self.seats);
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
        if let Some(seat) = lock(&self.seats).get_mut(index) {
            seat.next = stepped;
            seat.slot = Some(slot);
        }
        true
    }

    /// Does work that was to be done beside the slots. False when there is none.
    pub(super) fn work(&self) -> bool {
        let Some(work) = lock(&self.works).pop() else {
            return false;
        };
        work();
        true
    }

    /// Drops slots and work.
    pub(super) fn clear(&self) {
        lock(&self.seats).clear();
        lock(&self.works).clear();
    }

    /// When a slot has something to do that nothing wakes.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let seats = lock(&self.seats);
        let times = seats.iter().filter_map(|seat| match seat.next {
            Next::WaitForInput(until) => until,
            Next::Step | Next::WaitForOutput | Next::End => None,
        });
        times.min()
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

/// Tells the supervisor that a slot has ended.
fn report_end(slot: &Slot, outcome: Result<Vec<SubtaskState>>) {
    let subtask = slot.index;
    // A supervisor that is gone needs no report.
    drop(slot.reports.send(Report::SlotEnded { subtask, outcome }));
}

/// A job on the thread of its owner, in the order that a seed says.
#[derive(Debug)]
pub struct SteppedJob {
    /// Coordinates, until the job has ended.
    supervisor: Option<Supervisor>,
    /// Slots and work.
    desk: Arc<Desk>,
    /// Requests to the supervisor.
    reports: Sender<Report>,
    /// Time.
    clock: Arc<SimulatedClock>,
    /// State of the random numbers.
    random: u64,
    /// The results of a foreground statement.
    results: Option<Arc<Results>>,
    /// Idle turns in a row.
    idle_turns: u32,
}

impl SteppedJob {
    /// As [`super::Job::start`], with a clock that goes on with each turn.
    ///
    /// # Errors
    /// Whatever keeps the job from starting.
    pub fn start(
        spec: &JobSpec,
        environment: &Environment,
        clock: Arc<SimulatedClock>,
        seed: u64,
    ) -> Result<Self> {
        let (reports, inbox) = channel();
        let desk = Arc::<Desk>::default();
        let runner = Box::new(Stepped(Arc::clone(&desk)));
        let environment = Environment {
            clock: clock.clone(),
            ..environment.clone()
        };
        let supervisor = Supervisor::start(spec, &environment, runner, (reports.clone(), inbox))?;
        Ok(Self {
            results: supervisor.results(),
            supervisor: Some(supervisor),
            desk,
            reports,
            clock,
            random: seed,
            idle_turns: 0,
        })
    }

    /// The results of a foreground statement.
    pub fn results(&self) -> Option<Arc<Results>> {
        self.results.clone()
    }

    /// Takes a last checkpoint and ends, in the turns that follow.
    pub fn stop(&self) {
        self.ask(Command::Stop);
    }

    /// Goes on with another number of slots, in the turns that follow.
    pub fn rescale(&self, parallelism: usize) {
        let (reply, _) = std::sync::mpsc::sync_channel(1);
        self.ask(Command::Rescale { parallelism, reply });
    }

    /// Takes a turn: somebody who has something to do does it. How the job has ended, once it has.
    pub fn turn(&mut self) -> Option<JobEvent> {
        self.clock.advance(TURN_TIME);
        let choice = self.next_random();
        let now = self.clock.monotonic();
        // Slots mostly, so that the supervisor is late as it is on threads.
        let is_supervisor_first = choice.is_multiple_of(4);
        let mut has_acted = false;
        if !is_supervisor_first {
            has_acted = self.desk.step_slot(choice >> 8, now) || self.desk.work();
        }
        if !has_acted {
            match self.step_supervisor() {
                Ok(acted) => has_acted = acted,
                Err(event) => return Some(self.end(event)),
            }
        }
        if !has_acted && is_supervisor_first {
            has_acted = self.desk.step_slot(choice >> 8, now) || self.desk.work();
        }
        if has_acted {
            self.idle_turns = 0;
            return None;
        }
        let due_in = self.desk.due_at().map(|due_at| due_at.saturating_sub(now));
        self.clock.advance(due_in.unwrap_or(IDLE_TIME));
        self.idle_turns += 1;
        (self.idle_turns > IDLE_TURNS_MAX).then(|| {
            let stuck = Error::internal("the job is stuck: nothing of it has anything to do");
            self.end(JobEvent::Failed(stuck))
        })
    }

    /// Steps the supervisor; whether it had anything to do, or how the job has ended.
    fn step_supervisor(&mut self) -> std::result::Result<bool, JobEvent> {
        let Some(supervisor) = &mut self.supervisor else {
            return Ok(false);
        };
        match supervisor.step() {
            Ok(Step::Done) => Ok(true),
            Ok(Step::Wait(_)) => Ok(false),
            Ok(Step::Ended(event)) => Err(event),
            Err(error) => Err(JobEvent::Failed(error)),
        }
    }

    /// The job has ended.
    fn end(&mut self, event: JobEvent) -> JobEvent {
        self.supervisor = None;
        self.desk.clear();
        event
    }

    /// Asks the supervisor, which may have ended.
    fn ask(&self, command: Command) {
        drop(self.reports.send(Report::Command(command)));
    }

    /// A random number: the generator splitmix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
