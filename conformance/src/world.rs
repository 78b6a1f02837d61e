//! What a statement of a case runs in: topics in a directory of its own, and one job at a time.
//!
//! Place in the flow: `execute` makes one world per statement, feeds it, and starts and ends jobs in it. Invariant: waiting has a deadline
//! and ends early when the job does; no job outlives its world's use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use tempfile::TempDir;
use weir_runtime::checkpoint::store::CheckpointStore;
use weir_runtime::connector::log::{FsyncPolicy, LogOptions, LogStore, Record, TopicConfig};
use weir_runtime::plan::{Input, NodeId, Operator, StreamPlan};
use weir_runtime::task::{
    Checkpoints, Environment, IdleTimeout, Job, JobConfig, JobEvent, JobSpec, MemoryAccountant,
    StartFrom,
};
use weir_runtime::time::SystemClock;
use weir_runtime::{Batch, Error, Result};

use crate::registry::Registry;
use crate::rows::{Encoded, Source};

/// Longest time that a statement of a case may take: it takes milliseconds, and a large one seconds without optimization. A guess.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time that a cancelled job is given to end. A guess.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks at a job: less than what a record takes. A guess.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);

/// Time between checkpoints: none but the one that is asked for.
const NEVER: Duration = Duration::from_hours(1);

/// Name of the header with the kind of a row.
const OP_HEADER: &[u8] = b"op";

/// Name and value of a header.
type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// Topics and what jobs need.
pub(crate) struct World {
    /// Everything outside of a job.
    environment: Environment,
    /// The log.
    log: Arc<LogStore>,
    /// Monotonic time after which nothing is waited for.
    until: Duration,
    /// The directory of everything; goes last.
    dir: TempDir,
}

/// A started job.
pub(crate) struct Run<'a> {
    /// What it runs in.
    world: &'a World,
    /// Its plan.
    plan: StreamPlan,
    /// The job.
    job: Job,
    /// Where its end is reported.
    events: Receiver<JobEvent>,
    /// Its end, once it is known.
    end: Option<JobEvent>,
    /// Results up to now.
    results: Vec<Batch>,
    /// Position after them.
    position: u64,
    /// Records that it is to read, by table.
    fed: BTreeMap<String, u64>,
}

impl World {
    /// Empty topics.
    ///
    /// # Errors
    /// `Internal` when there is no directory; what the log refuses.
    pub(crate) fn new(topics: &[Source], registry: &Arc<Registry>) -> Result<Self> {
        let dir = tempfile::tempdir()
            .map_err(|error| Error::internal(format!("make a directory: {error}")))?;
        let clock = SystemClock::shared();
        let options = LogOptions {
            fsync: FsyncPolicy::Never,
            ..LogOptions::default()
        };
        let log = LogStore::open(&dir.path().join("log"), options, clock.clone())?;
        for topic in topics {
            let config = TopicConfig {
                partitions: 1,
                retention_ms: None,
                compacted: false,
            };
            log.create_topic(&topic.name, config)?;
        }
        Ok(Self {
            until: clock.monotonic() + PATIENCE,
            environment: Environment {
                clock,
                log: Some(log.clone()),
                kafka: None,
                registry: Some(registry.clone()),
                error_tables: Arc::new(|name| {
                    Err(Error::internal(format!(
                        "no case has an error table {name}"
                    )))
                }),
                memory: MemoryAccountant::of_this_machine(),
                stage: None,
            },
            log,
            dir,
        })
    }

    /// Appends records to a topic.
    ///
    /// # Errors
    /// What the log refuses.
    pub(crate) fn append(&self, topic: &str, records: &[Encoded]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let headers: Vec<[Header<'_>; 1]> = records
            .iter()
            .map(|record| [(OP_HEADER, record.op.as_ref().map(<[u8; 1]>::as_slice))])
            .collect();
        let records = records.iter().zip(&headers);
        let records: Vec<Record<'_>> = records
            .map(|(record, headers)| Record {
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                timestamp_ms: 0,
                headers: if record.op.is_some() { headers } else { &[] },
            })
            .collect();
        self.log.append(topic, 0, &records).map(drop)
    }

    /// Ends all topics.
    ///
    /// # Errors
    /// What the log refuses.
    pub(crate) fn seal(&self) -> Result<()> {
        let mut topics = self.log.topics().into_iter();
        topics.try_for_each(|topic| self.log.seal(&topic))
    }

    /// Starts a job that begins from nothing and takes no checkpoints.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub(crate) fn start(&self, plan: &StreamPlan) -> Result<Run<'_>> {
        self.start_with(plan, None)
    }

    /// Starts a job that goes on from where the one before was stopped, if there was one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn resume(&self, plan: &StreamPlan) -> Result<Run<'_>> {
        let store = CheckpointStore::open_local(&self.dir.path().join("checkpoints"))?;
        let checkpoints = Checkpoints {
            store: Arc::new(store),
            run: "run".to_owned(),
            start_from: StartFrom::Committed,
        };
        self.start_with(plan, Some(checkpoints))
    }

    /// Starts a job.
    fn start_with(&self, plan: &StreamPlan, checkpoints: Option<Checkpoints>) -> Result<Run<'_>> {
        let spec = JobSpec {
            statement_name: "conformance".to_owned(),
            statement_uid: "conformance".to_owned(),
            plan: plan.clone(),
            parallelism: 1,
            checkpoints,
            config: JobConfig {
                checkpoint_interval: NEVER,
                idle_timeout: IdleTimeout::Disabled,
                // Tables are fed one after the other.
                watermark_drift: None,
                ..JobConfig::default()
            },
        };
        let (sender, events) = sync_channel(1);
        let on_event = Box::new(move |event| {
            // Nobody listens any more once the case has failed elsewhere.
            drop(sender.send(event));
        });
        Ok(Run {
            world: self,
            plan: plan.clone(),
            job: Job::start(&spec, &self.environment, on_event)?,
            events,
            end: None,
            results: Vec::new(),
            position: 0,
            fed: BTreeMap::new(),
        })
    }

    /// Whether it is too late.
    fn is_over(&self) -> bool {
        self.environment.clock.monotonic() > self.until
    }
}

impl Run<'_> {
    /// What is run.
    pub(crate) fn plan(&self) -> &StreamPlan {
        &self.plan
    }

    /// Says that there are more records in a table to read.
    pub(crate) fn expect(&mut self, table: &str, records: usize) {
        *self.fed.entry(table.to_owned()).or_default() += records as u64;
    }

    /// Waits until everything expected has gone through all operators, or the job has ended. A watermark goes through behind the records
    /// that it is made of, before the source reads any other.
    ///
    /// # Errors
    /// `Internal` when the deadline is over.
    pub(crate) fn await_quiet(&mut self) -> Result<()> {
        while self.end.is_none() && !self.is_quiet() {
            self.look()?;
        }
        Ok(())
    }

    /// Waits until the job has ended by itself; its results.
    ///
    /// # Errors
    /// What the job failed with; `Internal` when the deadline is over.
    pub(crate) fn finish(mut self) -> Result<Vec<Batch>> {
        while self.end.is_none() {
            self.look()?;
        }
        match self.end.take() {
            Some(JobEvent::Finished | JobEvent::Stopped { .. }) => {
                self.take_results();
                Ok(std::mem::take(&mut self.results))
            }
            Some(JobEvent::Failed(error)) => Err(error),
            other => Err(Error::internal(format!("the job ended with {other:?}"))),
        }
    }

    /// Stops the job with a last checkpoint; its results. One without input of its own may have ended before.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub(crate) fn stop(self) -> Result<Vec<Batch>> {
        self.job.stop();
        self.finish()
    }

    /// Takes results and waits a moment for the end.
    fn look(&mut self) -> Result<()> {
        self.take_results();
        if self.world.is_over() {
            return Err(Error::internal(format!(
                "the job has not ended within {PATIENCE:?}"
            )));
        }
        match self.events.recv_timeout(LOOK_INTERVAL) {
            Ok(event) => self.end = Some(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal("the job has panicked"));
            }
        }
        Ok(())
    }

    /// Takes the results that there are.
    fn take_results(&mut self) {
        if let Some(results) = self.job.results() {
            let page = results.page(self.position, usize::MAX);
            self.position = page.next;
            self.results.extend(page.batches);
        }
    }

    /// Whether the job has read all that it is to read, and every operator what the ones before it have emitted.
    fn is_quiet(&self) -> bool {
        let meter = self.job.meter();
        let found = |id: NodeId| meter.operators.iter().find(|operator| operator.id == id.0);
        let emitted = |input: &Input| found(input.node).map_or(0, |node| node.records_out_total);
        self.plan.nodes.iter().all(|node| {
            let took = found(node.id).map(|operator| operator.records_in_total);
            if let Operator::TableSourceScan(scan) = &node.operator {
                let fed = self.fed.get(&scan.table.name.name);
                return took >= Some(fed.copied().unwrap_or(0));
            }
            let expected = node.inputs.iter().map(emitted).sum();
            took.is_none_or(|took| took >= expected)
        })
    }
}

impl Drop for Run<'_> {
    /// Ends a job that was not waited for to the end, since its directory goes.
    fn drop(&mut self) {
        if self.end.is_none() {
            self.job.cancel();
            drop(self.events.recv_timeout(CANCEL_PATIENCE));
        }
    }
}
