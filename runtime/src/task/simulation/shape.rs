//! What a seed is like.
//!
//! Place in the flow: the first numbers of a seed draw its [`Shape`]. Invariant: kinds of faults are rare enough that each also meets runs
//! without the others.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::statement::Size;
use crate::checkpoint::store::testing::{FaultPlan, next_random};

/// What a seed is like, which is drawn first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// What there is to do.
    pub(super) size: Size,
    /// Time between two checkpoints.
    pub(super) interval: Duration,
    /// How many of a hundred requests to the cluster are lost, and how many answers.
    pub(super) lost_percent: u64,
    /// What goes wrong with checkpoints.
    pub(super) store: FaultPlan,
    /// How often the world is disturbed.
    pub(super) disturbances: u64,
    /// Of a hundred disturbances, how many damage an object.
    pub(super) damages_percent: u64,
    /// Whether the statement may be down for longer than records of epochs are kept.
    pub(super) oversleeps: bool,
    /// Whether the number of slots changes.
    pub(super) rescales: bool,
}

impl Shape {
    /// A shape by a seed; undisturbed when nothing is to go wrong.
    pub(super) fn draw(random: &AtomicU64, is_disturbed: bool) -> Self {
        let below = |end: u64| next_random(random) % end;
        let keys = 2 + below(6);
        let size = Size {
            records: 12 + below(40),
            keys,
            input_partitions: 1 + below(3),
            output_partitions: usize::try_from(1 + below(3)).unwrap_or(1),
        };
        let interval = Duration::from_millis(10 + below(200));
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
