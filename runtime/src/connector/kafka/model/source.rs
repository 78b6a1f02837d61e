//! Reads a topic of the model, up to the end that it had at first.
//!
//! Place in the flow: `task` opens one reader per subtask, as of any source. Invariant: only committed records are read, a poll gives
//! a few records of one split, and none twice.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::connection::{Connection, Credit};
use crate::connector::source::{
    Poll, Range, RawBatch, ReaderContext, Source, SourceReader, SplitInfo, SplitPosition,
};
use crate::error::{Error, Result};

/// A topic to read.
#[derive(Debug)]
pub(crate) struct ModelSource {
    /// The process.
    connection: Arc<Connection>,
    /// The topic.
    topic: String,
}

impl ModelSource {
    /// A source of a topic.
    pub(super) fn new(connection: Arc<Connection>, topic: &str) -> Self {
        Self {
            connection,
            topic: topic.to_owned(),
        }
    }
}

impl Source for ModelSource {
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        let partitions = self
            .connection
            .cluster()
            .brokers()
            .partitions(&self.topic)
            .ok_or_else(|| Error::unknown(format!("no topic {}", self.topic)))?;
        let own = (0..partitions)
            .filter(|partition| partition % context.parallelism == context.subtask_index);
        let restored = context.restored.unwrap_or_default();
        let splits = own.map(|partition| {
            let known = restored
                .iter()
                .find(|known| usize::try_from(known.partition) == Ok(partition));
            let position = known.and_then(|known| usize::try_from(known.offset).ok());
            Split {
                partition,
                position: position.unwrap_or_default(),
                end: self
                    .connection
                    .cluster()
                    .brokers()
                    .end_of(&self.topic, partition),
                is_finished: false,
            }
        });
        Ok(Box::new(Reader {
            splits: splits.collect(),
            credit: self.connection.credit(context.waker),
            connection: Arc::clone(&self.connection),
            topic: self.topic.clone(),
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

/// A partition that is read.
#[derive(Debug)]
struct Split {
    /// Which.
    partition: usize,
    /// The next offset.
    position: usize,
    /// The offset that ends it.
    end: usize,
    /// Whether its end was told.
    is_finished: bool,
}

/// Reads the partitions of one subtask.
#[derive(Debug)]
struct Reader {
    /// The partitions.
    splits: Vec<Split>,
    /// What may be read.
    credit: Arc<Credit>,
    /// The process.
    connection: Arc<Connection>,
    /// The topic.
    topic: String,
}

impl Reader {
    /// The next record of a split, and what comes of its key: one key a batch, so that no aggregate sees two changes of one at once.
    fn read(&mut self, split: usize, rows_max: usize) -> Option<RawBatch> {
        let Split {
            partition,
            position,
            end,
            ..
        } = &mut self.splits[split];
        let (seen, next) =
            self.connection
                .cluster()
                .brokers()
                .committed(&self.topic, *partition, *position);
        let mut batch = RawBatch {
            split,
            ..RawBatch::default()
        };
        let mut buffer = Vec::new();
        let mut keys = Vec::new();
        let mut reached = next;
        for (offset, record) in seen {
            if offset >= *end {
                break;
            }
            if keys.len() == rows_max || keys.contains(&record.key) {
                reached = offset;
                break;
            }
            let mut append = |bytes: &[u8]| {
                let start = u32::try_from(buffer.len()).unwrap_or_default();
                buffer.extend_from_slice(bytes);
                let len = u32::try_from(bytes.len()).unwrap_or_default();
                Range { start, len }
            };
            batch.keys.push(record.key.as_deref().map(&mut append));
            batch.values.push(record.value.as_deref().map(&mut append));
            batch
                .offsets
                .push(i64::try_from(offset).unwrap_or(i64::MAX));
            batch.timestamps_ms.push(1);
            keys.push(record.key);
        }
        *position = reached.min(*end).max(*position);
        batch.buffer = Bytes::from(buffer);
        (!keys.is_empty()).then_some(batch)
    }
}

impl SourceReader for Reader {
    fn poll(&mut self, rows_max: usize) -> Result<Poll> {
        let ended = self
            .splits
            .iter_mut()
            .enumerate()
            .find(|(_, split)| !split.is_finished && split.position >= split.end);
        if let Some((index, split)) = ended {
            split.is_finished = true;
            return Ok(Poll::SplitFinished { split: index });
        }
        let open: Vec<usize> = (0..self.splits.len())
            .filter(|split| !self.splits[*split].is_finished)
            .collect();
        if open.is_empty() {
            return Ok(Poll::EndOfInput);
        }
        let mut credit = self
            .credit
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let rows_max = rows_max.min(*credit);
        if rows_max == 0 {
            return Ok(Poll::Pending);
        }
        let chosen = self.connection.below(open.len() as u64);
        let split = open[usize::try_from(chosen).unwrap_or_default()];
        *credit = credit.saturating_sub(rows_max);
        drop(credit);
        Ok(match self.read(split, rows_max) {
            Some(batch) => Poll::Raw(batch),
            None => self.poll(rows_max)?,
        })
    }

    fn splits(&self) -> Vec<SplitInfo> {
        let info = |split: &Split| SplitInfo {
            topic: self.topic.clone(),
            partition: i32::try_from(split.partition).unwrap_or_default(),
            pending_records: Some((split.end - split.position) as u64),
        };
        self.splits.iter().map(info).collect()
    }

    fn positions(&self) -> Vec<SplitPosition> {
        let position = |split: &Split| SplitPosition {
            topic: self.topic.clone(),
            partition: i32::try_from(split.partition).unwrap_or_default(),
            offset: i64::try_from(split.position).unwrap_or(i64::MAX),
        };
        self.splits.iter().map(position).collect()
    }

    fn drain(&mut self) -> Result<()> {
        for split in &mut self.splits {
            split.end = split.end.min(
                self.connection
                    .cluster()
                    .brokers()
                    .end_of(&self.topic, split.partition),
            );
        }
        Ok(())
    }
}
