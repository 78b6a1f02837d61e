//! Large state: checkpoints, recovery, other numbers of slots, and state past its memory.
//!
//! Place in the flow: `cargo run --release -p weir-benches --bin state -- all` makes the figures of `results/state.md`. Invariant: each
//! part runs in a process of its own, so that the first one's memory is not the second one's, and a job that is to recover was killed.

#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark measures wall time, and its figures have three digits"
)]

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use clap::{Args, Parser};
use weir_benches::{LOOK, Running, cpu_seconds, peak_resident_bytes, plan, start};
use weir_runtime::task::{JobConfig, JobEvent};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures large state.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  state all\n  state all --keys 1000000\n  state spill --dir /mnt/disk --keys 40000000"
)]
enum Part {
    /// All parts, one after the other, in a directory that is removed at the end.
    All(Options),
    /// Fills state, measures checkpoints of all and of a hundredth of it and a change of slots, and dies.
    Live(Options),
    /// Restores what `live` has left.
    Recover(Options),
    /// State past the memory of its slot: rates, resident memory, and whether the result is right.
    Spill(Options),
}

/// What is measured.
#[derive(Debug, Clone, Args)]
struct Options {
    /// Where checkpoints and spilled state go.
    #[arg(long, default_value = "target/state-bench")]
    dir: PathBuf,
    /// Keys of `live` and `recover`: with their values, 1 GB.
    #[arg(long, default_value_t = 9_000_000)]
    keys: i64,
    /// Keys of `spill`, prime to 7919: with their values, 8 GB.
    #[arg(long, default_value_t = 36_000_000)]
    spill_keys: i64,
    /// Memory of the slot of `spill`, bytes.
    #[arg(long, default_value_t = 4 << 30)]
    spill_memory_bytes: usize,
}

/// Bytes of the text that each key of `live` holds beside its numbers.
const LIVE_VALUE_BYTES: usize = 64;

/// Bytes of the text that each key of `spill` holds.
const SPILL_VALUE_BYTES: usize = 180;

/// Share of the keys that change between two checkpoints.
const CHANGED_SHARE: i64 = 100;

/// Checkpoints of a small change that are measured.
const ROUNDS: usize = 5;

/// Time over which rates without a checkpoint are taken.
const CALM: Duration = Duration::from_secs(4);

/// No checkpoint but those that are asked for.
const NEVER: Duration = Duration::from_hours(24);

/// Scatters keys that are looked up again: far from the order in which they were written.
const STRIDE: i64 = 7919;

fn main() -> Result<()> {
    match Part::parse() {
        Part::All(options) => all(&options),
        Part::Live(options) => live(&options),
        Part::Recover(options) => recover(&options),
        Part::Spill(options) => spill(&options),
    }
}

/// Prints a figure.
fn figure(what: &str, value: &str) -> Result<()> {
    writeln!(std::io::stdout(), "| {what} | {value} |").context("standard output")
}

/// Gigabytes, for people.
fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// Runs every part in a process of its own.
fn all(options: &Options) -> Result<()> {
    remove(&options.dir)?;
    for part in ["live", "recover", "spill"] {
        figure(part, "")?;
        let status = Command::new(std::env::current_exe()?)
            .arg(part)
            .arg("--dir")
            .arg(&options.dir)
            .args(["--keys", &options.keys.to_string()])
            .args(["--spill-keys", &options.spill_keys.to_string()])
            .args([
                "--spill-memory-bytes",
                &options.spill_memory_bytes.to_string(),
            ])
            .status()?;
        ensure!(status.success(), "{part} has failed");
    }
    remove(&options.dir)
}

/// Removes a directory that may not be there.
fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| dir.display().to_string())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `numbers(id)`: 0, 1, ... for `rows` rows, as fast as they are taken.
fn numbers(rows: i64) -> String {
    format!(
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000000000', \
           'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{}');",
        rows - 1
    )
}

/// An updating aggregation over every key once, and over a hundredth of them for ever.
fn live_script(keys: i64) -> String {
    format!(
        "{numbers}
         CREATE TABLE gone (t STRING, c BIGINT, s BIGINT, p STRING, PRIMARY KEY (t) NOT ENFORCED) WITH ('connector' = 'blackhole');
         INSERT INTO gone SELECT t, COUNT(*), SUM(k), MAX(p) FROM (
           SELECT LPAD(CAST(k AS STRING), 16, '0') AS t, k, LPAD(CAST(k AS STRING), {LIVE_VALUE_BYTES}, 'x') AS p FROM (
             SELECT CASE WHEN id < {keys} THEN id ELSE MOD(id, {changed}) * {CHANGED_SHARE} END AS k FROM numbers))
         GROUP BY t;",
        numbers = numbers(i64::MAX / 4),
        changed = keys / CHANGED_SHARE,
    )
}

/// No spilling, and checkpoints only when asked for.
fn live_config() -> JobConfig {
    JobConfig {
        checkpoint_interval: NEVER,
        ..JobConfig::default()
    }
}

/// Keys that are held.
fn state_keys(running: &Running) -> Result<u64> {
    let meter = running.meter()?;
    Ok(meter
        .operators
        .iter()
        .map(|operator| operator.state_keys)
        .sum())
}

/// Takes a checkpoint, with a name that keeps it; how long it took, and rows a second meanwhile.
fn checkpoint(running: &Running, name: &str) -> Result<(Duration, f64)> {
    let (rows, since) = (running.rows()?, Instant::now());
    running
        .job
        .savepoint(name)
        .recv()
        .context("the job has ended")??;
    let took = since.elapsed();
    Ok((took, (running.rows()? - rows) as f64 / took.as_secs_f64()))
}

/// See [`Part::Live`].
fn live(options: &Options) -> Result<()> {
    let dir = options.dir.join("live");
    remove(&dir)?;
    let running = start(plan(&live_script(options.keys))?, &dir, live_config())?;
    while state_keys(&running)? < options.keys.unsigned_abs() {
        std::thread::sleep(LOOK);
    }
    let filling = options.keys as f64 / running.asked_at.elapsed().as_secs_f64();
    figure("new keys a second", &format!("{filling:.0}"))?;
    let meter = running.meter()?;
    let state_bytes: u64 = meter
        .operators
        .iter()
        .map(|operator| operator.state_bytes)
        .sum();
    figure("keys", &options.keys.to_string())?;
    figure("state in memory", &gigabytes(state_bytes))?;

    let calm = running.rate(CALM)?;
    let cpu = cpu_seconds();
    let (took, rate) = checkpoint(&running, "full")?;
    let cpu = cpu_seconds() - cpu;
    let stored = running.meter()?.checkpoints.last_bytes.unwrap_or(0);
    figure(
        "checkpoint of all of it",
        &format!("{}, {took:.2?}, {cpu:.1} s of CPU", gigabytes(stored)),
    )?;
    figure(
        "rows a second without, and during it",
        &format!("{calm:.0}, {rate:.0}: {:.0} %", rate / calm * 100.0),
    )?;
    changes(&running)?;
    for parallelism in [3, 2] {
        let pause = rescale(&running, parallelism)?;
        figure(
            &format!("pause of a rescale to {parallelism}"),
            &format!("{pause:.2?}"),
        )?;
    }
    // What came after the last checkpoint is lost with the process, and read again.
    checkpoint(&running, "last")?;
    figure(
        "largest resident memory",
        &gigabytes(peak_resident_bytes()?),
    )?;
    std::process::exit(0)
}

/// Checkpoints of a hundredth of the keys.
fn changes(running: &Running) -> Result<()> {
    let (mut longest, mut calm_sum, mut rate_sum, mut during) = (Duration::ZERO, 0.0, 0.0, 0.0);
    for round in 0..ROUNDS {
        let calm = running.rate(CALM)?;
        let (took, rate) = checkpoint(running, &format!("change-{round}"))?;
        longest = longest.max(took);
        // Weighted by time, as short checkpoints are hardly measured.
        calm_sum += calm * took.as_secs_f64();
        rate_sum += rate * took.as_secs_f64();
        during += took.as_secs_f64();
    }
    let checkpoints = running.meter()?.checkpoints;
    let stored = checkpoints.last_bytes.unwrap_or(0) as f64
        / checkpoints.last_full_bytes.unwrap_or(0) as f64;
    figure(
        &format!(
            "checkpoint of {:.1} % of it, longest of {ROUNDS}",
            stored * 100.0
        ),
        &format!("{longest:.2?}"),
    )?;
    let (calm, rate) = (calm_sum / during, rate_sum / during);
    figure(
        "rows a second without, and during them",
        &format!("{calm:.0}, {rate:.0}: {:.0} %", rate / calm * 100.0),
    )
}

/// Rows that have come out of the statement's last operator.
fn rows_written(running: &Running) -> Result<u64> {
    let meter = running.meter()?;
    let sink = meter.operators.last().context("a job has a sink")?;
    Ok(sink.records_in_total)
}

/// Asks for other slots; the longest time without a row that comes out.
fn rescale(running: &Running, parallelism: usize) -> Result<Duration> {
    let answer = running.job.rescale(parallelism);
    let (mut rows, mut since, mut longest) =
        (rows_written(running)?, Instant::now(), Duration::ZERO);
    let mut ends_at = None;
    while ends_at.is_none_or(|at| Instant::now() < at) {
        std::thread::sleep(LOOK);
        let now = rows_written(running)?;
        if now != rows {
            longest = longest.max(since.elapsed());
            (rows, since) = (now, Instant::now());
        }
        if ends_at.is_none()
            && let Ok(outcome) = answer.try_recv()
        {
            outcome?;
            ends_at = Some(Instant::now() + CALM);
        }
    }
    Ok(longest)
}

/// See [`Part::Recover`].
fn recover(options: &Options) -> Result<()> {
    let dir = options.dir.join("live");
    let cpu = cpu_seconds();
    let running = start(plan(&live_script(options.keys))?, &dir, live_config())?;
    let started = running.asked_at.elapsed();
    let rows = running.rows()?;
    while running.rows()? == rows {
        std::thread::sleep(LOOK);
    }
    let flowing = running.asked_at.elapsed();
    let cpu = cpu_seconds() - cpu;
    let keys = state_keys(&running)?;
    ensure!(keys == options.keys.unsigned_abs(), "{keys} keys came back");
    figure(
        "recovery: slots run, and rows flow",
        &format!("{started:.2?}, {flowing:.2?}, {cpu:.1} s of CPU"),
    )?;
    figure(
        "largest resident memory",
        &gigabytes(peak_resident_bytes()?),
    )?;
    std::process::exit(0)
}

/// How often keys were seen, and the sum of what each holds; keys that have lost their text are missed.
fn spill_script(keys: i64, rows: i64) -> String {
    format!(
        "{numbers}
         SELECT c, COUNT(*), SUM(k) FROM (
           SELECT t, COUNT(*) AS c, MAX(k) AS k, MAX(p) AS p FROM (
             SELECT LPAD(CAST(k AS STRING), 16, '0') AS t, k, LPAD(CAST(k AS STRING), {SPILL_VALUE_BYTES}, 'x') AS p FROM (
               SELECT CASE WHEN id < {keys} THEN id ELSE MOD(id * {STRIDE}, {keys}) END AS k FROM numbers))
           GROUP BY t)
         WHERE CHAR_LENGTH(p) = {SPILL_VALUE_BYTES} AND CAST(t AS BIGINT) = k GROUP BY c;",
        numbers = numbers(rows),
    )
}

/// See [`Part::Spill`].
fn spill(options: &Options) -> Result<()> {
    let dir = options.dir.join("spill");
    remove(&dir)?;
    let (keys, again) = (options.spill_keys, options.spill_keys / 20);
    let config = JobConfig {
        slot_memory_bytes: options.spill_memory_bytes,
        spill_dir: Some(dir.join("spilled")),
        ..JobConfig::default()
    };
    let plan = plan(&spill_script(keys, keys + again))?;
    let running = start(plan, &dir.join("checkpoints"), config)?;
    let mut folded = HashMap::new();
    let (mut next, mut filled_at) = (0, None);
    let mut stored = 0;
    let results = running.job.results().context("a query has results")?;
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
                *folded.entry(values.collect::<Vec<i64>>()).or_insert(0) += change;
            }
        }
        next = page.next;
        let meter = running.job.meter();
        let rows = meter
            .operators
            .first()
            .map_or(0, |source| source.records_out_total);
        stored = stored.max(meter.checkpoints.last_full_bytes.unwrap_or(0));
        if filled_at.is_none() && rows >= keys.unsigned_abs() {
            filled_at = Some(Instant::now());
        }
        if page.finished {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let ended_at = Instant::now();
    let event = running.events.recv()?;
    ensure!(event == JobEvent::Finished, "the job has ended: {event:?}");
    folded.retain(|_, count| *count != 0);
    let twice: i64 = (keys..keys + again).map(|id| id * STRIDE % keys).sum();
    let once = keys * (keys - 1) / 2 - twice;
    let expected = HashMap::from([(vec![1, keys - again, once], 1), (vec![2, again, twice], 1)]);
    ensure!(folded == expected, "found {folded:?} and not {expected:?}");

    let filled_at = filled_at.context("the table was read")?;
    let filling = keys as f64 / filled_at.duration_since(running.asked_at).as_secs_f64();
    let looking = again as f64 / ended_at.duration_since(filled_at).as_secs_f64();
    let checkpoints = running.job.meter().checkpoints.completed_total;
    figure("keys", &keys.to_string())?;
    figure("state in checkpoints", &gigabytes(stored))?;
    figure("result", &format!("right, over {checkpoints} checkpoints"))?;
    figure("new keys a second", &format!("{filling:.0}"))?;
    figure(
        "scattered keys looked up and changed a second",
        &format!("{looking:.0}"),
    )?;
    figure("CPU", &format!("{:.0} s", cpu_seconds()))?;
    figure(
        "largest resident memory",
        &gigabytes(peak_resident_bytes()?),
    )
}
