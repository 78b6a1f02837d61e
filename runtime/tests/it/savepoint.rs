//! Savepoints, other numbers of slots, and long lines of checkpoints.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use weir_runtime::checkpoint::store::CheckpointStore;
use weir_runtime::task::{Job, JobEvent, StartFrom};

use crate::job::{PATIENCE, check, checkpoints, fold, plan, rows_of, start_from};
use crate::join;

/// Rows of the table, at this many a second.
const ROWS: u64 = 30_000;
/// Fast enough to end soon, slow enough to be interrupted.
const RATE: u64 = 10_000;

/// Waits until a job has completed some checkpoints.
fn await_checkpoints(job: &Job, count: u64) {
    let mut waited = Duration::ZERO;
    while job.meter().checkpoints.completed_total < count {
        std::thread::park_timeout(Duration::from_millis(5));
        waited += Duration::from_millis(5);
        assert!(waited < PATIENCE, "checkpoints complete");
    }
}

/// An answer of a job.
fn answer<T>(receiver: &Receiver<weir_runtime::Result<T>>) -> T {
    receiver.recv_timeout(PATIENCE).unwrap().unwrap()
}

#[test]
fn a_running_job_gets_other_numbers_of_slots_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kept = checkpoints(dir.path(), "run", StartFrom::Committed);
    let (job, events) = start_from(plan(ROWS, RATE / 3), 1, 4 << 20, Some(kept));
    await_checkpoints(&job, 1);
    for parallelism in [3, 2] {
        let read_before = job.meter().operators[0].records_out_total;
        answer(&job.rescale(parallelism));
        let meter = job.meter();
        assert_eq!(meter.slots.len(), parallelism);
        assert!(
            meter.operators[0].records_out_total >= read_before,
            "counters go on"
        );
        let completed = meter.checkpoints.completed_total;
        await_checkpoints(&job, completed + 2);
    }
    let mut folded = HashMap::new();
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    check(folded, ROWS.cast_signed());
    assert_eq!(job.meter().operators[0].records_out_total, ROWS);
}

#[test]
fn large_state_is_handed_over_while_rows_flow() {
    const KEYS: i64 = 100_000;
    const PASSES: i64 = 4;
    let numbers = format!(
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100000000', \
           'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{}');",
        KEYS * PASSES - 1
    );
    let query = format!(
        "SELECT c, COUNT(*) AS n, SUM(k) AS s FROM ( \
           SELECT t, COUNT(*) AS c, MAX(k) AS k FROM ( \
             SELECT CAST(MOD(id, {KEYS}) AS STRING) AS t, CAST(MOD(id, {KEYS}) AS BIGINT) AS k FROM numbers) \
           GROUP BY t) GROUP BY c;"
    );
    let dir = tempfile::tempdir().unwrap();
    let kept = checkpoints(dir.path(), "run", StartFrom::Committed);
    let (job, events) = start_from(join::plan(&[numbers], &query), 1, 4 << 20, Some(kept));
    let mut folded = HashMap::new();
    let rescale = || {
        // All keys are there, and the second request comes while the first one's tables are still being copied.
        while job.meter().operators[0].records_out_total < KEYS.unsigned_abs() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        [3, 2].map(|parallelism| job.rescale(parallelism).recv_timeout(PATIENCE))
    };
    let (ended, rescaled) = std::thread::scope(|scope| {
        let rescaled = scope.spawn(rescale);
        let ended = fold(&job, &events, &mut folded);
        (ended, rescaled.join().unwrap())
    });
    assert_eq!(ended, JobEvent::Finished);
    for outcome in rescaled {
        outcome.expect("it comes before the end").unwrap();
    }
    folded.retain(|_, count| *count != 0);
    let row = vec![PASSES, KEYS, KEYS * (KEYS - 1) / 2];
    assert_eq!(folded, HashMap::from([(row, 1)]));
}

#[test]
fn a_job_without_checkpoints_keeps_its_slots() {
    let (job, events) = start_from(plan(1_000_000, 1000), 1, 4 << 20, None);
    let refused = job.rescale(2).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(refused.message.contains("without checkpoints"), "{refused}");
    let refused = job
        .savepoint("s")
        .recv_timeout(PATIENCE)
        .unwrap()
        .unwrap_err();
    assert!(refused.message.contains("without checkpoints"), "{refused}");
    job.cancel();
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), JobEvent::Cancelled);
}

#[test]
fn a_new_run_goes_on_from_a_savepoint_at_another_parallelism() {
    let dir = tempfile::tempdir().unwrap();
    let kept = checkpoints(dir.path(), "first", StartFrom::Committed);
    let (job, events) = start_from(plan(ROWS, RATE / 3), 2, 4 << 20, Some(kept));
    await_checkpoints(&job, 1);
    let savepoint = answer(&job.savepoint("before"));
    let taken = job.savepoint("before").recv_timeout(PATIENCE).unwrap();
    assert!(taken.is_err(), "the name is taken");
    job.stop();
    let mut folded = HashMap::new();
    let JobEvent::Stopped { positions } = fold(&job, &events, &mut folded) else {
        panic!("the job was stopped")
    };
    assert!(rows_of(&savepoint.positions) <= rows_of(&positions));

    // What the first run wrote after the savepoint is written again: results are folded from the savepoint on.
    let from = || StartFrom::Savepoint("before".into());
    let (job, events) = start_from(
        plan(ROWS, RATE / 3),
        3,
        4 << 20,
        Some(checkpoints(dir.path(), "second", from())),
    );
    await_checkpoints(&job, 1);
    job.stop();
    let mut second = HashMap::new();
    let JobEvent::Stopped { positions } = fold(&job, &events, &mut second) else {
        panic!("the job was stopped")
    };
    let stopped_at = rows_of(&positions);
    assert!(stopped_at > rows_of(&savepoint.positions));

    // The second run has checkpoints of its own now, and never goes back to the savepoint.
    let (job, events) = start_from(
        plan(ROWS, RATE / 3),
        1,
        4 << 20,
        Some(checkpoints(dir.path(), "second", from())),
    );
    assert_eq!(fold(&job, &events, &mut second), JobEvent::Finished);
    assert_eq!(
        job.meter().operators[0].records_out_total.cast_signed(),
        ROWS.cast_signed() - stopped_at
    );
    let store = CheckpointStore::open_local(dir.path()).unwrap();
    assert_eq!(store.list_savepoints().unwrap(), ["before"]);
    let listed = store.list().unwrap();
    assert!(listed.iter().all(|listed| listed.name.run == "second"));
    assert!((1..=2).contains(&listed.len()), "{listed:?}");
}

#[test]
fn chains_of_a_long_run_stay_short_and_are_restored() {
    let dir = tempfile::tempdir().unwrap();
    let kept = || Some(checkpoints(dir.path(), "run", StartFrom::Committed));
    let (job, events) = start_from(plan(ROWS, RATE / 3), 2, 4 << 20, kept());
    await_checkpoints(&job, 14);
    job.stop();
    let mut folded = HashMap::new();
    assert!(matches!(
        fold(&job, &events, &mut folded),
        JobEvent::Stopped { .. }
    ));
    let store = CheckpointStore::open_local(dir.path()).unwrap();
    let newest = store.list().unwrap().pop().unwrap();
    let manifest = store.read_manifest(&newest.name).unwrap();
    let longest = manifest
        .nodes
        .values()
        .flat_map(|node| node.chains.values().map(Vec::len))
        .max();
    // Merging runs beside the job, which may complete an epoch or two meanwhile.
    assert!(
        longest.is_some_and(|longest| (2..=10).contains(&longest)),
        "{longest:?}"
    );
    let (job, events) = start_from(plan(ROWS, RATE / 3), 3, 4 << 20, kept());
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    check(folded, ROWS.cast_signed());
}
