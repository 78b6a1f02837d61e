//! Runs of a statement that writes in transactions.
//!
//! Place in the flow: cases of [`super::committer`] drive a [`Run`] as the coordinator and the slots do. Invariant: a run makes the
//! calls in the order that the contracts promise, unless a case says otherwise.

use std::fmt::Debug;
use std::time::Duration;

use crate::checkpoint::commit::{Committer, EpochRecord};
use crate::connector::sink::{
    EncodedBatch, Sink, SinkWriter, TransactionOwner, Transactions, WriterContext,
};
use crate::connector::source::Range;
use crate::error::{Error, Result};
use crate::task::Waker;
use crate::time::{SharedClock, SystemClock};

/// Longest wait for a flush. A guess, unmeasured.
const PATIENCE: Duration = Duration::from_mins(1);

/// A committed record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Key; empty when it has none.
    pub key: String,
    /// Value.
    pub value: String,
}

/// A system with transactions, as a suite sees it.
pub trait Harness: Debug {
    /// Makes an empty topic of three partitions and returns its name.
    ///
    /// # Errors
    /// Whatever the system says.
    fn create_topic(&self) -> Result<String>;

    /// The sink into a topic. All sinks of a harness have transactions of the same identity and take encoded records.
    ///
    /// # Errors
    /// Whatever the system says.
    fn sink(&self, topic: &str) -> Result<Box<dyn Sink>>;

    /// What a read-committed reader sees of a topic now, in the order of each partition.
    ///
    /// # Errors
    /// Whatever the system says.
    fn committed(&self, topic: &str) -> Result<Vec<Seen>>;

    /// Ends a run as `kill -9` does: nothing is committed or aborted.
    ///
    /// # Errors
    /// Whatever the system says.
    fn kill(&self, run: Run) -> Result<()> {
        drop(run);
        Ok(())
    }

    /// Waits until a writer wakes its slot; a simulator lets time pass instead.
    fn wait(&self, waker: &Waker) {
        waker.park(Some(PATIENCE));
    }

    /// Time.
    fn clock(&self) -> SharedClock {
        SystemClock::shared()
    }
}

/// A statement that is run again and again.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Statement name.
    pub name: String,
    /// Statement uid.
    pub uid: String,
    /// How long an epoch may stay open.
    pub timeout: Duration,
}

impl Owner {
    /// A statement that no other case uses.
    pub fn unique() -> Self {
        Self {
            name: "suite".to_owned(),
            uid: uuid::Uuid::new_v4().to_string(),
            timeout: PATIENCE,
        }
    }
}

/// A writer and its slot's waker.
#[derive(Debug)]
struct Slot {
    /// The writer.
    writer: Box<dyn SinkWriter>,
    /// Woken by it.
    waker: Waker,
}

/// One life of a statement: its transactions and its writers. Dropped, it is as dead as the process allows.
#[derive(Debug)]
pub struct Run {
    /// Goes into epoch records.
    name: String,
    /// The writers.
    slots: Vec<Slot>,
    /// The transactions.
    transactions: Transactions,
}

impl Run {
    /// Opens the transactions through the sink of the first topic and shuts out every earlier run, and no more.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn fence(harness: &dyn Harness, owner: &Owner, topic: &str) -> Result<Self> {
        let sink = harness.sink(topic)?;
        let system = sink
            .transactional()
            .ok_or_else(|| Error::internal("the sink has no transactions"))?;
        let transactions = (system.open)(&TransactionOwner {
            statement_name: owner.name.clone(),
            statement_uid: owner.uid.clone(),
            timeout: owner.timeout,
            clock: harness.clock(),
        })?;
        transactions.committer.fence()?;
        Ok(Self {
            name: "life".to_owned(),
            slots: Vec::new(),
            transactions,
        })
    }

    /// As [`Run::fence`], with a writer for each of the topics; a topic may be named several times.
    ///
    /// # Errors
    /// Whatever the system says; `Internal` without a topic.
    pub fn start(harness: &dyn Harness, owner: &Owner, topics: &[&str]) -> Result<Self> {
        let first = topics
            .first()
            .ok_or_else(|| Error::internal("a run needs a topic"))?;
        let mut run = Self::fence(harness, owner, first)?;
        for (index, topic) in topics.iter().enumerate() {
            let waker = Waker::default();
            let writer = harness.sink(topic)?.writer(WriterContext {
                publishes: false,
                subtask_index: index,
                parallelism: topics.len(),
                statement_uid: owner.uid.clone(),
                transactions: Some(run.transactions.clone()),
                waker: waker.clone(),
                clock: harness.clock(),
            })?;
            run.slots.push(Slot { writer, waker });
        }
        Ok(run)
    }

    /// What the coordinator commits with.
    pub fn committer(&self) -> &dyn Committer {
        self.transactions.committer.as_ref()
    }

    /// One of the writers.
    ///
    /// # Errors
    /// `Internal` when there is none of that number.
    pub fn writer(&mut self, index: usize) -> Result<&mut dyn SinkWriter> {
        match self.slots.get_mut(index) {
            Some(slot) => Ok(slot.writer.as_mut()),
            None => Err(Error::internal(format!("no writer {index}"))),
        }
    }

    /// Begins an epoch: its transaction, then every writer.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn begin(&mut self, epoch: u64) -> Result<()> {
        self.committer().begin(epoch)?;
        self.slots
            .iter_mut()
            .try_for_each(|slot| slot.writer.begin_epoch(epoch))
    }

    /// Writes records of the present epoch through one writer, which need not be ready.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn write(
        &mut self,
        harness: &dyn Harness,
        index: usize,
        records: &[(&str, &str)],
    ) -> Result<()> {
        let batch = encode(records)?;
        let slot = self
            .slots
            .get_mut(index)
            .ok_or_else(|| Error::internal(format!("no writer {index}")))?;
        while !slot.writer.ready() {
            harness.wait(&slot.waker);
        }
        slot.writer.write_records(&batch)
    }

    /// Flushes every writer, woken and not polling.
    ///
    /// # Errors
    /// Whatever the system says; `Internal` when it takes too long.
    pub fn flush(&mut self, harness: &dyn Harness) -> Result<()> {
        let end = harness.clock().monotonic() + PATIENCE;
        for slot in &mut self.slots {
            while !slot.writer.flush()? {
                if harness.clock().monotonic() >= end {
                    return Err(Error::internal(format!("no flush within {PATIENCE:?}")));
                }
                harness.wait(&slot.waker);
            }
        }
        Ok(())
    }

    /// The record of an epoch of this run.
    pub fn record(&self, epoch: u64) -> EpochRecord {
        EpochRecord {
            run: self.name.clone(),
            epoch,
            checkpoint: format!("checkpoint-{epoch}"),
        }
    }

    /// Commits an epoch that was flushed.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn commit(&self, epoch: u64) -> Result<()> {
        self.committer().commit(epoch, &self.record(epoch))
    }

    /// A whole epoch of the first writer: begins, writes, flushes and commits.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn epoch(
        &mut self,
        harness: &dyn Harness,
        epoch: u64,
        records: &[(&str, &str)],
    ) -> Result<()> {
        self.begin(epoch)?;
        self.write(harness, 0, records)?;
        self.flush(harness)?;
        self.commit(epoch)
    }
}

/// Lays keys and values into one buffer; an empty key is none.
fn encode(records: &[(&str, &str)]) -> Result<EncodedBatch> {
    let mut batch = EncodedBatch::default();
    for (key, value) in records {
        let mut append = |text: &str| -> Result<Range> {
            let length = |bytes: usize| {
                u32::try_from(bytes).map_err(|_| Error::internal("a test writes too much"))
            };
            let range = Range {
                start: length(batch.buffer.len())?,
                len: length(text.len())?,
            };
            batch.buffer.extend_from_slice(text.as_bytes());
            Ok(range)
        };
        let key = (!key.is_empty()).then(|| append(key)).transpose()?;
        let value = append(value)?;
        batch.keys.push(key);
        batch.values.push(Some(value));
    }
    Ok(batch)
}
