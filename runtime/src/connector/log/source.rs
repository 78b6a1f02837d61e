//! Reading a topic of the embedded log as a table.
//!
//! Place in the flow: `task` polls one reader per subtask. Invariant: every partition belongs to exactly one subtask, and its
//! records come once each and in offset order.

use std::sync::Arc;

use super::cursor::Cursor;
use super::files::lock;
use super::store::LogStore;
use super::topic::Topic;
use crate::connector::options::{BoundedMode, IsolationLevel, ScanOptions, StartupMode};
use crate::connector::source::{
    Poll, RawBatch, ReaderContext, Source, SourceReader, SplitInfo, SplitPosition,
};
use crate::error::{Error, Result};

/// A readable topic.
#[derive(Debug)]
pub struct LogSource {
    /// The topic.
    topic: Arc<Topic>,
    /// Where each partition starts when there is no checkpoint, and where it ends.
    scans: Vec<Scan>,
    /// Whether every partition has an end.
    bounded: bool,
    /// What is read of transactions.
    isolation: IsolationLevel,
}

/// Where reading one partition starts and ends.
#[derive(Debug, Clone, Copy)]
struct Scan {
    /// First offset.
    start: i64,
    /// Offset before which to end.
    end: Option<i64>,
}

impl LogSource {
    /// A source of the committed records of a topic, as [`LogSource::with_isolation`].
    ///
    /// # Errors
    /// The same.
    pub fn new(store: &Arc<LogStore>, topic: &str, scan: &ScanOptions) -> Result<Self> {
        Self::with_isolation(store, topic, scan, IsolationLevel::ReadCommitted)
    }

    /// A source of a topic. Offsets that stand for "now" (`latest-offset`) are taken here, once for all subtasks.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic, and for a partition or an offset that does not exist; `Unsupported` for
    /// `group-offsets`, since the log has no consumer groups.
    pub fn with_isolation(
        store: &Arc<LogStore>,
        topic: &str,
        scan: &ScanOptions,
        isolation: IsolationLevel,
    ) -> Result<Self> {
        let topic = store.find(topic)?;
        if let StartupMode::SpecificOffsets(offsets) = &scan.startup {
            let partitions = i64::from(topic.config.partitions);
            if let Some(partition) = offsets
                .keys()
                .find(|partition| !(0..partitions).contains(&i64::from(**partition)))
            {
                return Err(Error::option(format!(
                    "option 'scan.startup.specific-offsets': topic \"{}\" has no partition {partition}, only 0 to {}",
                    topic.name,
                    partitions - 1
                )));
            }
        }
        let scans = (0..topic.config.partitions)
            .map(|partition| scan_of(&topic, partition, scan, isolation))
            .collect::<Result<_>>()?;
        Ok(Self {
            scans,
            bounded: scan.bounded != BoundedMode::Unbounded,
            isolation,
            topic,
        })
    }
}

/// The start and the end of one partition.
fn scan_of(
    topic: &Topic,
    number: u32,
    scan: &ScanOptions,
    isolation: IsolationLevel,
) -> Result<Scan> {
    let partition = topic.partition(number)?;
    let at_timestamp = |timestamp_ms: i64| -> Result<i64> {
        let latest = partition.visible_end(isolation);
        Ok(partition
            .offset_for_timestamp(timestamp_ms, isolation)?
            .unwrap_or(latest))
    };
    let start = match &scan.startup {
        StartupMode::EarliestOffset => partition.start_offset(),
        StartupMode::LatestOffset => partition.visible_end(isolation),
        StartupMode::Timestamp(timestamp_ms) => at_timestamp(*timestamp_ms)?,
        StartupMode::SpecificOffsets(offsets) => offsets
            .get(&split_number(number)?)
            .copied()
            .unwrap_or_else(|| partition.start_offset()),
        StartupMode::GroupOffsets => {
            return Err(Error::unsupported(format!(
                "option 'scan.startup.mode': topic \"{}\" is in the embedded log, which has no consumer groups; use earliest-offset, latest-offset, timestamp or specific-offsets",
                topic.name
            )));
        }
    };
    let end = match scan.bounded {
        BoundedMode::Unbounded => None,
        BoundedMode::LatestOffset => Some(partition.visible_end(isolation)),
        // As Flink: where no record is that late yet, the present end.
        BoundedMode::Timestamp(timestamp_ms) => Some(at_timestamp(timestamp_ms)?),
    };
    check_offset(topic, number, start)?;
    Ok(Scan { start, end })
}

/// Refuses to start at an offset that does not exist yet.
fn check_offset(topic: &Topic, number: u32, offset: i64) -> Result<()> {
    let end = topic.partition(number)?.end_offset();
    if offset > end {
        return Err(Error::validation(format!(
            "cannot read topic \"{}\" partition {number} from offset {offset}: it ends at {end}",
            topic.name
        )));
    }
    Ok(())
}

/// A partition number as splits have it.
fn split_number(partition: u32) -> Result<i32> {
    i32::try_from(partition).map_err(|_| Error::internal("partition number past 31 bits"))
}

impl Source for LogSource {
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        // Before the first look at the ends, so that no append between is missed.
        lock(&self.topic.wakers).add(&context.waker);
        let mut splits = Vec::new();
        let partitions = (0_u32..).zip(&self.scans);
        for (partition, scan) in partitions
            .skip(context.subtask_index)
            .step_by(context.parallelism)
        {
            let number = split_number(partition)?;
            let restored =
                context.restored.iter().flatten().find(|position| {
                    position.topic == self.topic.name && position.partition == number
                });
            let offset = restored.map_or(scan.start, |position| position.offset);
            check_offset(&self.topic, partition, offset)?;
            splits.push(Split {
                partition,
                number,
                cursor: Cursor::new(offset, self.isolation),
                end: scan.end,
                state: SplitState::Reading,
                is_paused: false,
            });
        }
        Ok(Box::new(LogReader {
            topic: Arc::clone(&self.topic),
            splits,
            turn: 0,
            isolation: self.isolation,
        }))
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn sync(&self) -> Result<()> {
        self.topic.flush()
    }
}

/// Reads the partitions of one subtask in turn.
#[derive(Debug)]
struct LogReader {
    /// The topic.
    topic: Arc<Topic>,
    /// The partitions.
    splits: Vec<Split>,
    /// The split that is asked next.
    turn: usize,
    /// What is read of transactions.
    isolation: IsolationLevel,
}

/// One partition being read.
#[derive(Debug)]
struct Split {
    /// Partition.
    partition: u32,
    /// Partition as splits have it.
    number: i32,
    /// The place in it.
    cursor: Cursor,
    /// Offset before which to end.
    end: Option<i64>,
    /// How far it is.
    state: SplitState,
    /// Whether it is not to be read now.
    is_paused: bool,
}

/// How far a split is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SplitState {
    /// There may be more.
    Reading,
    /// The end was reported.
    Finished,
}

impl LogReader {
    /// Asks one split: its records, its end, or nothing.
    fn poll_split(&mut self, index: usize, rows_max: usize) -> Result<Option<Poll>> {
        let split = &mut self.splits[index];
        let partition = self.topic.partition(split.partition)?;
        // The seal is read before the end: what was appended before the seal is then seen.
        let sealed = self.topic.is_sealed();
        let end = match split.end {
            Some(end) => Some(end),
            None if sealed => Some(partition.end_offset()),
            None => None,
        };
        let mut batch = RawBatch {
            split: index,
            ..RawBatch::default()
        };
        let until = end.unwrap_or(i64::MAX);
        split.cursor.read(partition, until, rows_max, &mut batch)?;
        if batch.rows() > 0 {
            return Ok(Some(Poll::Raw(batch)));
        }
        // Judged after the read, since retention may have moved the position past the end.
        if end.is_some_and(|end| split.cursor.offset() >= end) {
            split.state = SplitState::Finished;
            split.cursor = Cursor::new(split.cursor.offset(), self.isolation);
            return Ok(Some(Poll::SplitFinished { split: index }));
        }
        Ok(None)
    }
}

impl SourceReader for LogReader {
    fn poll(&mut self, rows_max: usize) -> Result<Poll> {
        let count = self.splits.len();
        for _ in 0..count {
            let index = self.turn;
            self.turn = (self.turn + 1) % count;
            if self.splits[index].state == SplitState::Reading
                && !self.splits[index].is_paused
                && let Some(poll) = self.poll_split(index, rows_max.max(1))?
            {
                return Ok(poll);
            }
        }
        let finished = |split: &Split| split.state == SplitState::Finished;
        Ok(if self.splits.iter().all(finished) {
            Poll::EndOfInput
        } else {
            Poll::Pending
        })
    }

    fn pause(&mut self, is_paused: &[bool]) -> Result<()> {
        for (split, is_paused) in self.splits.iter_mut().zip(is_paused) {
            split.is_paused = *is_paused;
        }
        Ok(())
    }

    fn splits(&self) -> Vec<SplitInfo> {
        let pending = |split: &Split| -> Option<u64> {
            let partition = self.topic.partition(split.partition).ok()?;
            let end = partition.visible_end(self.isolation);
            let end = split.end.map_or(end, |bound| bound.min(end));
            let position = split.cursor.offset().max(partition.start_offset());
            Some(u64::try_from(end.saturating_sub(position)).unwrap_or(0))
        };
        self.splits
            .iter()
            .map(|split| SplitInfo {
                topic: self.topic.name.clone(),
                partition: split.number,
                pending_records: pending(split),
            })
            .collect()
    }

    fn positions(&self) -> Vec<SplitPosition> {
        self.splits
            .iter()
            .map(|split| SplitPosition {
                topic: self.topic.name.clone(),
                partition: split.number,
                offset: split.cursor.offset(),
            })
            .collect()
    }

    fn drain(&mut self) -> Result<()> {
        for split in &mut self.splits {
            let partition = self.topic.partition(split.partition)?;
            let end = partition.visible_end(self.isolation);
            split.end = Some(split.end.map_or(end, |bound| bound.min(end)));
        }
        Ok(())
    }
}
