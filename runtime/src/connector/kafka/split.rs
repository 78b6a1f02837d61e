//! Where reading stands in one partition, and when it has ended.
//!
//! Place in the flow: [`super::source`] tells it what the partition returned and asks what follows. Invariant: a bounded split
//! ends when its position has reached the captured end, wherever that position came from; the record before the end may not
//! exist (transaction markers, compaction), so it is never waited for.

/// What an end-of-partition event said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndOfPartition {
    /// The next offset to read.
    pub(super) position: i64,
    /// End of the partition as the client knew it, open transactions included; absent when unknown.
    pub(super) high_watermark: Option<i64>,
}

/// Progress in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    /// The next offset to read: everything before it was returned or does not exist.
    pub(super) position: i64,
    /// Where reading ends; absent means never.
    pub(super) end: Option<i64>,
    /// The last end-of-partition event.
    pub(super) caught_up: Option<EndOfPartition>,
    /// Whether the end has been told.
    pub(super) finished: bool,
}

/// What is to be done with a batch whose offsets ascend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Intake {
    /// Records of the batch that belong to the split: its first ones.
    pub(super) rows: usize,
    /// The position after them.
    pub(super) position: i64,
}

/// Decides how much of a batch is before the end.
///
/// A record at or behind the end proves that nothing is left before it, so the position moves to the end. Without one the
/// position follows the records, even backwards: that is what `auto.offset.reset` does with an offset that is out of range.
pub(super) fn intake(position: i64, end: Option<i64>, offsets: &[i64]) -> Intake {
    let rows = match end {
        Some(end) => offsets.partition_point(|offset| *offset < end),
        None => offsets.len(),
    };
    let behind = offsets[..rows].last().map_or(position, |last| last + 1);
    let position = match end {
        Some(end) if rows < offsets.len() => behind.max(end),
        _ => behind,
    };
    Intake { rows, position }
}

/// Whether nothing is left to read.
pub(super) fn has_ended(position: i64, end: Option<i64>) -> bool {
    end.is_some_and(|end| position >= end)
}

impl Progress {
    /// A split that starts here and ends there.
    pub(super) fn new(position: i64, end: Option<i64>) -> Self {
        Self {
            position,
            end,
            caught_up: None,
            finished: false,
        }
    }

    /// Takes an end-of-partition event in. One that comes after the split has ended is about records that were dropped, and
    /// must not move the position past them.
    pub(super) fn catch_up(&mut self, event: EndOfPartition) {
        if !self.finished && !has_ended(self.position, self.end) {
            self.position = event.position;
            self.caught_up = Some(event);
        }
    }

    /// Whether the end is reached and was not told yet.
    pub(super) fn is_ending(&self) -> bool {
        !self.finished && has_ended(self.position, self.end)
    }

    /// Records between the position and the end, at most; absent when the end is unknown.
    ///
    /// At the position of an end-of-partition event only what was appended since counts: the rest up to the high watermark
    /// belongs to open transactions, which nobody may read yet.
    pub(super) fn pending_records(&self, high_watermark: Option<i64>) -> Option<u64> {
        if self.finished {
            return Some(0);
        }
        let (from, to) = match (self.end, self.caught_up) {
            (Some(end), _) => (self.position, end),
            (None, Some(event)) if event.position == self.position => {
                match (event.high_watermark, high_watermark) {
                    (Some(then), Some(now)) => (then, now),
                    _ => return Some(0),
                }
            }
            (None, _) => (self.position, high_watermark?),
        };
        Some(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An end-of-partition event.
    fn event(position: i64, high_watermark: i64) -> EndOfPartition {
        EndOfPartition {
            position,
            high_watermark: Some(high_watermark),
        }
    }

    #[test]
    fn ten_records_and_an_abort_marker_end_by_the_event() {
        let mut split = Progress::new(0, Some(16));
        let taken = intake(0, split.end, &(0..10).collect::<Vec<_>>());
        assert_eq!((taken.rows, taken.position), (10, 10));
        split.position = taken.position;
        assert!(!split.is_ending());
        assert_eq!(split.pending_records(Some(16)), Some(6));
        split.catch_up(event(16, 16));
        assert!(split.is_ending());
        assert_eq!(split.pending_records(Some(16)), Some(0));
    }

    #[test]
    fn a_record_behind_the_end_ends_the_split_without_being_taken() {
        let taken = intake(3, Some(10), &[3, 4, 12, 13]);
        assert_eq!(
            taken,
            Intake {
                rows: 2,
                position: 10
            }
        );
        assert!(has_ended(taken.position, Some(10)));
        assert_eq!(
            intake(3, Some(10), &[11]),
            Intake {
                rows: 0,
                position: 10
            }
        );
    }

    #[test]
    fn an_ended_split_keeps_its_position() {
        let mut split = Progress::new(0, Some(10));
        split.position = intake(0, split.end, &[8, 9, 10, 11]).position;
        split.catch_up(event(12, 12));
        assert_eq!(split.position, 10);
        split.finished = true;
        split.catch_up(event(20, 20));
        assert_eq!(split.position, 10);
    }

    #[test]
    fn a_reset_offset_takes_the_position_back() {
        assert_eq!(intake(99, None, &[20, 21]).position, 22);
        let mut split = Progress::new(99, None);
        split.catch_up(event(20, 20));
        assert_eq!(split.position, 20);
    }

    #[test]
    fn an_empty_or_passed_range_has_ended_at_once() {
        assert!(Progress::new(0, Some(0)).is_ending());
        assert!(Progress::new(42, Some(10)).is_ending());
        assert!(!Progress::new(0, None).is_ending());
    }

    #[test]
    fn an_open_transaction_is_not_pending_once_caught_up() {
        let mut split = Progress::new(0, None);
        assert_eq!(split.pending_records(None), None);
        assert_eq!(split.pending_records(Some(22)), Some(22));
        split.catch_up(event(10, 22));
        assert_eq!(split.pending_records(Some(22)), Some(0));
        assert_eq!(split.pending_records(Some(30)), Some(8));
        split.position = 15;
        assert_eq!(split.pending_records(Some(30)), Some(15));
    }

    proptest! {
        #[test]
        fn every_record_before_the_end_is_taken_once(
            gaps in proptest::collection::vec(1i64..5, 0..50),
            cuts in proptest::collection::vec(1usize..7, 1..50),
            end in 0i64..120,
        ) {
            let offsets: Vec<i64> = gaps
                .iter()
                .scan(-1, |last, gap| { *last += gap; Some(*last) })
                .collect();
            let (mut rest, mut position, mut taken) = (offsets.as_slice(), 0, Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || has_ended(position, Some(end)) {
                    break;
                }
                let (batch, after) = rest.split_at((*cut).min(rest.len()));
                let decided = intake(position, Some(end), batch);
                prop_assert!(decided.position >= position);
                taken.extend_from_slice(&batch[..decided.rows]);
                (position, rest) = (decided.position, after);
            }
            let expected: Vec<i64> = offsets.into_iter().filter(|offset| *offset < end).collect();
            prop_assert_eq!(taken, expected);
        }
    }
}
