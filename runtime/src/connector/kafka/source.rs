//! Reads a topic.
//!
//! Place in the flow: `task` opens one reader per subtask; the reader takes fetched records from librdkafka in batches and hands
//! them on, one split at a time. Invariant: `poll` never waits, and a position covers exactly the records that `poll` returned.

use std::collections::VecDeque;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use super::client::{self, At};
use super::fetched::{Arrival, Arrivals, split_off};
use super::ffi::{Consumer, Event, Fetched};
use super::options::{KafkaOptions, Role};
use super::split::{EndOfPartition, Progress, intake};
use crate::connector::options::{BoundedMode, ScanOptions, StartupMode};
use crate::connector::source::{
    Poll, ReaderContext, Source, SourceReader, SplitInfo, SplitPosition,
};
use crate::error::{Error, Result};
use crate::time::SharedClock;

/// Events of the client served per poll, so that a storm of log lines does not stop the records; more than one poll leaves
/// behind in practice. A guess, unmeasured.
const EVENTS_MAX: usize = 10_000;

/// Time between two warnings about the same lost cluster. A guess, unmeasured.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// A topic to read.
#[derive(Debug, Clone)]
pub struct KafkaSource {
    /// The cluster.
    options: KafkaOptions,
    /// The topic.
    topic: String,
    /// Where reading starts and ends.
    scan: ScanOptions,
}

impl KafkaSource {
    /// A source of one topic. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// `Invalid` when the startup mode needs a property that is missing.
    pub fn new(options: KafkaOptions, topic: impl Into<String>, scan: ScanOptions) -> Result<Self> {
        if scan.startup == StartupMode::GroupOffsets && options.group_id().is_none() {
            return Err(Error::option(
                "'scan.startup.mode' = 'group-offsets' needs 'properties.group.id'",
            ));
        }
        options.connect_timeout()?;
        Ok(Self {
            options,
            topic: topic.into(),
            scan,
        })
    }

    /// The offset at which each of these partitions starts: a restored position, else the startup mode's.
    fn starts(
        &self,
        consumer: &Consumer,
        partitions: &[i32],
        restored: Option<&[SplitPosition]>,
    ) -> Result<Vec<i64>> {
        let ask = |at| {
            client::offsets(
                consumer.client(),
                &self.options,
                &self.topic,
                partitions,
                at,
            )
        };
        if let Some(restored) = restored {
            let beginnings = ask(At::Beginning)?;
            // A partition that the checkpoint does not know was added since: all of it is new.
            return Ok(start_at(partitions, &beginnings, |partition| {
                restored
                    .iter()
                    .find(|known| known.topic == self.topic && known.partition == partition)
                    .map(|known| known.offset)
            }));
        }
        match &self.scan.startup {
            StartupMode::EarliestOffset => ask(At::Beginning),
            StartupMode::LatestOffset => ask(At::End),
            StartupMode::Timestamp(millis) => ask(At::Timestamp(*millis)),
            StartupMode::SpecificOffsets(named) => {
                let beginnings = ask(At::Beginning)?;
                Ok(start_at(partitions, &beginnings, |partition| {
                    named.get(&partition).copied()
                }))
            }
            StartupMode::GroupOffsets => {
                let committed = client::group_offsets(&self.options, &self.topic, partitions)?;
                let reset = self.options.properties.get("auto.offset.reset");
                let fallback = match reset.map(String::as_str) {
                    Some("earliest" | "smallest" | "beginning") => ask(At::Beginning)?,
                    Some("latest" | "largest" | "end") => ask(At::End)?,
                    _ if committed.contains(&None) => {
                        return Err(Error::option(format!(
                            "group \"{}\" has no committed offset for every partition of topic \"{}\": set 'properties.auto.offset.reset' to earliest or latest",
                            self.options.group_id().unwrap_or_default(),
                            self.topic
                        )));
                    }
                    _ => vec![0; partitions.len()],
                };
                Ok(committed
                    .into_iter()
                    .zip(fallback)
                    .map(|(offset, fallback)| offset.unwrap_or(fallback))
                    .collect())
            }
        }
    }

    /// The offset at which each of these partitions ends.
    fn ends(&self, consumer: &Consumer, partitions: &[i32]) -> Result<Vec<Option<i64>>> {
        let at = match self.scan.bounded {
            BoundedMode::Unbounded => return Ok(vec![None; partitions.len()]),
            BoundedMode::LatestOffset => At::End,
            BoundedMode::Timestamp(millis) => At::Timestamp(millis),
        };
        let ends = client::offsets(
            consumer.client(),
            &self.options,
            &self.topic,
            partitions,
            at,
        )?;
        Ok(ends.into_iter().map(Some).collect())
    }
}

/// Named offsets where there are any, beginnings elsewhere.
fn start_at(
    partitions: &[i32],
    beginnings: &[i64],
    named: impl Fn(i32) -> Option<i64>,
) -> Vec<i64> {
    partitions
        .iter()
        .zip(beginnings)
        .map(|(partition, beginning)| named(*partition).unwrap_or(*beginning))
        .collect()
}

/// Partitions of one subtask: `partition % parallelism` decides.
fn partitions_of(subtask_index: usize, parallelism: usize, partitions: u32) -> Vec<i32> {
    (0..partitions)
        .filter(|partition| *partition as usize % parallelism.max(1) == subtask_index)
        .filter_map(|partition| i32::try_from(partition).ok())
        .collect()
}

impl Source for KafkaSource {
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        let handle = client::create(&self.options, Role::Consumer)?;
        let mut consumer = Consumer::new(handle, &self.topic, context.waker.clone())?;
        let count = client::connect(
            consumer.client(),
            &self.options,
            &self.topic,
            &context.clock,
        )?;
        let partitions = partitions_of(context.subtask_index, context.parallelism, count);
        let restored = context.restored.as_deref();
        let ask = || {
            let starts = self.starts(&consumer, &partitions, restored)?;
            Ok((starts, self.ends(&consumer, &partitions)?))
        };
        let (starts, ends) = client::patiently(
            consumer.client(),
            &self.options,
            &self.topic,
            &context.clock,
            ask,
        )?;
        let splits: Vec<Progress> = starts
            .into_iter()
            .zip(ends)
            .map(|(start, end)| Progress::new(start, end))
            .collect();
        for (partition, split) in partitions.iter().zip(&splits) {
            if !split.is_ending() {
                consumer.start(*partition, split.position)?;
            }
        }
        Ok(Box::new(Reader {
            arrivals: Arrivals::new(splits.len()),
            ending: ending(&splits),
            paused: vec![false; splits.len()],
            splits,
            partitions,
            parallelism: context.parallelism.max(1),
            consumer,
            source: self.clone(),
            clock: context.clock,
            warned_at: None,
        }))
    }

    fn is_bounded(&self) -> bool {
        self.scan.bounded != BoundedMode::Unbounded
    }
}

/// Splits whose end is reached and not told yet.
fn ending(splits: &[Progress]) -> VecDeque<usize> {
    (0..splits.len())
        .filter(|split| splits[*split].is_ending())
        .collect()
}

/// Reads the partitions of one subtask.
#[derive(Debug)]
struct Reader {
    /// What was taken from librdkafka and not handed on yet.
    arrivals: Arrivals,
    /// Splits whose end is still to be told.
    ending: VecDeque<usize>,
    /// Progress of each split.
    splits: Vec<Progress>,
    /// Partition of each split.
    partitions: Vec<i32>,
    /// Which splits are not fetched now.
    paused: Vec<bool>,
    /// Subtasks in all, at least 1.
    parallelism: usize,
    /// The client.
    consumer: Consumer,
    /// What is read.
    source: KafkaSource,
    /// Time.
    clock: SharedClock,
    /// When the last warning was logged.
    warned_at: Option<Duration>,
}

impl Reader {
    /// Looks at what the client reports beside records.
    fn serve_events(&mut self) -> Result<()> {
        let mut worst = None;
        self.consumer.serve(EVENTS_MAX, &mut |event| match event {
            Event::Failed {
                code,
                fatal,
                reason,
            } => {
                if fatal || worst.is_none() {
                    worst = Some((code, fatal, reason.to_owned()));
                }
            }
            Event::Log { level, text, .. } => client::log_line(level, text),
            Event::Delivered { .. } | Event::DeliveryFailed { .. } => {}
        });
        let Some((code, fatal, reason)) = worst else {
            return Ok(());
        };
        if fatal {
            return Err(client::refusal(
                code,
                &format!("{}: {reason}", self.place()),
            ));
        }
        self.warn(&reason);
        Ok(())
    }

    /// Logs trouble that may pass, not more often than the limit.
    fn warn(&mut self, reason: &str) {
        let now = self.clock.monotonic();
        if self
            .warned_at
            .is_some_and(|last| now.saturating_sub(last) < WARN_INTERVAL)
        {
            return;
        }
        self.warned_at = Some(now);
        tracing::warn!(
            topic = self.source.topic,
            address = self.source.options.bootstrap,
            reason,
            "kafka is not reachable, reading goes on when it is"
        );
    }

    /// Names the topic and the address.
    fn place(&self) -> String {
        format!(
            "topic \"{}\" at {}",
            self.source.topic, self.source.options.bootstrap
        )
    }

    /// Takes what librdkafka has fetched. Returns how many messages that were.
    fn fetch(&mut self, rows_max: usize) -> Result<usize> {
        let (arrivals, parallelism) = (&mut self.arrivals, self.parallelism);
        let mut trouble = None;
        let taken = self.consumer.consume(rows_max, |fetched| match fetched {
            Fetched::Record(record) => {
                arrivals.record(split_of(record.partition, parallelism), &record);
            }
            Fetched::EndOfPartition { partition, offset } => {
                arrivals.end(split_of(partition, parallelism), offset);
            }
            Fetched::Failed {
                partition,
                code,
                reason,
            } => trouble = Some((partition, code, reason.to_owned())),
        });
        self.arrivals.close_all();
        if let Some((partition, code, reason)) = trouble {
            if !client::is_passing(code) {
                let place = format!("{} partition {partition}: {reason}", self.place());
                return Err(client::refusal(code, &place));
            }
            self.warn(&reason);
        }
        Ok(taken)
    }

    /// Turns an arrival into an answer; absent when it only moved a position.
    fn take_in(&mut self, arrival: Arrival) -> Option<Poll> {
        match arrival {
            Arrival::EndOfPartition { split, position } => {
                let high_watermark = self.consumer.high_watermark(self.partitions[split]);
                self.splits[split].catch_up(EndOfPartition {
                    position,
                    high_watermark,
                });
                self.note_end(split);
                None
            }
            Arrival::Batch(mut batch) => {
                let split = batch.split;
                let progress = &mut self.splits[split];
                if progress.finished {
                    return None;
                }
                let taken = intake(progress.position, progress.end, &batch.offsets);
                progress.position = taken.position;
                self.note_end(split);
                if taken.rows == 0 {
                    return None;
                }
                if taken.rows < batch.rows() {
                    // What is behind the end is not ours to read.
                    drop(split_off(&mut batch, taken.rows));
                }
                Some(Poll::Raw(batch))
            }
        }
    }

    /// The partitions of some splits.
    fn partitions_where(&self, is_wanted: impl Fn(usize) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for split in (0..self.partitions.len()).filter(|split| is_wanted(*split)) {
            list.add_partition(&self.source.topic, self.partitions[split]);
        }
        list
    }

    /// Remembers a split that has just reached its end.
    fn note_end(&mut self, split: usize) {
        if self.splits[split].is_ending() && !self.ending.contains(&split) {
            self.ending.push_back(split);
        }
    }

    /// Ends a split: its partition is fetched no more.
    fn finish(&mut self, split: usize) -> Poll {
        self.splits[split].finished = true;
        let list = self.partitions_where(|index| index == split);
        if let Err(error) = self.consumer.client().pause(&list) {
            // Fetching on is waste and not wrong: what arrives is dropped.
            tracing::debug!(%error, partition = self.partitions[split], "pausing an ended partition");
        }
        Poll::SplitFinished { split }
    }
}

/// The split of a partition, the inverse of [`partitions_of`].
fn split_of(partition: i32, parallelism: usize) -> usize {
    usize::try_from(partition).unwrap_or(0) / parallelism
}

impl SourceReader for Reader {
    fn poll(&mut self, rows_max: usize) -> Result<Poll> {
        self.serve_events()?;
        let rows_max = rows_max.max(1);
        loop {
            if let Some(split) = self.ending.pop_front() {
                return Ok(self.finish(split));
            }
            if self.splits.iter().all(|split| split.finished) {
                return Ok(Poll::EndOfInput);
            }
            if let Some(arrival) = self.arrivals.pop(rows_max) {
                if let Some(answer) = self.take_in(arrival) {
                    return Ok(answer);
                }
            } else if self.fetch(rows_max)? == 0 {
                return Ok(Poll::Pending);
            }
        }
    }

    fn pause(&mut self, is_paused: &[bool]) -> Result<()> {
        let is_changed =
            |split: usize| !self.splits[split].finished && is_paused[split] != self.paused[split];
        let pausing = self.partitions_where(|split| is_changed(split) && is_paused[split]);
        let resuming = self.partitions_where(|split| is_changed(split) && !is_paused[split]);
        let client = self.consumer.client();
        let paused = (pausing.count() > 0).then(|| client.pause(&pausing));
        let resumed = (resuming.count() > 0).then(|| client.resume(&resuming));
        let place = self.place();
        for outcome in [paused, resumed].into_iter().flatten() {
            outcome.map_err(|error| Error::unavailable(format!("{place}: {error}")))?;
        }
        self.paused.copy_from_slice(is_paused);
        Ok(())
    }

    fn splits(&self) -> Vec<SplitInfo> {
        self.partitions
            .iter()
            .zip(&self.splits)
            .map(|(partition, split)| SplitInfo {
                topic: self.source.topic.clone(),
                partition: *partition,
                pending_records: split.pending_records(self.consumer.high_watermark(*partition)),
            })
            .collect()
    }

    fn positions(&self) -> Vec<SplitPosition> {
        self.partitions
            .iter()
            .zip(&self.splits)
            .map(|(partition, split)| SplitPosition {
                topic: self.source.topic.clone(),
                partition: *partition,
                offset: split.position,
            })
            .collect()
    }

    fn drain(&mut self) -> Result<()> {
        let ends = client::offsets(
            self.consumer.client(),
            &self.source.options,
            &self.source.topic,
            &self.partitions,
            At::End,
        )?;
        for (split, end) in self.splits.iter_mut().zip(ends) {
            split.end = Some(split.end.map_or(end, |known| known.min(end)));
        }
        for split in 0..self.splits.len() {
            self.note_end(split);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_exactly_one_subtask_and_split() {
        for parallelism in 1..5 {
            let mut seen = Vec::new();
            for subtask in 0..parallelism {
                let partitions = partitions_of(subtask, parallelism, 7);
                for (split, partition) in partitions.iter().enumerate() {
                    assert_eq!(split_of(*partition, parallelism), split);
                }
                seen.extend(partitions);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..7).collect::<Vec<_>>());
        }
    }

    #[test]
    fn named_offsets_win_and_others_start_at_the_beginning() {
        let starts = start_at(&[0, 1, 2], &[5, 6, 7], |partition| {
            (partition == 1).then_some(42)
        });
        assert_eq!(starts, [5, 42, 7]);
    }

    #[test]
    fn group_offsets_need_a_group() {
        let scan = ScanOptions {
            startup: StartupMode::GroupOffsets,
            bounded: BoundedMode::Unbounded,
        };
        let error = KafkaSource::new(KafkaOptions::new("a:1"), "t", scan).unwrap_err();
        assert!(error.message.contains("properties.group.id"), "{error}");
    }
}
