//! State above the memory of a slot: the result stays right and the process stays small.
//!
//! Place in the flow: resident memory is a figure of a whole process, so each run has one of its own: this binary again, told by
//! [`RUN`] what to do. Invariant: the largest resident memory is read, not the last.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use weir_runtime::plan::StreamPlan;
use weir_runtime::task::{JobConfig, JobEvent, StartFrom};

use crate::job::{checkpoints, fold, start_with};
use crate::join::plan;

/// Names a run: `WITHOUT`, or where to spill.
const RUN: &str = "WEIR_TEST_MEMORY_RUN";

/// Memory of the only slot.
const CAP_BYTES: usize = 32 << 20;

/// Keys of the state.
const KEYS: i64 = 300_000;

/// Bytes of a key: with them, the state takes more than 240 MB.
const KEY_BYTES: i64 = 800;

/// Rows: each key is seen twice, in the same order, which is the worst for what is kept in memory.
const ROWS: i64 = 2 * KEYS;

/// Resident memory that is not counted: code, batches on their way, buffers of files being merged, and what the allocator has not
/// given back yet, which is most of it (measured: 110 to 200 MB).
const BESIDE_BYTES: usize = 256 << 20;

/// How often each key was seen: one row, whose parts are known.
fn counts() -> StreamPlan {
    let numbers = format!(
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100000000', \
           'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{}');",
        ROWS - 1
    );
    let query = format!(
        "SELECT c, COUNT(*) AS n, SUM(k) AS s FROM ( \
           SELECT t, COUNT(*) AS c, MAX(k) AS k FROM ( \
             SELECT LPAD(CAST(MOD(id, {KEYS}) AS STRING), {KEY_BYTES}, 'x') AS t, CAST(MOD(id, {KEYS}) AS BIGINT) AS k FROM numbers) \
           GROUP BY t) GROUP BY c;"
    );
    plan(&[numbers], &query)
}

/// A field of `/proc/self/status`, bytes.
fn status_bytes(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let line = line.unwrap().trim_start_matches(':');
    let kibibytes: usize = line
        .trim()
        .strip_suffix("kB")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    kibibytes << 10
}

/// Runs the job and checks its result; by how much resident memory has grown at most, bytes.
fn run(spill_dir: Option<&Path>, checkpoint_dir: &Path) -> usize {
    let before = status_bytes("VmRSS");
    let config = JobConfig {
        slot_memory_bytes: CAP_BYTES,
        spill_dir: spill_dir.map(Path::to_owned),
        ..JobConfig::default()
    };
    let kept = checkpoints(checkpoint_dir, "run", StartFrom::Committed);
    let (job, events) = start_with(counts(), 1, Some(kept), (config, None));
    let mut folded = HashMap::new();
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    folded.retain(|_, count| *count != 0);
    let row = vec![ROWS / KEYS, KEYS, KEYS * (KEYS - 1) / 2];
    assert_eq!(folded, HashMap::from([(row, 1)]));
    status_bytes("VmHWM") - before
}

/// What this binary does when it is one of the processes of the test below.
#[test]
fn run_of_a_process() {
    let Some(run_name) = std::env::var_os(RUN) else {
        eprintln!("{RUN} is not set: this is run by another test");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let spill_dir = (run_name != "WITHOUT").then(|| dir.path().join("spill"));
    let grown = run(spill_dir.as_deref(), &dir.path().join("checkpoints"));
    eprintln!("grown by {grown} bytes");
}

/// Runs the job in a process of its own; by how much its resident memory has grown, bytes.
fn grown_bytes(run: &str) -> usize {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::run_of_a_process", "--nocapture"])
        .env(RUN, run)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{printed}");
    let grown = printed.lines().find_map(|line| {
        let (_, rest) = line.split_once("grown by ")?;
        rest.strip_suffix(" bytes")?.parse().ok()
    });
    grown.expect("the process prints it")
}

#[test]
fn state_far_above_its_cap_gives_the_right_result_in_little_memory() {
    let without = grown_bytes("WITHOUT");
    assert!(
        without > 100_000_000 + CAP_BYTES + BESIDE_BYTES,
        "the state is large: {without} bytes"
    );
    let with = grown_bytes("WITH");
    eprintln!("resident memory grew by {without} bytes without and {with} with spilling");
    assert!(
        with < CAP_BYTES + BESIDE_BYTES,
        "resident memory grew by {with} bytes"
    );
}
