//! Whole jobs over generated rows: exchanges, checkpoints, stop and resume, end of input.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use weir_runtime::checkpoint::store::CheckpointStore;
use weir_runtime::connector::log::LogStore;
use weir_runtime::connector::source::SplitPosition;
use weir_runtime::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Column, Exchange, Input, LateRows, Node,
    NodeId, Operator, PLAN_VERSION, ReadColumn, Scan, SinkSpec, SinkTarget, StreamPlan,
};
use weir_runtime::sql::catalog::{ColumnKind, ObjectName, TableColumn, TableDef};
use weir_runtime::task::{
    Checkpoints, Environment, Job, JobConfig, JobEvent, JobSpec, MemoryAccountant, StartFrom,
};
use weir_runtime::time::SystemClock;
use weir_runtime::types::TypeKind;

/// Longest wait for anything in these tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A `datagen` table of `id` (0, 1, ...) and `k` (0 to 99).
fn table(rows: u64, rows_per_second: u64) -> TableDef {
    let name = ObjectName {
        catalog: "default".into(),
        database: "cluster_0".into(),
        name: "numbers".into(),
    };
    let column = |name: &str| TableColumn {
        name: name.into(),
        ty: TypeKind::BigInt.nullable(),
        kind: ColumnKind::Physical,
        comment: None,
    };
    let options = [
        ("connector", "datagen".to_owned()),
        ("rows-per-second", rows_per_second.to_string()),
        ("fields.id.kind", "sequence".to_owned()),
        ("fields.id.start", "0".to_owned()),
        ("fields.id.end", (rows - 1).to_string()),
        ("fields.k.min", "0".to_owned()),
        ("fields.k.max", "99".to_owned()),
    ];
    TableDef {
        name,
        columns: vec![column("id"), column("k")],
        watermark: None,
        primary_key: Vec::new(),
        distributed_by: Vec::new(),
        buckets: None,
        options: options
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<BTreeMap<_, _>>(),
        comment: None,
    }
}

/// `COUNT(*)` of a node.
fn count() -> AggregateCall {
    AggregateCall {
        function: AggregateFunction::Count,
        argument: None,
        further: Vec::new(),
        filter: None,
        distinct: false,
        ty: TypeKind::BigInt.not_null(),
    }
}

/// A node after the one before it.
fn node(
    id: u32,
    operator: Operator,
    exchange: Exchange,
    names: &[&str],
    changelog: ChangelogMode,
) -> Node {
    let schema = names
        .iter()
        .map(|name| Column {
            name: (*name).into(),
            ty: TypeKind::BigInt.nullable(),
        })
        .collect();
    let inputs = if id == 1 {
        Vec::new()
    } else {
        vec![Input {
            node: NodeId(id - 1),
            exchange,
        }]
    };
    Node {
        id: NodeId(id),
        operator,
        inputs,
        schema,
        changelog,
        upsert_key: None,
        rowtime: None,
        state_ttls_ms: Vec::new(),
    }
}

/// `SELECT c, COUNT(*) FROM (SELECT k, COUNT(*) AS c FROM numbers GROUP BY k) GROUP BY c`: two exchanges.
pub(crate) fn plan(rows: u64, rows_per_second: u64) -> StreamPlan {
    let read = |name: &str| ReadColumn {
        name: name.into(),
        ty: TypeKind::BigInt.nullable(),
        metadata: None,
    };
    let scan = Scan {
        table: table(rows, rows_per_second),
        read: vec![read("id"), read("k")],
        projections: None,
        watermark: None,
        late: LateRows::default(),
    };
    let columns = ["c", "n"].map(|name| Column {
        name: name.into(),
        ty: TypeKind::BigInt.nullable(),
    });
    let sink = SinkSpec {
        target: SinkTarget::Results,
        columns: columns.into(),
        primary_key: Vec::new(),
        changelog: ChangelogMode::Retract,
        upsert_materialize: false,
        on_conflict: None,
    };
    let by = |column: usize| Operator::GroupAggregate {
        keys: vec![column],
        aggregates: vec![count()],
    };
    let nodes = vec![
        node(
            1,
            Operator::TableSourceScan(scan),
            Exchange::Forward,
            &["id", "k"],
            ChangelogMode::Append,
        ),
        node(
            2,
            by(1),
            Exchange::Hash(vec![1]),
            &["k", "c"],
            ChangelogMode::Retract,
        ),
        node(
            3,
            by(1),
            Exchange::Hash(vec![1]),
            &["c", "n"],
            ChangelogMode::Retract,
        ),
        node(
            4,
            Operator::Sink(sink),
            Exchange::Single,
            &["c", "n"],
            ChangelogMode::Retract,
        ),
    ];
    StreamPlan {
        version: PLAN_VERSION,
        nodes,
        time_zone: "UTC".into(),
    }
}

/// A started job and where its end is reported.
pub(crate) fn start(
    plan: StreamPlan,
    parallelism: usize,
    queue_bytes: usize,
    checkpoint_dir: Option<PathBuf>,
) -> (Job, Receiver<JobEvent>) {
    let checkpoints = checkpoint_dir.map(|dir| checkpoints(&dir, "run", StartFrom::Committed));
    start_from(plan, parallelism, queue_bytes, checkpoints)
}

/// Checkpoints in a directory.
pub(crate) fn checkpoints(dir: &Path, run: &str, start_from: StartFrom) -> Checkpoints {
    Checkpoints {
        store: Arc::new(CheckpointStore::open_local(dir).unwrap()),
        run: run.into(),
        start_from,
    }
}

/// As [`start`], going on from any checkpoint.
pub(crate) fn start_from(
    plan: StreamPlan,
    parallelism: usize,
    queue_bytes: usize,
    checkpoints: Option<Checkpoints>,
) -> (Job, Receiver<JobEvent>) {
    let config = JobConfig {
        exchange_queue_bytes: queue_bytes,
        results_rows_max: 1 << 24,
        checkpoint_interval: Duration::from_millis(50),
        ..JobConfig::default()
    };
    start_with(plan, parallelism, checkpoints, (config, None))
}

/// As [`start_from`], with other settings, and a log to read.
pub(crate) fn start_with(
    plan: StreamPlan,
    parallelism: usize,
    checkpoints: Option<Checkpoints>,
    (config, log): (JobConfig, Option<Arc<LogStore>>),
) -> (Job, Receiver<JobEvent>) {
    let environment = Environment {
        clock: SystemClock::shared(),
        log,
        kafka: None,
        registry: None,
        error_tables: Arc::new(|name| panic!("no error table {name} in this test")),
        memory: MemoryAccountant::of_this_machine(),
        stage: None,
    };
    let spec = JobSpec {
        statement_name: "test".into(),
        statement_uid: "uid".into(),
        plan,
        parallelism,
        checkpoints,
        config,
    };
    let (sender, events) = sync_channel(1);
    let on_event = Box::new(move |event| sender.send(event).unwrap());
    let job = Job::start(&spec, &environment, on_event).unwrap();
    (job, events)
}

/// Folds the results of a job until it ends.
pub(crate) fn fold(
    job: &Job,
    events: &Receiver<JobEvent>,
    folded: &mut HashMap<Vec<i64>, i64>,
) -> JobEvent {
    let results = job.results().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut next = 0;
    loop {
        let page = results.page(next, 500);
        for batch in &page.batches {
            for row in 0..batch.rows {
                let values = batch
                    .columns
                    .iter()
                    .map(|column| column.as_primitive::<Int64Type>().value(row));
                let change = if batch.kind(row).is_retraction() {
                    -1
                } else {
                    1
                };
                *folded.entry(values.collect()).or_default() += change;
            }
        }
        next = page.next;
        if page.finished {
            return events
                .recv_timeout(PATIENCE)
                .expect("the job ends after its results");
        }
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE, results.changed(next)).await })
            .expect("results or their end come in time");
    }
}

/// Rows that a generated table has made up to these positions: its lanes are rows 64 apart.
pub(crate) fn rows_of(positions: &[SplitPosition]) -> i64 {
    positions.iter().map(|position| position.offset / 64).sum()
}

/// What the query gives, computed from what the first aggregation counted.
pub(crate) fn check(folded: HashMap<Vec<i64>, i64>, rows: i64) {
    let left: Vec<_> = folded
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .collect();
    assert!(
        left.iter().all(|(_, count)| *count == 1),
        "every result row stands once: {left:?}"
    );
    let keys: i64 = left.iter().map(|(row, _)| row[1]).sum();
    let records: i64 = left.iter().map(|(row, _)| row[0] * row[1]).sum();
    assert_eq!((keys, records), (100, rows));
}

#[test]
fn two_exchanges_at_parallelism_three_with_queues_of_one_batch_end_with_the_right_result() {
    let rows = 200_000;
    let (job, events) = start(plan(rows, 100_000_000), 3, 1, None);
    let mut folded = HashMap::new();
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    check(folded, rows.cast_signed());
    let meter = job.meter();
    assert_eq!(meter.operators[0].records_out_total, rows);
    assert_eq!(meter.operators[1].records_in_total, rows);
    assert_eq!(meter.operators[1].state_keys, 100);
    assert!(
        meter
            .slots
            .iter()
            .all(|slot| slot.cpu_ns > 0 && slot.busy_ns > 0)
    );
    assert_eq!(
        meter
            .splits
            .iter()
            .map(|split| split.pending_records)
            .sum::<Option<u64>>(),
        Some(0)
    );
}

#[test]
fn the_result_does_not_depend_on_parallelism() {
    let results: Vec<_> = [1, 2, 4]
        .into_iter()
        .map(|parallelism| {
            let (job, events) = start(plan(20_000, 100_000_000), parallelism, 4 << 20, None);
            let mut folded = HashMap::new();
            assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
            folded.retain(|_, count| *count != 0);
            folded
        })
        .collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_stopped_job_goes_on_from_its_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let rows = 30_000;
    let mut folded = HashMap::new();
    let (job, events) = start(plan(rows, 10_000), 2, 4 << 20, Some(dir.path().to_owned()));
    let mut waited = Duration::ZERO;
    while job.meter().checkpoints.completed_total < 2 {
        std::thread::park_timeout(Duration::from_millis(10));
        waited += Duration::from_millis(10);
        assert!(waited < PATIENCE, "checkpoints complete");
    }
    job.stop();
    let JobEvent::Stopped { positions } = fold(&job, &events, &mut folded) else {
        panic!("the job was stopped")
    };
    let read = rows_of(&positions);
    assert!(
        (1..rows.cast_signed()).contains(&read),
        "{read} rows were read before the stop"
    );

    let (job, events) = start(plan(rows, 10_000), 2, 4 << 20, Some(dir.path().to_owned()));
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    check(folded, rows.cast_signed());
}

#[test]
fn cancelling_ends_a_job_at_once() {
    let (job, events) = start(plan(1_000_000, 10), 1, 4 << 20, None);
    job.cancel();
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), JobEvent::Cancelled);
}

#[test]
fn draining_ends_an_endless_table_with_all_its_rows() {
    let (job, events) = start(plan(1_000_000, 1000), 2, 4 << 20, None);
    let mut waited = Duration::ZERO;
    while job.meter().operators[1].records_in_total < 50 {
        std::thread::park_timeout(Duration::from_millis(10));
        waited += Duration::from_millis(10);
        assert!(waited < PATIENCE, "rows come");
    }
    job.drain();
    let mut folded = HashMap::new();
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    folded.retain(|_, count| *count != 0);
    let records: i64 = folded.keys().map(|row| row[0] * row[1]).sum();
    assert_eq!(
        records.cast_unsigned(),
        job.meter().operators[0].records_out_total
    );
}
