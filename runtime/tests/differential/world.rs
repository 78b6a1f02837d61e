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

use crate::case::Case;
use crate::fault::Fault;
use crate::output::{Output, Target};
use crate::random::Random;
use crate::source::{Giving, Memory};
use crate::tables::TABLES;
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
        let mut world = Self {
            catalog: MemoryCatalog::new(),
            session,
            memory: MemoryAccountant::of_this_machine(),
        };
        let mut catalog = MemoryCatalog::new();
        for table in &TABLES {
            world.declare(&mut catalog, &table.sql(), table.mode)?;
        }
        world.catalog = catalog;
        Ok(world)
    }

    /// The plan of a query, or of several that are written into tables.
    ///
    /// # Errors
    /// Why it does not bind; `Unsupported` when it cannot be executed.
    pub(crate) fn plan(&self, outputs: &[Output]) -> Result<StreamPlan> {
        let mut catalog = self.catalog.clone();
        let mut inserts = Vec::new();
        for (number, output) in outputs.iter().enumerate() {
            let query = output.sql();
            let Target::Table(key) = &output.target else {
                return self.bound(&query, &catalog);
            };
            let plan = self.bound(&query, &catalog)?;
            let table = written_table(&plan, key, number)?;
            self.declare(&mut catalog, &table.0, table.1)?;
            inserts.push(format!("INSERT INTO {} {query};", written_name(number)));
        }
        let statement = match inserts.as_slice() {
            [only] => only.clone(),
            several => format!("EXECUTE STATEMENT SET BEGIN {} END", several.join(" ")),
        };
        self.bound(&statement, &catalog)
    }

    /// The plan of a statement.
    fn bound(&self, sql: &str, catalog: &MemoryCatalog) -> Result<StreamPlan> {
        let statements = parse(sql)?;
        let [statement] = statements.as_slice() else {
            return Err(Error::internal("not one statement"));
        };
        match analyze(statement, catalog, &self.session)? {
            Bound::Query(plan, _) | Bound::Insert(plan, _) => {
                check_executable(&plan)?;
                Ok(plan)
            }
            _ => Err(Error::internal("neither a query nor an INSERT")),
        }
    }

    /// Declares a table. The connector in the SQL takes any columns; the stage reads and writes the table.
    fn declare(&self, catalog: &mut MemoryCatalog, sql: &str, mode: &str) -> Result<()> {
        for statement in &parse(sql)? {
            if let Bound::CreateTable { table: mut def, .. } =
                analyze(statement, &*catalog, &self.session)?
            {
                let options = [("connector", "values"), ("changelog.mode", mode)];
                def.options = options
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into();
                catalog.put_table(def);
            }
        }
        Ok(())
    }

    /// The changelogs of the plan of a case, by output.
    ///
    /// # Errors
    /// Why the job has failed.
    pub(crate) fn run(
        &self,
        plan: &StreamPlan,
        case: &Case,
        fault: Option<Fault>,
    ) -> Result<Vec<Changes>> {
        let running = case.running;
        let clock = SimulatedClock::shared();
        let memory = Arc::new(Memory::new(&case.contents, running.giving, fault));
        let environment = Environment {
            clock: clock.clone(),
            log: None,
            kafka: None,
            registry: None,
            error_tables: Arc::new(|_| Err(Error::internal("there are no error tables"))),
            memory: self.memory.clone(),
            stage: Some(memory.clone()),
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
                // Tables are fed one after the other.
                watermark_drift: None,
                results_rows_max: usize::MAX,
                ..JobConfig::default()
            },
        };
        let mut job = SteppedJob::start(&spec, &environment, clock.clone(), running.seed)?;
        let mut results: Vec<Arc<Results>> = job.results().into_iter().collect();
        let mut end = None;
        if let Some(cut) = running.cut {
            end = turns(&mut job, cut.turns);
            if end.is_none() && cut.restores {
                job.stop();
                let stopped = to_end(end, &mut job)?;
                let has_stopped = matches!(stopped, JobEvent::Stopped { .. });
                end = Some(stopped);
                if has_stopped {
                    spec.parallelism = cut.parallelism;
                    job = SteppedJob::start(&spec, &environment, clock, running.seed)?;
                    results.extend(job.results());
                    end = None;
                }
            } else if end.is_none() {
                job.rescale(cut.parallelism);
            }
        }
        ended(to_end(end, &mut job)?)?;
        let outputs = case.outputs.iter().enumerate();
        let changes = outputs.map(|(number, output)| match output.target {
            Target::Client => changes_of(&results),
            Target::Table(_) => changes_of(&[memory.written(&written_name(number))]),
        });
        changes.collect()
    }
}

/// The name of a table that is written.
fn written_name(number: usize) -> String {
    format!("w{number}")
}

/// The SQL and the changelog mode of a table that takes the rows of a query.
fn written_table(
    plan: &StreamPlan,
    key: &[usize],
    number: usize,
) -> Result<(String, &'static str)> {
    let schema = plan.nodes.last().map(|node| &node.schema);
    let schema = schema.ok_or_else(|| Error::internal("a plan without operators"))?;
    let columns = schema.iter().enumerate();
    let mut parts: Vec<String> = columns
        .map(|(place, column)| format!("c{place} {}", column.ty))
        .collect();
    for column in key {
        if !parts[*column].ends_with("NOT NULL") {
            parts[*column].push_str(" NOT NULL");
        }
    }
    if !key.is_empty() {
        let key: Vec<String> = key.iter().map(|place| format!("c{place}")).collect();
        parts.push(format!("PRIMARY KEY ({}) NOT ENFORCED", key.join(", ")));
    }
    let (name, parts) = (written_name(number), parts.join(", "));
    let sql = format!("CREATE TABLE {name} ({parts}) WITH ('connector' = 'blackhole')");
    Ok((sql, if key.is_empty() { "retract" } else { "upsert" }))
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

/// Whether a job has come to its end.
fn ended(end: JobEvent) -> Result<()> {
    match end {
        // Input may be at its end when a job is stopped.
        JobEvent::Finished | JobEvent::Stopped { .. } => Ok(()),
        JobEvent::Failed(error) => Err(error),
        JobEvent::Cancelled => Err(Error::internal("nobody has cancelled the job")),
    }
}

/// What jobs have written.
fn changes_of(results: &[Arc<Results>]) -> Result<Changes> {
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
