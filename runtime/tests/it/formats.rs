//! Checkpoints that earlier builds have stored: one example per format version, restored by every build.
//!
//! `WEIR_TEST_EXAMPLE=DIR` writes one. An example is never changed; a new format version gets one of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_runtime::plan::StreamPlan;
use weir_runtime::task::JobEvent;

use crate::job::{PATIENCE, fold, start};
use crate::join::{plan, table_with};

/// Result rows and how often each is there, as an example stores them.
type Stored = Vec<(Vec<i64>, i64)>;

/// The directory of an example.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// Copies a directory.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A statement with windows, a join and an aggregation over its changes.
fn statement() -> StreamPlan {
    let time = ", ts AS TO_TIMESTAMP_LTZ(id, 3), WATERMARK FOR ts AS ts";
    let tables = [
        table_with("a", (0, 5999), 2000, time),
        table_with("b", (0, 99), 2000, ""),
    ];
    let query = "SELECT w.k, w.n, COUNT(*) FROM
        (SELECT k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' SECOND))
         GROUP BY k, window_start, window_end) AS w JOIN b ON w.k = b.k GROUP BY w.k, w.n";
    plan(&tables, query)
}

/// Names a directory that the example of the present format is written to, when the format has got a new version.
const EXAMPLE_VARIABLE: &str = "WEIR_TEST_EXAMPLE";

/// Writes an example of the present format.
fn write_example(dir: &Path) {
    let plan = statement();
    let (job, events) = start(plan.clone(), 2, 4 << 20, Some(dir.join("store")));
    let mut waited = Duration::ZERO;
    while job.meter().checkpoints.completed_total < 12 {
        std::thread::park_timeout(Duration::from_millis(10));
        waited += Duration::from_millis(10);
        assert!(waited < PATIENCE, "checkpoints complete");
    }
    job.stop();
    let mut folded = HashMap::new();
    assert!(matches!(
        fold(&job, &events, &mut folded),
        JobEvent::Stopped { .. }
    ));
    let mut stored: Stored = folded.into_iter().collect();
    stored.sort();
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
    write("plan.json", serde_json::to_string(&plan).unwrap());
    write("rows.json", serde_json::to_string(&stored).unwrap());
}

/// Restores an example and compares what follows.
fn restore(example: &Path) {
    let dir = tempfile::tempdir().unwrap();
    copy(&example.join("store"), dir.path());
    let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
    let plan: StreamPlan = serde_json::from_str(&read("plan.json")).unwrap();
    let stored: Stored = serde_json::from_str(&read("rows.json")).unwrap();
    let mut folded: HashMap<Vec<i64>, i64> = stored.into_iter().collect();
    let (job, events) = start(plan, 3, 4 << 20, Some(dir.path().to_owned()));
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    folded.retain(|_, count| *count != 0);
    // Six windows of 100 rows of each last digit, each joined with the ten rows of b of that digit.
    let expected: HashMap<Vec<i64>, i64> = (0..10).map(|k| (vec![k, 100, 60], 1)).collect();
    assert_eq!(folded, expected);
    let read = job.meter().operators[0].records_out_total;
    assert!((1..6000).contains(&read), "{read} rows were left to read");
}

#[test]
fn a_checkpoint_of_format_2_is_restored() {
    restore(&example("checkpoint-v2"));
}

#[test]
fn a_checkpoint_of_the_present_format_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let dir = std::env::var_os(EXAMPLE_VARIABLE).map_or(dir.path().join("example"), PathBuf::from);
    assert!(!dir.exists(), "an example is never changed");
    write_example(&dir);
    restore(&dir);
}
