//! When checkpoints are taken and when they are complete.
//!
//! Place in the flow: the job's supervisor feeds it facts and carries out its decisions. Invariant: pure; one checkpoint at a time; an
//! epoch is complete only with the state of every subtask.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checkpoint::SubtaskState;

/// When checkpoints are taken.
///
/// # Source
/// Flink's `execution.checkpointing.interval`, `.min-pause` and `.timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Time between the triggers of two checkpoints; absent when none are taken.
    pub interval: Option<Duration>,
    /// Least time between the end of one and the trigger of the next.
    pub min_pause: Duration,
    /// Longest time from the trigger until all subtasks have joined.
    pub timeout: Duration,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Ask sources for the barrier of this epoch; with `is_last`, they stop after it.
    Trigger {
        /// The epoch.
        epoch: u64,
        /// Whether the slots end with it.
        is_last: bool,
    },
    /// Every subtask has joined: store these states and complete the epoch.
    Complete {
        /// The epoch.
        epoch: u64,
        /// States by vertex and subtask.
        states: BTreeMap<(usize, usize), SubtaskState>,
        /// Whether the slots end with it.
        is_last: bool,
    },
    /// All slots have ended normally and no epoch is in progress: store these states, and the job is finished.
    Finish {
        /// The epoch.
        epoch: u64,
        /// Final states by vertex and subtask.
        states: BTreeMap<(usize, usize), SubtaskState>,
    },
    /// The epoch in progress has taken as long as it may.
    Expired {
        /// The epoch.
        epoch: u64,
    },
    /// Nothing until this monotonic time, or until something happens.
    Wait(Option<Duration>),
}

/// The coordinator of one job.
#[derive(Debug)]
pub struct Coordinator {
    /// Subtasks that take part.
    subtasks_count: usize,
    /// When checkpoints are taken.
    schedule: Schedule,
    /// When the next one is due.
    due: Duration,
    /// When the last one was triggered.
    triggered: Duration,
    /// The newest epoch triggered or restored.
    epoch: u64,
    /// The epoch in progress.
    in_progress: Option<InProgress>,
    /// Whether an epoch is wanted now, whatever the schedule says.
    is_requested: bool,
    /// Whether the slots are to end with a last checkpoint.
    is_stopping: bool,
    /// Final states of subtasks whose slot has ended.
    ended: BTreeMap<(usize, usize), SubtaskState>,
    /// Whether the sources have moved since the last checkpoint.
    has_progress: bool,
}

/// An epoch in progress.
#[derive(Debug)]
struct InProgress {
    /// States received.
    states: BTreeMap<(usize, usize), SubtaskState>,
    /// Whether the slots end with it.
    is_last: bool,
    /// When it has taken as long as it may.
    expires: Duration,
}

impl Coordinator {
    /// A coordinator of `subtasks_count` subtasks whose first epoch is the one after `epoch`.
    ///
    /// # Units
    /// `now` is monotonic time, here and in every method.
    pub fn new(subtasks_count: usize, schedule: Schedule, epoch: u64, now: Duration) -> Self {
        Self {
            subtasks_count,
            schedule,
            due: now + schedule.interval.unwrap_or_default(),
            triggered: now,
            epoch,
            in_progress: None,
            is_requested: false,
            is_stopping: false,
            ended: BTreeMap::new(),
            has_progress: false,
        }
    }

    /// An epoch is wanted as soon as none is in progress.
    pub fn request(&mut self) {
        self.is_requested = true;
    }

    /// The slots are to end with a last checkpoint.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Sources have moved: an epoch without progress takes no checkpoint.
    pub fn note_progress(&mut self) {
        self.has_progress = true;
    }

    /// A subtask has joined an epoch. States of an epoch that is not in progress are ignored.
    pub fn acknowledge(&mut self, epoch: u64, vertex: usize, subtask: usize, state: SubtaskState) {
        if let Some(in_progress) = &mut self.in_progress
            && epoch == self.epoch
        {
            in_progress.states.insert((vertex, subtask), state);
        }
    }

    /// Whether a subtask has joined the epoch in progress.
    pub fn has_joined(&self, vertex: usize, subtask: usize) -> bool {
        self.in_progress
            .as_ref()
            .is_some_and(|in_progress| in_progress.states.contains_key(&(vertex, subtask)))
    }

    /// A slot has ended normally: its final states count for every later epoch.
    pub fn slot_ended(&mut self, subtask: usize, states: Vec<SubtaskState>) {
        self.ended.extend(
            states
                .into_iter()
                .enumerate()
                .map(|(vertex, state)| ((vertex, subtask), state)),
        );
    }

    /// The epoch that was completed is settled: the next one may follow.
    pub fn settled(&mut self, now: Duration) {
        let interval = self.schedule.interval.unwrap_or_default();
        self.due = (self.triggered + interval).max(now + self.schedule.min_pause);
    }

    /// What is to be done now. After [`Decision::Complete`] nothing is triggered before [`Self::settled`], since nobody asks.
    pub fn decide(&mut self, now: Duration) -> Decision {
        if let Some(in_progress) = &mut self.in_progress {
            for (key, state) in &mut self.ended {
                in_progress
                    .states
                    .entry(*key)
                    .or_insert_with(|| state.take());
            }
            if in_progress.states.len() < self.subtasks_count {
                if now < in_progress.expires {
                    return Decision::Wait(Some(in_progress.expires));
                }
                in_progress.expires = now + self.schedule.timeout;
                return Decision::Expired { epoch: self.epoch };
            }
        }
        if let Some(InProgress {
            states, is_last, ..
        }) = self.in_progress.take()
        {
            return Decision::Complete {
                epoch: self.epoch,
                states,
                is_last,
            };
        }
        if self.ended.len() == self.subtasks_count {
            return Decision::Finish {
                epoch: self.epoch + 1,
                states: std::mem::take(&mut self.ended),
            };
        }
        let is_wanted = self.is_requested || self.is_stopping;
        let is_due = self.schedule.interval.is_some() && now >= self.due;
        if is_wanted || (is_due && self.has_progress) {
            return self.trigger(now);
        }
        if is_due {
            self.due = now + self.schedule.interval.unwrap_or_default();
        }
        Decision::Wait(self.schedule.interval.map(|_| self.due))
    }

    /// Begins the next epoch.
    fn trigger(&mut self, now: Duration) -> Decision {
        self.epoch += 1;
        self.triggered = now;
        self.has_progress = false;
        self.is_requested = false;
        self.in_progress = Some(InProgress {
            states: BTreeMap::new(),
            is_last: self.is_stopping,
            expires: now + self.schedule.timeout,
        });
        Decision::Trigger {
            epoch: self.epoch,
            is_last: self.is_stopping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds between checkpoints, two of pause, a minute at most.
    const SCHEDULE: Schedule = Schedule {
        interval: Some(Duration::from_secs(10)),
        min_pause: Duration::from_secs(2),
        timeout: Duration::from_mins(1),
    };

    /// Seconds as monotonic time.
    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_epoch_is_complete_when_every_subtask_has_joined() {
        let mut coordinator = Coordinator::new(2, SCHEDULE, 0, at(0));
        assert_eq!(coordinator.decide(at(1)), Decision::Wait(Some(at(10))));
        coordinator.note_progress();
        assert_eq!(
            coordinator.decide(at(10)),
            Decision::Trigger {
                epoch: 1,
                is_last: false
            }
        );
        coordinator.acknowledge(1, 0, 0, SubtaskState::default());
        assert!(coordinator.has_joined(0, 0) && !coordinator.has_joined(1, 0));
        assert_eq!(coordinator.decide(at(11)), Decision::Wait(Some(at(70))));
        coordinator.acknowledge(1, 1, 0, SubtaskState::default());
        let Decision::Complete {
            epoch: 1,
            states,
            is_last: false,
        } = coordinator.decide(at(12))
        else {
            panic!("the epoch is complete");
        };
        assert_eq!(states.len(), 2);
        assert!(!coordinator.has_joined(0, 0));
        coordinator.settled(at(12));
        assert_eq!(coordinator.decide(at(12)), Decision::Wait(Some(at(20))));
    }

    #[test]
    fn a_slow_epoch_is_followed_by_the_pause() {
        let mut coordinator = Coordinator::new(1, SCHEDULE, 0, at(0));
        coordinator.note_progress();
        coordinator.decide(at(10));
        coordinator.acknowledge(1, 0, 0, SubtaskState::default());
        coordinator.decide(at(25));
        coordinator.settled(at(25));
        coordinator.note_progress();
        assert_eq!(coordinator.decide(at(26)), Decision::Wait(Some(at(27))));
        assert!(matches!(
            coordinator.decide(at(27)),
            Decision::Trigger { epoch: 2, .. }
        ));
    }

    #[test]
    fn an_epoch_expires_once_per_timeout() {
        let mut coordinator = Coordinator::new(1, SCHEDULE, 0, at(0));
        coordinator.request();
        coordinator.decide(at(0));
        assert_eq!(coordinator.decide(at(60)), Decision::Expired { epoch: 1 });
        assert_eq!(coordinator.decide(at(61)), Decision::Wait(Some(at(120))));
        assert_eq!(coordinator.decide(at(120)), Decision::Expired { epoch: 1 });
        coordinator.acknowledge(1, 0, 0, SubtaskState::default());
        assert!(matches!(
            coordinator.decide(at(121)),
            Decision::Complete { epoch: 1, .. }
        ));
    }

    #[test]
    fn no_progress_no_checkpoint_but_a_request_and_a_stop_always_take_one() {
        let mut coordinator = Coordinator::new(1, SCHEDULE, 4, at(0));
        assert_eq!(coordinator.decide(at(10)), Decision::Wait(Some(at(20))));
        coordinator.request();
        assert_eq!(
            coordinator.decide(at(11)),
            Decision::Trigger {
                epoch: 5,
                is_last: false
            }
        );
        coordinator.stop();
        coordinator.acknowledge(5, 0, 0, SubtaskState::default());
        coordinator.decide(at(11));
        assert_eq!(
            coordinator.decide(at(11)),
            Decision::Trigger {
                epoch: 6,
                is_last: true
            }
        );
    }

    #[test]
    fn ended_slots_take_part_and_give_their_changes_once() {
        let state = SubtaskState {
            prepared: vec!["file".to_owned()],
            watermark_ms: Some(7),
            ..SubtaskState::default()
        };
        let mut coordinator = Coordinator::new(2, SCHEDULE, 0, at(0));
        coordinator.note_progress();
        coordinator.decide(at(10));
        coordinator.slot_ended(1, vec![state.clone()]);
        coordinator.acknowledge(1, 0, 0, SubtaskState::default());
        let Decision::Complete {
            epoch: 1, states, ..
        } = coordinator.decide(at(11))
        else {
            panic!("the epoch is complete");
        };
        assert_eq!(states[&(0, 1)], state);
        coordinator.slot_ended(0, vec![SubtaskState::default()]);
        let Decision::Finish { epoch: 2, states } = coordinator.decide(at(12)) else {
            panic!("the job is finished");
        };
        assert_eq!(states[&(0, 1)].watermark_ms, Some(7));
        assert!(states[&(0, 1)].prepared.is_empty(), "given already");
    }

    #[test]
    fn an_epoch_in_progress_is_completed_before_the_job_is_finished() {
        let mut coordinator = Coordinator::new(1, SCHEDULE, 0, at(0));
        coordinator.note_progress();
        coordinator.decide(at(10));
        coordinator.slot_ended(0, vec![SubtaskState::default()]);
        assert!(matches!(
            coordinator.decide(at(11)),
            Decision::Complete { epoch: 1, .. }
        ));
        assert!(matches!(
            coordinator.decide(at(11)),
            Decision::Finish { epoch: 2, .. }
        ));
    }
}
