//! When checkpoints are taken and when they are complete.
//!
//! Place in the flow: the job's coordinator thread feeds it facts and carries out its decisions. Invariant: pure; one checkpoint
//! at a time; an epoch is complete only with the state of every subtask.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checkpoint::SubtaskState;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Ask sources for the barrier of this epoch; with `is_last`, they stop after it.
    Trigger {
        /// The epoch.
        epoch: u64,
        /// Whether the job ends with it.
        is_last: bool,
    },
    /// Store these states: the epoch is complete.
    Store {
        /// The epoch.
        epoch: u64,
        /// States by vertex and subtask.
        states: BTreeMap<(usize, usize), SubtaskState>,
        /// Whether the job ends with it.
        is_last: bool,
    },
    /// All slots have ended normally and no epoch is in progress: store these states, and the job is finished.
    Finish {
        /// The epoch.
        epoch: u64,
        /// Final states by vertex and subtask.
        states: BTreeMap<(usize, usize), SubtaskState>,
    },
    /// Nothing until this monotonic time, or until something happens.
    Wait(Option<Duration>),
}

/// The coordinator of one job.
#[derive(Debug)]
pub struct Coordinator {
    /// Subtasks that take part.
    subtasks_count: usize,
    /// Time between two checkpoints; absent when none are taken.
    interval: Option<Duration>,
    /// When the next one is due.
    due: Duration,
    /// The newest epoch triggered or restored.
    epoch: u64,
    /// The epoch in progress.
    in_progress: Option<InProgress>,
    /// Whether the job is to end with a last checkpoint.
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
    /// Whether the job ends with it.
    is_last: bool,
}

impl Coordinator {
    /// A coordinator of `subtasks_count` subtasks that goes on after epoch `restored_epoch`.
    ///
    /// # Units
    /// `now` is monotonic time, here and in every method.
    pub fn new(
        subtasks_count: usize,
        interval: Option<Duration>,
        restored_epoch: u64,
        now: Duration,
    ) -> Self {
        Self {
            subtasks_count,
            interval,
            due: now + interval.unwrap_or_default(),
            epoch: restored_epoch,
            in_progress: None,
            is_stopping: false,
            ended: BTreeMap::new(),
            has_progress: false,
        }
    }

    /// The job is to end with a last checkpoint.
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

    /// A slot has ended normally: its final states count for every later epoch.
    pub fn slot_ended(&mut self, subtask: usize, states: Vec<SubtaskState>) {
        self.ended.extend(
            states
                .into_iter()
                .enumerate()
                .map(|(vertex, state)| ((vertex, subtask), state)),
        );
    }

    /// What is to be done now.
    pub fn decide(&mut self, now: Duration) -> Decision {
        if let Some(in_progress) = &mut self.in_progress {
            for (key, state) in &self.ended {
                in_progress
                    .states
                    .entry(*key)
                    .or_insert_with(|| state.clone());
            }
            if in_progress.states.len() < self.subtasks_count {
                return Decision::Wait(None);
            }
            let complete = self.in_progress.take();
            self.due = now + self.interval.unwrap_or_default();
            if let Some(InProgress { states, is_last }) = complete {
                return Decision::Store {
                    epoch: self.epoch,
                    states,
                    is_last,
                };
            }
        }
        if self.ended.len() == self.subtasks_count {
            return Decision::Finish {
                epoch: self.epoch + 1,
                states: std::mem::take(&mut self.ended),
            };
        }
        let is_due = self.interval.is_some() && now >= self.due;
        if is_due && !self.has_progress && !self.is_stopping {
            self.due = now + self.interval.unwrap_or_default();
        } else if is_due || self.is_stopping {
            self.epoch += 1;
            self.has_progress = false;
            self.in_progress = Some(InProgress {
                states: BTreeMap::new(),
                is_last: self.is_stopping,
            });
            return Decision::Trigger {
                epoch: self.epoch,
                is_last: self.is_stopping,
            };
        }
        Decision::Wait(self.interval.map(|_| self.due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds, the interval of these tests.
    const INTERVAL: Duration = Duration::from_secs(10);

    /// Seconds as monotonic time.
    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_epoch_is_stored_when_every_subtask_has_joined() {
        let mut coordinator = Coordinator::new(2, Some(INTERVAL), 0, at(0));
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
        assert_eq!(coordinator.decide(at(11)), Decision::Wait(None));
        coordinator.acknowledge(1, 1, 0, SubtaskState::default());
        let Decision::Store {
            epoch: 1,
            states,
            is_last: false,
        } = coordinator.decide(at(12))
        else {
            panic!("the epoch is complete");
        };
        assert_eq!(states.len(), 2);
        assert_eq!(coordinator.decide(at(12)), Decision::Wait(Some(at(22))));
    }

    #[test]
    fn no_progress_no_checkpoint_but_a_stop_always_takes_one() {
        let mut coordinator = Coordinator::new(1, Some(INTERVAL), 4, at(0));
        assert_eq!(coordinator.decide(at(10)), Decision::Wait(Some(at(20))));
        coordinator.stop();
        assert_eq!(
            coordinator.decide(at(11)),
            Decision::Trigger {
                epoch: 5,
                is_last: true
            }
        );
    }

    #[test]
    fn ended_slots_take_part_with_their_final_states() {
        let mut coordinator = Coordinator::new(2, Some(INTERVAL), 0, at(0));
        coordinator.note_progress();
        coordinator.decide(at(10));
        coordinator.slot_ended(1, vec![SubtaskState::default()]);
        coordinator.acknowledge(1, 0, 0, SubtaskState::default());
        assert!(matches!(
            coordinator.decide(at(11)),
            Decision::Store { epoch: 1, .. }
        ));
        coordinator.slot_ended(0, vec![SubtaskState::default()]);
        assert!(matches!(
            coordinator.decide(at(12)),
            Decision::Finish { epoch: 2, .. }
        ));
    }

    #[test]
    fn an_epoch_in_progress_is_stored_before_the_job_is_finished() {
        let mut coordinator = Coordinator::new(1, Some(INTERVAL), 0, at(0));
        coordinator.note_progress();
        coordinator.decide(at(10));
        coordinator.slot_ended(0, vec![SubtaskState::default()]);
        assert!(matches!(
            coordinator.decide(at(11)),
            Decision::Store { epoch: 1, .. }
        ));
        assert!(matches!(
            coordinator.decide(at(11)),
            Decision::Finish { epoch: 2, .. }
        ));
    }
}
