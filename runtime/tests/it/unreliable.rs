//! Jobs over a checkpoint store that fails calls, answers slowly, forgets to answer and cuts objects short.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_runtime::checkpoint::store::testing::{FaultPlan, FaultyObjects, Hook};
use weir_runtime::checkpoint::store::{
    CheckpointStore, Components, LocalObjects, Location, Options, RetryOptions,
};
use weir_runtime::error::Kind;
use weir_runtime::task::{Checkpoints, JobEvent, StartFrom};

use crate::job::{PATIENCE, check, fold, plan, start_from};

/// Rows of the table, at this many a second.
const ROWS: u64 = 30_000;
/// Slow enough for many checkpoints.
const RATE: u64 = 6_000;

/// A store in a directory with these faults, and pauses short enough for a test.
fn faulty(dir: &Path, plan: FaultPlan, seed: u64) -> (Arc<FaultyObjects>, Checkpoints) {
    let components = Components::system();
    let inner = Arc::new(LocalObjects::new(dir.to_owned(), components.token.clone()));
    // Slow: every call takes some milliseconds more.
    let slow: Hook = Arc::new(|_| std::thread::sleep(Duration::from_millis(3)));
    let objects = Arc::new(FaultyObjects::new(inner, plan, seed).with_hook(slow));
    let options = Options {
        retry: RetryOptions {
            // Nearly three reads of ten come back damaged, some hundred are made: 16 attempts leave one of a million runs failed.
            damage_attempts_max: 16,
            pause_first: Duration::from_millis(1),
            ..RetryOptions::default()
        },
        ..Options::default()
    };
    let location = Location::Local(dir.to_owned());
    let store = CheckpointStore::over(objects.clone(), &location, &options, components);
    let checkpoints = Checkpoints {
        store: Arc::new(store),
        run: "run".into(),
        start_from: StartFrom::Committed,
    };
    (objects, checkpoints)
}

#[test]
fn a_store_that_fails_a_call_of_five_is_slow_and_cuts_objects_costs_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let faults = FaultPlan {
        failing: 0.2,
        unanswered: 0.1,
        truncated: 0.2,
        flipped: 0.1,
        ..FaultPlan::default()
    };
    let mut folded = HashMap::new();
    for (parallelism, seed) in [(1, 1), (3, 2)] {
        let (objects, checkpoints) = faulty(dir.path(), faults, seed);
        let (job, events) = start_from(plan(ROWS, RATE), parallelism, 4 << 20, Some(checkpoints));
        let mut waited = Duration::ZERO;
        while job.meter().checkpoints.completed_total < 6 {
            std::thread::park_timeout(Duration::from_millis(5));
            waited += Duration::from_millis(5);
            assert!(waited < PATIENCE, "{:?}", events.try_recv());
        }
        job.stop();
        let ended = fold(&job, &events, &mut folded);
        assert!(matches!(ended, JobEvent::Stopped { .. }), "{ended:?}");
        assert!(objects.fault_count() > 20, "{}", objects.fault_count());
    }
    let (_, checkpoints) = faulty(dir.path(), faults, 3);
    let (job, events) = start_from(plan(ROWS, RATE), 2, 4 << 20, Some(checkpoints));
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    check(folded, ROWS.cast_signed());
}

#[test]
fn a_store_that_becomes_read_only_ends_the_job_and_the_next_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (objects, checkpoints) = faulty(dir.path(), FaultPlan::default(), 4);
    let (job, events) = start_from(plan(ROWS, RATE), 2, 4 << 20, Some(checkpoints));
    let mut waited = Duration::ZERO;
    while job.meter().checkpoints.completed_total < 2 {
        std::thread::park_timeout(Duration::from_millis(5));
        waited += Duration::from_millis(5);
        assert!(waited < PATIENCE, "checkpoints complete");
    }
    objects.set_plan(FaultPlan {
        is_read_only: true,
        ..FaultPlan::default()
    });
    let JobEvent::Failed(error) = fold(&job, &events, &mut HashMap::new()) else {
        panic!("the job cannot store its checkpoints");
    };
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.message.contains("read-only"), "{error}");
    assert_eq!(job.meter().checkpoints.failed_total, 1);
    let (_, checkpoints) = faulty(dir.path(), FaultPlan::default(), 5);
    let (job, events) = start_from(plan(ROWS, RATE), 1, 4 << 20, Some(checkpoints));
    assert_eq!(fold(&job, &events, &mut HashMap::new()), JobEvent::Finished);
    let read = job.meter().operators[0].records_out_total;
    assert!((1..ROWS).contains(&read), "{read} rows were left to read");
}
