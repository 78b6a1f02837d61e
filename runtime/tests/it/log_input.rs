//! Jobs that read the embedded log: checkpoints only of what is durable, and what is read of transactions.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use weir_runtime::checkpoint::commit::{Committer, EpochRecord};
use weir_runtime::checkpoint::store::CheckpointStore;
use weir_runtime::connector::log::{
    FsyncPolicy, LogOptions, LogSink, LogStore, LogTransactions, Record, TopicConfig,
};
use weir_runtime::connector::sink::{EncodedBatch, Sink, Transactions, WriterContext};
use weir_runtime::connector::source::Range;
use weir_runtime::plan::{Operator, StreamPlan};
use weir_runtime::task::{Job, JobConfig, JobEvent, StartFrom, Waker};
use weir_runtime::time::SystemClock;

use crate::job::{PATIENCE, checkpoints, plan, start_with};

/// The plan of the other tests, reading a topic at an isolation level.
fn reading_the_log(isolation: &str) -> StreamPlan {
    let mut plan = plan(1, 1);
    for node in &mut plan.nodes {
        if let Operator::TableSourceScan(scan) = &mut node.operator {
            let options = [
                ("value.format", "json"),
                ("kafka.consumer.isolation-level", isolation),
            ];
            let owned = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
            scan.table.options = owned.into();
        }
    }
    plan
}

/// Starts a job that takes a checkpoint only when it is asked for one.
fn start(log: &Arc<LogStore>, dir: &Path) -> (Job, Receiver<JobEvent>) {
    start_reading(log, dir, "read-committed")
}

/// As [`start`], at an isolation level.
fn start_reading(log: &Arc<LogStore>, dir: &Path, isolation: &str) -> (Job, Receiver<JobEvent>) {
    let config = JobConfig {
        checkpoint_interval: Duration::from_hours(1),
        ..JobConfig::default()
    };
    let kept = checkpoints(dir, "run", StartFrom::Committed);
    let outside = (config, Some(Arc::clone(log)));
    start_with(reading_the_log(isolation), 1, Some(kept), outside)
}

/// A log that syncs nothing by itself, with an empty topic.
fn log_in(dir: &Path, fsync: FsyncPolicy) -> Arc<LogStore> {
    let options = LogOptions {
        fsync,
        ..LogOptions::default()
    };
    let log = LogStore::open(dir, options, SystemClock::shared()).unwrap();
    let config = TopicConfig {
        partitions: 1,
        retention_ms: None,
        compacted: false,
    };
    log.create_topic("numbers", config).unwrap();
    log
}

/// Appends rows and waits until the job has read as many in all.
fn append_and_await(log: &LogStore, job: &Job, rows_in_all: u64) {
    let value = br#"{"id": 1, "k": 2}"#;
    let record = Record {
        key: None,
        value: Some(value),
        timestamp_ms: 0,
        headers: &[],
    };
    log.append("numbers", 0, &[record; 10]).unwrap();
    await_rows(job, rows_in_all);
}

/// Waits until the job has read so many rows.
fn await_rows(job: &Job, rows_in_all: u64) {
    let mut waited = Duration::ZERO;
    while job.meter().operators[0].records_out_total < rows_in_all {
        std::thread::park_timeout(Duration::from_millis(5));
        waited += Duration::from_millis(5);
        assert!(waited < PATIENCE, "rows are read");
    }
}

/// Puts a file in the place of the segment that opens and cannot be synced.
fn make_unsyncable(log_dir: &Path) {
    let path = log_dir.join("numbers/0/00000000000000000000.log");
    fs::rename(&path, log_dir.join("aside")).unwrap();
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
}

#[test]
fn a_checkpoint_waits_for_the_sync_of_what_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let (log_dir, kept) = (dir.path().join("log"), dir.path().join("kept"));
    let log = log_in(&log_dir, FsyncPolicy::Interval(Duration::from_hours(1)));
    let (job, events) = start(&log, &kept);
    append_and_await(&log, &job, 10);
    let taken = |name: &str| job.savepoint(name).recv_timeout(PATIENCE).unwrap();
    taken("synced").unwrap();
    append_and_await(&log, &job, 20);
    make_unsyncable(&log_dir);
    // The answer goes with the job.
    drop(job.savepoint("unsynced"));
    let JobEvent::Failed(error) = events.recv_timeout(PATIENCE).unwrap() else {
        panic!("a failed sync ends the job")
    };
    assert!(error.message.contains("cannot sync"), "{error}");
    assert!(error.message.contains("numbers/0"), "{error}");
    let store = CheckpointStore::open_local(&kept).unwrap();
    assert_eq!(store.list_savepoints().unwrap(), ["synced"]);
}

#[test]
fn a_checkpoint_syncs_nothing_that_is_durable_and_nothing_under_never() {
    for fsync in [
        FsyncPolicy::Never,
        FsyncPolicy::Always,
        FsyncPolicy::Interval(Duration::from_hours(1)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (log_dir, kept) = (dir.path().join("log"), dir.path().join("kept"));
        let log = log_in(&log_dir, fsync);
        let (job, events) = start(&log, &kept);
        append_and_await(&log, &job, 10);
        let taken = |name: &str| job.savepoint(name).recv_timeout(PATIENCE).unwrap();
        taken("first").unwrap();
        make_unsyncable(&log_dir);
        taken("second").unwrap();
        job.cancel();
        assert_eq!(events.recv_timeout(PATIENCE).unwrap(), JobEvent::Cancelled);
    }
}

#[test]
fn rows_of_an_open_transaction_are_read_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_in(&dir.path().join("log"), FsyncPolicy::Never);
    let transactions = Arc::new(LogTransactions::new(&log, "writer"));
    transactions.fence().unwrap();
    transactions.begin(1).unwrap();
    let mut writer = LogSink::new(&log, "numbers")
        .unwrap()
        .writer(WriterContext {
            subtask_index: 0,
            parallelism: 1,
            statement_uid: "writer".into(),
            transactions: Some(Transactions {
                committer: Arc::clone(&transactions) as _,
                handle: Arc::clone(&transactions) as _,
            }),
            publishes: false,
            waker: Waker::default(),
            clock: SystemClock::shared(),
        })
        .unwrap();
    writer.begin_epoch(1).unwrap();
    let value = br#"{"id": 1, "k": 2}"#;
    let len = u32::try_from(value.len()).unwrap();
    let batch = EncodedBatch {
        values: vec![Some(Range { start: 0, len })],
        buffer: value.to_vec(),
        ..EncodedBatch::default()
    };
    writer.write_records(&batch).unwrap();

    let start = |isolation: &str| start_reading(&log, &dir.path().join(isolation), isolation);
    let (hasty, _events) = start("read-uncommitted");
    let (patient, _other_events) = start("read-committed");
    await_rows(&hasty, 1);
    assert_eq!(patient.meter().operators[0].records_out_total, 0);
    let record = EpochRecord {
        run: "r".into(),
        epoch: 1,
        checkpoint: String::new(),
    };
    transactions.commit(1, &record).unwrap();
    await_rows(&patient, 1);
    for job in [hasty, patient] {
        job.cancel();
    }
}
