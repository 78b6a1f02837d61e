//! Sources that wait for slower ones.

use std::sync::Arc;
use std::time::Duration;

use weir_runtime::connector::log::{FsyncPolicy, LogOptions, LogStore, Record, TopicConfig};
use weir_runtime::plan::StreamPlan;
use weir_runtime::sql::binder::{Bound, analyze};
use weir_runtime::sql::catalog::MemoryCatalog;
use weir_runtime::sql::parser::parse;
use weir_runtime::sql::session::Session;
use weir_runtime::task::{Job, JobConfig, StartFrom};
use weir_runtime::time::SystemClock;

use crate::job::{PATIENCE, checkpoints, start_with};

/// Two tables with times in seconds, read side by side.
const SQL: &str = "
CREATE TABLE ahead (s BIGINT, ts AS TO_TIMESTAMP_LTZ(s, 0), WATERMARK FOR ts AS ts) WITH ('value.format' = 'json');
CREATE TABLE behind (s BIGINT, ts AS TO_TIMESTAMP_LTZ(s, 0), WATERMARK FOR ts AS ts) WITH ('value.format' = 'json');
SELECT s FROM ahead UNION ALL SELECT s FROM behind";

/// The plan of the query.
fn plan() -> StreamPlan {
    let (mut catalog, session) = (MemoryCatalog::new(), Session::default());
    let mut planned = None;
    for statement in parse(SQL).unwrap() {
        match analyze(&statement, &catalog, &session).unwrap() {
            Bound::CreateTable { table, .. } => catalog.put_table(table),
            Bound::Query(plan, _) => planned = Some(plan),
            other => panic!("{other:?}"),
        }
    }
    planned.expect("there is a query")
}

/// Appends a row for each second to a topic.
fn append(log: &LogStore, topic: &str, seconds: std::ops::Range<i64>) {
    let texts: Vec<String> = seconds.map(|s| format!("{{\"s\": {s}}}")).collect();
    let records: Vec<Record<'_>> = texts
        .iter()
        .map(|text| Record {
            key: None,
            value: Some(text.as_bytes()),
            timestamp_ms: 0,
            headers: &[],
        })
        .collect();
    log.append(topic, 0, &records).unwrap();
}

/// Waits until the scan of a table has given so many rows.
fn await_rows(job: &Job, table: &str, rows: u64) {
    let mut waited = Duration::ZERO;
    while rows_of(job, table) < rows {
        std::thread::park_timeout(Duration::from_millis(5));
        waited += Duration::from_millis(5);
        assert!(
            waited < PATIENCE,
            "{} of {rows} rows of {table}",
            rows_of(job, table)
        );
    }
}

/// Rows that were read of a table.
fn rows_of(job: &Job, table: &str) -> u64 {
    let meter = job.meter();
    let found = meter
        .tables
        .iter()
        .find(|found| found.name.ends_with(table));
    found.map_or(0, |table| table.records_total)
}

#[test]
fn a_split_that_is_ahead_waits_for_the_slowest() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        fsync: FsyncPolicy::Never,
        ..LogOptions::default()
    };
    let log = LogStore::open(&dir.path().join("log"), options, SystemClock::shared()).unwrap();
    for topic in ["ahead", "behind"] {
        let config = TopicConfig {
            partitions: 1,
            retention_ms: None,
            compacted: false,
        };
        log.create_topic(topic, config).unwrap();
    }
    let config = JobConfig {
        checkpoint_interval: Duration::from_hours(1),
        ..JobConfig::default()
    };
    let kept = checkpoints(&dir.path().join("kept"), "run", StartFrom::Committed);
    let (job, _events) = start_with(plan(), 1, Some(kept), (config, Some(Arc::clone(&log))));

    append(&log, "behind", 0..1);
    await_rows(&job, "behind", 1);
    // One batch is read before it is known to be ahead; two savepoints are between steps of every source.
    append(&log, "ahead", 0..20_000);
    await_rows(&job, "ahead", 8_192);
    for name in ["one", "two"] {
        job.savepoint(name).recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(rows_of(&job, "ahead"), 8_192);
    }
    // Five minutes behind the last row that was read is near enough.
    append(&log, "behind", 7_890..7_892);
    await_rows(&job, "ahead", 2 * 8_192);
    append(&log, "behind", 20_000..20_001);
    await_rows(&job, "ahead", 20_000);
    job.cancel();
}
