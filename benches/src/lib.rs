//! What the benchmarks share: a job over generated rows, and what a process has used.
//!
//! Place in the flow: programs in `src/bin/` measure, their figures are kept in `results/`. Invariant: nothing here is measured by
//! itself.

#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark measures wall time, and its figures have three digits"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use weir_model::meter;
use weir_runtime::checkpoint::store::CheckpointStore;
use weir_runtime::plan::StreamPlan;
use weir_runtime::sql::catalog::MemoryCatalog;
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, analyze, parse};
use weir_runtime::task::{
    Checkpoints, Environment, Job, JobConfig, JobEvent, JobSpec, MemoryAccountant, StartFrom,
};
use weir_runtime::time::SystemClock;

/// Pause between two looks at a running job: short against everything that is measured, long enough to cost nothing.
pub const LOOK: Duration = Duration::from_millis(2);

/// A running job.
#[derive(Debug)]
pub struct Running {
    /// The job.
    pub job: Job,
    /// Where its end is reported.
    pub events: Receiver<JobEvent>,
    /// When its start was asked for.
    pub asked_at: Instant,
}

/// Parses and plans a script; the plan of its query.
///
/// # Errors
/// What is wrong with the script, or that it has no query.
pub fn plan(script: &str) -> Result<StreamPlan> {
    let (mut catalog, session) = (MemoryCatalog::new(), Session::default());
    for statement in parse(script)? {
        match analyze(&statement, &catalog, &session)? {
            Bound::CreateTable { table, .. } => catalog.put_table(table),
            Bound::Query(plan, _) | Bound::Insert(plan, _) => return Ok(plan),
            other => bail!("not in a benchmark: {other:?}"),
        }
    }
    bail!("there is no query")
}

/// Starts a plan in one slot, with checkpoints in a directory; it goes on from the newest one there.
///
/// # Errors
/// Whatever keeps the job from starting.
pub fn start(plan: StreamPlan, checkpoint_dir: &Path, config: JobConfig) -> Result<Running> {
    let environment = Environment {
        clock: SystemClock::shared(),
        log: None,
        kafka: None,
        registry: None,
        error_tables: Arc::new(|name| {
            Err(weir_runtime::Error::internal(format!(
                "no error table {name} here"
            )))
        }),
        memory: MemoryAccountant::of_this_machine(),
        stage: None,
    };
    let asked_at = Instant::now();
    let spec = JobSpec {
        statement_name: "bench".into(),
        statement_uid: "bench".into(),
        plan,
        parallelism: 1,
        checkpoints: Some(Checkpoints {
            store: Arc::new(CheckpointStore::open_local(checkpoint_dir)?),
            run: "run".into(),
            start_from: StartFrom::Committed,
        }),
        config,
    };
    let (sender, events) = sync_channel(1);
    let on_event = Box::new(move |event| drop(sender.send(event)));
    let job = Job::start(&spec, &environment, on_event)?;
    Ok(Running {
        job,
        events,
        asked_at,
    })
}

impl Running {
    /// The meter's figures, unless the job has ended.
    ///
    /// # Errors
    /// How the job has ended.
    pub fn meter(&self) -> Result<meter::Job> {
        if let Ok(event) = self.events.try_recv() {
            bail!("the job has ended: {event:?}");
        }
        Ok(self.job.meter())
    }

    /// Rows that the source has emitted.
    ///
    /// # Errors
    /// As [`Self::meter`].
    pub fn rows(&self) -> Result<u64> {
        let meter = self.meter()?;
        let source = meter.operators.first().context("a job has a source")?;
        Ok(source.records_out_total)
    }

    /// Rows a second over some time.
    ///
    /// # Errors
    /// As [`Self::meter`].
    pub fn rate(&self, over: Duration) -> Result<f64> {
        let (rows, since) = (self.rows()?, Instant::now());
        std::thread::sleep(over);
        Ok((self.rows()? - rows) as f64 / since.elapsed().as_secs_f64())
    }
}

/// The largest resident memory that this process had, bytes.
///
/// # Errors
/// When the system does not say.
pub fn peak_resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kibibytes.context("VmHWM in kB")?.trim().parse::<u64>()? << 10)
}

/// CPU time that this process has used, all its threads together, seconds.
pub fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
