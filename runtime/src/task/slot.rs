//! A slot: one thread, one CFU, one subtask of every operator of a statement.
//!
//! Place in the flow: the job starts one per parallelism. Invariant: downstream subtasks step first, so a full output never stops a
//! slot from draining its inputs; an idle slot parks without a tick; CPU time is read from the thread's own clock.

use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::SubtaskState;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::error::Result;
use crate::metering::SlotMetrics;
use crate::state::FjallSpace;
use crate::task::Waker;
use crate::task::control::{Control, Report};
use crate::task::memory::{Held, SlotMemory, relief};
use crate::task::subtask::{Progress, Subtask};
use crate::time::SharedClock;

/// CPU time a slot may use ahead of its share before it pauses, so that short bursts are not cut into slices (guess, unmeasured).
const BURST: Duration = Duration::from_millis(20);

/// A slot, ready to run.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its number.
    pub(super) index: usize,
    /// One subtask per vertex, in the order of the job graph, with its name.
    pub(super) subtasks: Vec<(String, Box<dyn Subtask>)>,
    /// What the coordinator asks for.
    pub(super) control: Arc<Control>,
    /// Where acknowledgements go.
    pub(super) reports: std::sync::mpsc::Sender<Report>,
    /// Wakes this slot.
    pub(super) waker: Waker,
    /// Time.
    pub(super) clock: SharedClock,
    /// Counters.
    pub(super) metrics: Arc<SlotMetrics>,
    /// CPU time, in nanoseconds, of slots that this one goes on for.
    pub(super) cpu_before_ns: u64,
    /// CPU time per wall time that may be used; 1.0 is a core.
    pub(super) cpu_share: f64,
    /// Its memory, and where state goes that is more than that.
    pub(super) memory: SlotBudget,
}

/// A slot's memory, and where state goes that is more than that.
#[derive(Debug)]
pub(super) struct SlotBudget {
    /// What it may hold.
    pub(super) memory: SlotMemory,
    /// Where state goes; absent keeps all of it in memory.
    pub(super) spill: Option<Arc<FjallSpace>>,
    /// What each subtask holds, kept for its memory.
    pub(super) held: Vec<Held>,
    /// Slots of the job, which share the snapshots that wait for the store.
    pub(super) slots_count: usize,
}

/// What a slot does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Step again.
    Step,
    /// Wait for an output.
    WaitForOutput,
    /// Wait for input, until this monotonic time at the latest.
    WaitForInput(Option<Duration>),
    /// End: every subtask has finished.
    End,
}

impl Slot {
    /// Runs until every subtask has finished; the final states by vertex. Ended by a request there are none.
    ///
    /// # Errors
    /// The first error of a subtask, with its name.
    pub(super) fn run(&mut self) -> Result<Vec<SubtaskState>> {
        let mut pace = Pace::new(
            self.cpu_share,
            self.clock.monotonic(),
            self.clock.thread_cpu(),
        );
        let mut now = self.clock.monotonic();
        while !self.control.is_cancelled() {
            let next = self.step()?;
            let cpu = self.clock.thread_cpu();
            self.metrics
                .cpu_ns
                .set(self.cpu_before_ns.saturating_add(nanos(cpu)));
            let after = self.clock.monotonic();
            self.metrics.busy_ns.add(span(now, after));
            now = after;
            match next {
                Next::End => break,
                Next::Step => {
                    let pause = pace.pause(now, cpu);
                    if !pause.is_zero() {
                        // The slot has used all of its CFU: the pause counts as busy.
                        self.waker.park(Some(pause));
                    }
                }
                Next::WaitForOutput => {
                    self.waker.park(None);
                    let after = self.clock.monotonic();
                    self.metrics.backpressured_ns.add(span(now, after));
                    now = after;
                }
                Next::WaitForInput(until) => {
                    self.waker
                        .park(until.map(|until| until.saturating_sub(now)));
                    let after = self.clock.monotonic();
                    self.metrics.idle_ns.add(span(now, after));
                    now = after;
                }
            }
        }
        if self.control.is_cancelled() {
            return Ok(Vec::new());
        }
        self.states()
    }

    /// The final states by vertex.
    ///
    /// # Errors
    /// The first error of a subtask.
    pub(super) fn states(&mut self) -> Result<Vec<SubtaskState>> {
        let states = self.subtasks.iter_mut().map(|(_, subtask)| {
            let state = subtask.state()?;
            self.control.add_snapshot_bytes(bytes_of(&state.key_groups));
            Ok(state)
        });
        states.collect()
    }

    /// Steps every subtask once, downstream first.
    ///
    /// # Errors
    /// The first error of a subtask, with its name.
    pub(super) fn step(&mut self) -> Result<Next> {
        let mut is_ready = false;
        let mut is_blocked = false;
        let mut is_finished = true;
        let mut deadline: Option<Duration> = None;
        for (vertex, (name, subtask)) in self.subtasks.iter_mut().enumerate().rev() {
            let started = self.clock.monotonic();
            let progress = subtask.step(&self.control).map_err(|error| {
                error.context(&format!("operator {name}, subtask {}", self.index))
            })?;
            is_finished &= matches!(progress, Progress::Finished);
            if !matches!(
                progress,
                Progress::Blocked | Progress::Idle(_) | Progress::Finished
            ) {
                is_ready = true;
                let busy = span(started, self.clock.monotonic());
                subtask.metrics().busy_ns.add(busy);
            }
            let report = match progress {
                Progress::Acknowledge(epoch, state) => {
                    self.control.add_snapshot_bytes(bytes_of(&state.key_groups));
                    Some(Report::Acknowledged {
                        epoch,
                        vertex,
                        subtask: self.index,
                        state,
                    })
                }
                Progress::Snapshot(key_groups) => {
                    self.control.add_snapshot_bytes(bytes_of(&key_groups));
                    Some(Report::Snapshot {
                        vertex,
                        subtask: self.index,
                        key_groups,
                    })
                }
                Progress::Blocked => {
                    is_blocked = true;
                    None
                }
                Progress::Idle(until) => {
                    deadline = earlier(deadline, until);
                    None
                }
                Progress::Ready | Progress::Finished => None,
            };
            if report.is_some_and(|report| self.reports.send(report).is_err()) {
                // The supervisor is gone, so the job is over.
                self.control.request_cancel();
            }
        }
        is_ready |= self.keep_within_memory()?;
        Ok(match (is_finished, is_ready, is_blocked) {
            (true, ..) => Next::End,
            (_, true, _) => Next::Step,
            (_, _, true) => Next::WaitForOutput,
            (_, _, false) => Next::WaitForInput(deadline),
        })
    }
}

impl Slot {
    /// Measures what the slot holds, and makes its largest holder give way when that is too much; whether memory was given back,
    /// after which another look is worth it.
    fn keep_within_memory(&mut self) -> Result<bool> {
        let budget = &mut self.memory;
        budget.held.clear();
        let held = self.subtasks.iter().map(|(_, subtask)| subtask.held());
        budget.held.extend(held);
        let spill_bytes = budget
            .spill
            .as_ref()
            .map_or(0, |spill| spill.memory_bytes());
        let other_bytes = self.control.snapshot_bytes() / budget.slots_count + spill_bytes;
        let held_bytes = budget.held.iter().map(|held| held.bytes).sum::<usize>() + other_bytes;
        let cap_bytes = budget.memory.cap_bytes();
        self.metrics.memory_bytes.set(held_bytes as u64);
        self.metrics.memory_cap_bytes.set(cap_bytes as u64);
        if budget.spill.is_none() {
            return Ok(false);
        }
        let Some((vertex, relief)) = relief(&budget.held, other_bytes, cap_bytes) else {
            return Ok(false);
        };
        let before = budget.held[vertex];
        let (name, subtask) = &mut self.subtasks[vertex];
        subtask
            .give_way(relief)
            .map_err(|error| error.context(&format!("operator {name}, subtask {}", self.index)))?;
        let after = subtask.held();
        Ok(after.bytes < before.bytes || after.growth_bytes < before.growth_bytes)
    }
}

/// Bytes of deltas.
pub(super) fn bytes_of(key_groups: &[KeyGroupDelta]) -> usize {
    key_groups.iter().map(|delta| delta.entries.len()).sum()
}

/// The earlier of two optional times.
fn earlier(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Nanoseconds between two times.
fn span(from: Duration, to: Duration) -> usize {
    usize::try_from(to.saturating_sub(from).as_nanos()).unwrap_or(usize::MAX)
}

/// Nanoseconds.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Keeps a thread's CPU time under its share of wall time.
#[derive(Debug)]
struct Pace {
    /// CPU time per wall time; at or above 1 there is nothing to keep.
    share: f64,
    /// Wall time up to which the budget was filled.
    filled_at: Duration,
    /// CPU time up to which the budget was used.
    used_at: Duration,
    /// CPU time left, seconds; negative when overdrawn.
    budget_s: f64,
}

impl Pace {
    /// A full budget.
    fn new(share: f64, now: Duration, cpu: Duration) -> Self {
        Self {
            share,
            filled_at: now,
            used_at: cpu,
            budget_s: BURST.as_secs_f64(),
        }
    }

    /// How long to pause before the next step.
    fn pause(&mut self, now: Duration, cpu: Duration) -> Duration {
        if self.share >= 1.0 {
            return Duration::ZERO;
        }
        let filled = self.share * now.saturating_sub(self.filled_at).as_secs_f64();
        let used = cpu.saturating_sub(self.used_at).as_secs_f64();
        self.budget_s = (self.budget_s + filled).min(BURST.as_secs_f64()) - used;
        (self.filled_at, self.used_at) = (now, cpu);
        if self.budget_s >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.budget_s / self.share)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_share_pauses_three_quarters_of_the_time() {
        let mut pace = Pace::new(0.25, Duration::ZERO, Duration::ZERO);
        let (mut now, mut cpu) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..1000 {
            now += Duration::from_millis(5);
            cpu += Duration::from_millis(5);
            now += pace.pause(now, cpu);
        }
        let share = cpu.as_secs_f64() / now.as_secs_f64();
        assert!((0.249..0.253).contains(&share), "{share}");
    }

    #[test]
    fn a_whole_core_never_pauses() {
        let mut pace = Pace::new(1.0, Duration::ZERO, Duration::ZERO);
        assert_eq!(
            pace.pause(Duration::from_secs(1), Duration::from_secs(1)),
            Duration::ZERO
        );
    }
}
