//! Queries in the runtime: from SQL to a changelog.
//!
//! Place in the flow: parses, binds and plans a query as the server does, and runs its plan on this thread. Invariant: the only file that
//! calls jobs; one seed decides in which order slots act.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType};
use weir_runtime::checkpoint::store::testing::MemoryObjects;
use weir_runtime::checkpoint::store::{
    CheckpointStore, Components, Location, Options, TransferOptions,
};
use weir_runtime::connector::results::Results;
use weir_runtime::plan::StreamPlan;
use weir_runtime::sql::catalog::MemoryCatalog;
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, analyze, parse};
use weir_runtime::task::{
    Checkpoints, Environment, IdleTimeout, JobConfig, JobEvent, JobSpec, MemoryAccountant,
    StartFrom, check_executable,
};
use weir_runtime::testing::{SimulatedClock, SteppedJob};
use weir_runtime::{Error, Result, RowKind};

use crate::fault::Fault;
use crate::random::Random;
use crate::source::{Giving, Memory};
use crate::tables::{Content, TABLES};
use crate::value::{Row, Value};

/// Turns of a run at most: one takes some hundred.
const TURNS_MAX: u32 = 1_000_000;

/// A changelog.
pub(crate) type Changes = Vec<(RowKind, Row)>;

/// How a query is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    /// What chooses whose turn it is.
    pub(crate) seed: u64,
    /// Slots.
    pub(crate) parallelism: usize,
    /// How tables are given.
    pub(crate) giving: Giving,
    /// What happens in the middle.
    pub(crate) cut: Option<Cut>,
}

/// What happens in the middle of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// After so many turns.
    pub(crate) turns: u32,
    /// Slots from then on.
    pub(crate) parallelism: usize,
    /// Whether the job is stopped and restored, or changes its slots while it runs.
    pub(crate) restores: bool,
}

impl Running {
    /// A random way.
    pub(crate) fn random(random: &mut Random) -> Self {
        let cut = random.once_in(4).then(|| Cut {
            turns: 1 + u32::try_from(random.below(60)).unwrap_or_default(),
            parallelism: 1 + random.below(4),
            restores: random.once_in(2),
        });
        Self {
            seed: random.bits(),
            parallelism: random.pick(&[1, 1, 2, 3]),
            giving: Giving {
                seed: random.bits(),
                splits: random.pick(&[1, 1, 2, 3]),
                batch_rows_max: random.pick(&[1, 2, 5, 20]),
            },
            cut,
        }
    }

    /// Ways that are simpler, the simplest first.
    pub(crate) fn simpler(self) -> Vec<Self> {
        let simplest = Self {
            parallelism: 1,
            giving: Giving {
                splits: 1,
                batch_rows_max: 1,
                ..self.giving
            },
            cut: None,
            ..self
        };
        let giving = |giving| Self { giving, ..self };
        let ways = [
            simplest,
            Self { cut: None, ..self },
            Self {
                parallelism: 1,
                ..self
            },
            giving(Giving {
                splits: 1,
                ..self.giving
            }),
            giving(Giving {
                batch_rows_max: 1,
                ..self.giving
            }),
        ];
        ways.into_iter().filter(|way| *way != self).collect()
    }
}

/// Where queries are bound: the tables, and nothing else.
#[derive(Debug)]
pub(crate) struct World {
    /// The tables.
    catalog: MemoryCatalog,
    /// The time zone.
    session: Session,
    /// Memory of the machine.
    memory: Arc<MemoryAccountant>,
}

impl World {
    /// A world with all tables.
    ///
    /// # Errors
    /// When a definition is not taken.
    pub(crate) fn new() -> Result<Self> {
        let mut session = Session::default();
        session.set("sql.local-time-zone", "UTC")?;
        let mut catalog = MemoryCatalog::new();
        for table in &TABLES {
            for statement in &parse(&table.sql())? {
                if let Bound::CreateTable { table: mut def, .. } =
                    analyze(statement, &catalog, &session)?
                {
                    // Declared with a connector that takes any columns; the stage reads it.
                    let options = [("connector", "values"), ("changelog.mode", table.mode)];
                    def.options = options
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .into();
                    catalog.put_table(def);
                }
            }
        }
        Ok(Self {
            catalog,
            session,
            memory: MemoryAccountant::of_this_machine(),
        })
    }

    /// The plan of a query.
    ///
    /// # Errors
    /// Why it does not bind; `Unsupported` when it cannot be executed.
    pub(crate) fn plan(&self, sql: &str) -> Result<StreamPlan> {
        let statements = parse(sql)?;
        let [statement] = statements.as_slice() else {
            return Err(Error::internal("not one statement"));
        };
        match analyze(statement, &self.catalog, &self.session)? {
            Bound::Query(plan, _) => {
                check_executable(&plan)?;
                Ok(plan)
            }
            _ => Err(Error::internal("not a query")),
        }
    }

    /// The changelog of a plan over tables with these contents.
    ///
    /// # Errors
    /// Why the job has failed.
    pub(crate) fn run(
        &self,
        plan: &StreamPlan,
        contents: &[Content],
        running: Running,
        fault: Option<Fault>,
    ) -> Result<Changes> {
        let clock = SimulatedClock::shared();
        let environment = Environment {
            clock: clock.clone(),
            log: None,
            kafka: None,
            registry: None,
            error_tables: Arc::new(|_| Err(Error::internal("there are no error tables"))),
            memory: self.memory.clone(),
            stage: Some(Arc::new(Memory::new(contents, running.giving, fault))),
        };
        let mut spec = JobSpec {
            statement_name: "differential".to_owned(),
            statement_uid: "differential".to_owned(),
            plan: plan.clone(),
            parallelism: running.parallelism,
            checkpoints: running.cut.map(|_| checkpoints()),
            config: JobConfig {
                checkpoint_interval: std::time::Duration::from_hours(24),
                idle_timeout: IdleTimeout::Disabled,
                results_rows_max: usize::MAX,
                ..JobConfig::default()
            },
        };
        let start = |spec: &JobSpec, seed| {
            let job = SteppedJob::start(spec, &environment, clock.clone(), seed)?;
            let results = job.results();
            let results = results.ok_or_else(|| Error::internal("the job has no results"))?;
            Ok::<_, Error>((job, results))
        };
        let (mut job, results) = start(&spec, running.seed)?;
        let mut end = None;
        if let Some(cut) = running.cut {
            end = turns(&mut job, cut.turns);
            if end.is_none() && cut.restores {
                job.stop();
                match to_end(end, &mut job)? {
                    JobEvent::Stopped { .. } => {}
                    other => return changes_of(other, &[results]),
                }
                spec.parallelism = cut.parallelism;
                let (mut job, more) = start(&spec, running.seed)?;
                let end = to_end(None, &mut job)?;
                return changes_of(end, &[results, more]);
            }
            if end.is_none() {
                job.rescale(cut.parallelism);
            }
        }
        changes_of(to_end(end, &mut job)?, &[results])
    }
}

/// Takes so many turns; the end, if it came.
fn turns(job: &mut SteppedJob, count: u32) -> Option<JobEvent> {
    (0..count).find_map(|_| job.turn())
}

/// Takes turns to the end, unless it came already.
fn to_end(end: Option<JobEvent>, job: &mut SteppedJob) -> Result<JobEvent> {
    end.or_else(|| turns(job, TURNS_MAX))
        .ok_or_else(|| Error::internal("the job does not end"))
}

/// What a job that has ended has written.
fn changes_of(end: JobEvent, results: &[Arc<Results>]) -> Result<Changes> {
    match end {
        // Input may be at its end when a job is stopped.
        JobEvent::Finished | JobEvent::Stopped { .. } => {}
        JobEvent::Failed(error) => return Err(error),
        JobEvent::Cancelled => return Err(Error::internal("nobody has cancelled the job")),
    }
    let mut changes = Vec::new();
    for batch in results
        .iter()
        .flat_map(|results| results.page(0, usize::MAX).batches)
    {
        for row in 0..batch.rows {
            let values = batch.columns.iter().map(|column| value(column, row));
            changes.push((batch.kind(row), values.collect::<Result<_>>()?));
        }
    }
    Ok(changes)
}

/// A place in memory for the checkpoints of one job.
fn checkpoints() -> Checkpoints {
    let options = Options {
        transfer: TransferOptions {
            // On the calling thread.
            parallelism: 1,
            ..TransferOptions::default()
        },
        ..Options::default()
    };
    let location = Location::parse("s3://memory/differential").expect("a fixed text");
    let objects = Arc::new(MemoryObjects::default());
    let store = CheckpointStore::over(objects, &location, &options, Components::system());
    Checkpoints {
        store: Arc::new(store),
        run: "run".to_owned(),
        start_from: StartFrom::Committed,
    }
}

/// A value of a column.
fn value(column: &ArrayRef, row: usize) -> Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            Value::Int(column.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::Utf8 => Value::text(column.as_string::<i32>().value(row)),
        DataType::Null => Value::Null,
        other => return Err(Error::internal(format!("a result of type {other}"))),
    })
}
