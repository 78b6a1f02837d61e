//! What a case runs in: topics in a directory of its own, and the jobs of its statements.
//!
//! Place in the flow: a way makes one world, feeds it and starts and ends jobs in it. Invariant: the only file of the runner that calls
//! jobs and the log; waiting always has a deadline and ends early when a job does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use tempfile::TempDir;
use weir_model::meter;
use weir_runtime::checkpoint::store::CheckpointStore;
use weir_runtime::connector::log::{FsyncPolicy, LogOptions, LogStore, Record, TopicConfig};
use weir_runtime::plan::{Exchange, NodeId, Operator, StreamPlan};
use weir_runtime::sql::catalog::TableDef;
use weir_runtime::task::{
    Checkpoints, Environment, Job, JobConfig, JobEvent, JobSpec, MemoryAccountant, StartFrom,
};
use weir_runtime::time::{SharedClock, SystemClock};

use super::Result;
use super::case::Case;
use super::input::{self, Content};
use super::script::{self, Script};

/// Longest wait for anything; a case takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Name and value of a header.
type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// How jobs are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    /// Slots.
    pub(crate) parallelism: usize,
    /// Time between two checkpoints.
    pub(crate) checkpoint_interval: Duration,
}

/// How all jobs of a case ended.
#[derive(Debug)]
pub(crate) enum End {
    /// All input is processed, or the jobs were stopped or cancelled as asked.
    Done,
    /// A statement failed.
    Failed(weir_runtime::Error),
}

/// Topics and jobs.
#[derive(Debug)]
pub(crate) struct World<'a> {
    /// The case.
    case: &'a Case,
    /// Its statements.
    script: &'a Script,
    /// The log.
    pub(crate) log: Arc<LogStore>,
    /// Time.
    clock: SharedClock,
    /// Running jobs, in the order of the plans; empty when none runs.
    jobs: Vec<Started>,
    /// Records appended, by table.
    appended: BTreeMap<String, u64>,
    /// The directory of everything.
    dir: TempDir,
}

/// A started job and its end.
#[derive(Debug)]
struct Started {
    /// The job.
    job: Job,
    /// Where its end is reported.
    events: Receiver<JobEvent>,
}

impl<'a> World<'a> {
    /// Topics without records.
    ///
    /// # Errors
    /// When the directory cannot be made, or the input is for a table that does not exist.
    pub(crate) fn new(case: &'a Case, script: &'a Script) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let clock = SystemClock::shared();
        let options = LogOptions {
            fsync: FsyncPolicy::Never,
            ..LogOptions::default()
        };
        let log = LogStore::open(&dir.path().join("log"), options, clock.clone())
            .map_err(|error| error.to_string())?;
        for table in &script.tables {
            let config = TopicConfig {
                partitions: case.partitions(&table.name.name),
                retention_ms: None,
                compacted: false,
            };
            log.create_topic(&table.name.name, config)
                .map_err(|error| error.to_string())?;
        }
        let is_known = |name: &String| script.tables.iter().any(|table| table.name.name == *name);
        if let Some(unknown) = case.input.keys().find(|name| !is_known(name)) {
            return Err(format!(
                "input for \"{unknown}\", which query.sql does not create"
            ));
        }
        Ok(Self {
            case,
            script,
            log,
            clock,
            jobs: Vec::new(),
            appended: BTreeMap::new(),
            dir,
        })
    }

    /// Appends records of one table in one go per partition.
    ///
    /// # Errors
    /// When a row does not fit the table's layout or the log refuses.
    pub(crate) fn append(&mut self, table: &str, records: &[input::Record]) -> Result<()> {
        let definition = self.table(table)?;
        let mut parts: BTreeMap<u32, Vec<(Encoded, &input::Record)>> = BTreeMap::new();
        for record in records {
            let encoded = encode(definition, &record.content)?;
            parts
                .entry(record.partition)
                .or_default()
                .push((encoded, record));
        }
        for (partition, rows) in parts {
            let ops: Vec<[u8; 1]> = rows.iter().map(|(_, row)| [row.op.unwrap_or(0)]).collect();
            let headers: Vec<[Header<'_>; 1]> = ops
                .iter()
                .map(|op| [(b"op".as_slice(), Some(op.as_slice()))])
                .collect();
            let records: Vec<Record<'_>> = rows
                .iter()
                .zip(&headers)
                .map(|((encoded, row), headers)| Record {
                    key: encoded.key.as_deref(),
                    value: encoded.value.as_deref(),
                    timestamp_ms: row.timestamp_ms,
                    headers: if row.op.is_some() { headers } else { &[] },
                })
                .collect();
            self.log
                .append(table, partition, &records)
                .map_err(|error| error.to_string())?;
        }
        *self.appended.entry(table.to_owned()).or_default() += records.len() as u64;
        Ok(())
    }

    /// Ends every topic that is not written by the statements.
    ///
    /// # Errors
    /// When the log refuses.
    pub(crate) fn seal(&self) -> Result<()> {
        let written: Vec<&str> = self
            .script
            .written()
            .map(|table| table.name.name.as_str())
            .collect();
        for table in &self.script.tables {
            let name = table.name.name.as_str();
            if !written.contains(&name) {
                self.log.seal(name).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Starts the jobs of all plans; each goes on from its newest checkpoint.
    pub(crate) fn start(&mut self, running: Running) -> End {
        let environment = Environment {
            clock: self.clock.clone(),
            log: Some(self.log.clone()),
            kafka: None,
            registry: None,
            error_tables: Arc::new(|name| Ok(script::error_table(name.clone()))),
            memory: MemoryAccountant::of_this_machine(),
            stage: None,
        };
        for (index, plan) in self.script.plans.iter().enumerate() {
            let store = match CheckpointStore::open_local(&self.checkpoint_dir(index)) {
                Ok(store) => Arc::new(store),
                Err(error) => return End::Failed(error),
            };
            let spec = JobSpec {
                statement_name: "golden".to_owned(),
                statement_uid: format!("golden-{index}"),
                plan: plan.clone(),
                parallelism: running.parallelism,
                checkpoints: Some(Checkpoints {
                    store,
                    run: "run".to_owned(),
                    start_from: StartFrom::Committed,
                }),
                config: JobConfig {
                    checkpoint_interval: running.checkpoint_interval,
                    idle_timeout: self.script.idle_timeout,
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
            match Job::start(&spec, &environment, on_event) {
                Ok(job) => self.jobs.push(Started { job, events }),
                Err(error) => return End::Failed(error),
            }
        }
        End::Done
    }

    /// Waits until the jobs have ended by themselves.
    ///
    /// # Errors
    /// When one does not in time, or ends in another way.
    pub(crate) fn finish(&mut self) -> Result<End> {
        self.end(|event| matches!(event, JobEvent::Finished))
    }

    /// Stops the jobs with a last checkpoint.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub(crate) fn stop(&mut self) -> Result<End> {
        self.jobs.iter().for_each(|running| running.job.stop());
        // Jobs without input of their own, such as VALUES, may have ended before.
        self.end(|event| matches!(event, JobEvent::Stopped { .. } | JobEvent::Finished))
    }

    /// Ends the jobs at once.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub(crate) fn cancel(&mut self) -> Result<End> {
        self.jobs.iter().for_each(|running| running.job.cancel());
        self.end(|event| matches!(event, JobEvent::Cancelled | JobEvent::Finished))
    }

    /// Takes the ends of all jobs.
    fn end(&mut self, is_expected: fn(&JobEvent) -> bool) -> Result<End> {
        let mut failed = None;
        for running in std::mem::take(&mut self.jobs) {
            match running.events.recv_timeout(PATIENCE) {
                Ok(JobEvent::Failed(error)) => failed = failed.or(Some(error)),
                Ok(event) if is_expected(&event) => {}
                Ok(event) => return Err(format!("a job ended with {event:?}")),
                Err(_) => {
                    return Err(format!(
                        "a job did not end within {PATIENCE:?}: {:#?}",
                        running.job.meter().operators
                    ));
                }
            }
        }
        Ok(failed.map_or(End::Done, End::Failed))
    }

    /// Waits until the running jobs have read everything appended.
    ///
    /// # Errors
    /// When they do not in time.
    pub(crate) fn await_read(&mut self) -> Result<()> {
        self.wait("everything is read", |world| {
            world.jobs.iter().enumerate().all(|(index, running)| {
                world.has_read(&world.script.plans[index], &running.job.meter())
            })
        })
    }

    /// Waits until the running jobs have read a number of records, but no longer than a moment.
    pub(crate) fn await_some(&self, records: u64, moment: Duration) {
        let read = || -> u64 {
            let meters = self.jobs.iter().map(|running| running.job.meter());
            meters.map(|meter| records_read(&meter)).sum()
        };
        let until = self.clock.monotonic() + moment;
        while read() < records && self.clock.monotonic() < until {
            std::thread::park_timeout(LOOK_INTERVAL);
        }
    }

    /// Waits until every running job that has read something has completed a checkpoint.
    ///
    /// # Errors
    /// When one does not in time.
    pub(crate) fn await_checkpoint(&mut self) -> Result<()> {
        self.wait("a checkpoint is complete", |world| {
            world.jobs.iter().all(|running| {
                let meter = running.job.meter();
                meter.checkpoints.completed_total > 0 || records_read(&meter) == 0
            })
        })
    }

    /// Waits until a table's watermark has gone through all jobs that read it.
    ///
    /// # Errors
    /// When it does not in time.
    pub(crate) fn await_watermark(&mut self, table: &str, watermark_ms: i64) -> Result<()> {
        let name = table_name(self.table(table)?);
        let what = format!("the watermark of {table} is {watermark_ms}");
        self.wait(&what, |world| {
            world.jobs.iter().enumerate().all(|(index, running)| {
                let (plan, meter) = (&world.script.plans[index], running.job.meter());
                splits_reach(&meter, &name, watermark_ms)
                    && operators_reach(plan, &meter, table, watermark_ms)
            })
        })
    }

    /// Waits for a condition, or until a job has ended, which whoever ends the jobs finds out.
    fn wait(&mut self, what: &str, is_met: impl Fn(&Self) -> bool) -> Result<()> {
        let until = self.clock.monotonic() + PATIENCE;
        while !is_met(self) {
            for running in &mut self.jobs {
                let (sender, again) = sync_channel(1);
                match running.events.try_recv() {
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return Ok(()),
                    Ok(event) => {
                        // Put back, for whoever ends the jobs.
                        drop(sender.send(event));
                        running.events = again;
                        return Ok(());
                    }
                }
            }
            if self.clock.monotonic() > until {
                let meters: Vec<_> = self
                    .jobs
                    .iter()
                    .map(|running| running.job.meter())
                    .collect();
                return Err(format!("not within {PATIENCE:?}: {what}: {meters:#?}"));
            }
            std::thread::park_timeout(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Whether a job has read all records of its tables.
    fn has_read(&self, plan: &StreamPlan, meter: &meter::Job) -> bool {
        plan.nodes.iter().all(|node| match &node.operator {
            Operator::TableSourceScan(scan) => {
                let appended = self.appended.get(&scan.table.name.name).copied();
                let operator = meter.operators.iter().find(|found| found.id == node.id.0);
                operator.is_some_and(|found| found.records_in_total >= appended.unwrap_or(0))
            }
            _ => true,
        })
    }

    /// Where the checkpoints of a plan are.
    fn checkpoint_dir(&self, plan: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("checkpoints-{plan}"))
    }

    /// A table's definition.
    fn table(&self, name: &str) -> Result<&'a TableDef> {
        let found = self
            .script
            .tables
            .iter()
            .find(|table| table.name.name == name);
        found.ok_or_else(|| format!("{}: no table \"{name}\"", self.case.name))
    }
}

/// Records that a job has read since it was started.
fn records_read(meter: &meter::Job) -> u64 {
    let read = meter
        .tables
        .iter()
        .filter(|table| table.direction == meter::Direction::Read);
    read.map(|table| table.records_total).sum()
}

/// A table's name as the meter has it.
fn table_name(table: &TableDef) -> String {
    format!(
        "{}.{}.{}",
        table.name.catalog, table.name.database, table.name.name
    )
}

/// Whether the watermark of all active splits of a table has come this far; also when no job reads it.
fn splits_reach(meter: &meter::Job, table: &str, watermark_ms: i64) -> bool {
    let mut splits = meter.splits.iter().filter(|split| split.table == table);
    let has_split = splits.clone().next().is_some();
    let reads = meter
        .tables
        .iter()
        .any(|read| read.name == table && read.direction == meter::Direction::Read);
    // An idle split does not hold the others back.
    let reached = splits.all(|split| {
        split.is_idle
            || split
                .watermark_ms
                .is_some_and(|reached| reached >= watermark_ms)
    });
    !reads || (has_split && reached)
}

/// Whether the watermark has reached every operator behind an exchange that has no other source than this table. Elsewhere rows cannot
/// overtake it, and the subtask of an idle split does not see it.
fn operators_reach(plan: &StreamPlan, meter: &meter::Job, table: &str, watermark_ms: i64) -> bool {
    plan.nodes.iter().all(|node| {
        let operator = meter.operators.iter().find(|found| found.id == node.id.0);
        let reached = operator.and_then(|found| found.input_watermark_ms);
        node.inputs
            .iter()
            .all(|input| input.exchange == Exchange::Forward)
            || !only_reads(plan, node.id, table)
            || reached.is_some_and(|reached| reached >= watermark_ms)
    })
}

/// Whether all sources of a node are scans of one table.
fn only_reads(plan: &StreamPlan, id: NodeId, table: &str) -> bool {
    let Some(node) = plan.node(id) else {
        return false;
    };
    match &node.operator {
        Operator::TableSourceScan(scan) => scan.table.name.name == table,
        Operator::Values { .. } => false,
        _ => node
            .inputs
            .iter()
            .all(|input| only_reads(plan, input.node, table)),
    }
}

/// Key and value bytes of a record.
struct Encoded {
    /// Key.
    key: Option<Vec<u8>>,
    /// Value.
    value: Option<Vec<u8>>,
}

/// The bytes of a record: the columns of the key are those that the table is keyed or distributed by, the value has the rest.
fn encode(table: &TableDef, content: &Content) -> Result<Encoded> {
    let fields = match content {
        Content::Raw { key, value } => {
            return Ok(Encoded {
                key: key.clone().map(String::into_bytes),
                value: Some(value.clone()),
            });
        }
        Content::Tombstone(key) => {
            return Ok(Encoded {
                key: Some(key.clone().into_bytes()),
                value: None,
            });
        }
        Content::Row(fields) => fields,
    };
    let keys = if table.primary_key.is_empty() {
        &table.distributed_by
    } else {
        &table.primary_key
    };
    let is_in_both = table.option("value.fields-include") == Some("all");
    let object = |is_in: &dyn Fn(&String) -> bool| {
        let chosen: input::Fields = fields
            .iter()
            .filter(|(name, _)| is_in(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        serde_json::to_vec(&chosen).map_err(|error| error.to_string())
    };
    let key = (!keys.is_empty())
        .then(|| object(&|name| keys.contains(name)))
        .transpose()?;
    let value = object(&|name| is_in_both || !keys.contains(name))?;
    Ok(Encoded {
        key,
        value: Some(value),
    })
}
